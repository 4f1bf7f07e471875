// The account behind its lock, and the way of one request through it.
#pragma once

#include <atomic>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "tests/support/page_blob_server/call.h"
#include "tests/support/page_blob_server/faults.h"
#include "tests/support/page_blob_server/page_blob_server.h"
#include "tests/support/page_blob_server/service_error.h"

namespace asr::testing::page_blob {

// Thread-safe.
class Service {
 public:
  explicit Service(const PageBlobServerOptions& options);

  [[nodiscard]] ServiceTime Now() const;
  void AdvanceClock(std::chrono::seconds by) { offset_seconds_ += by.count(); }

  // What an operation answers, also its refusals. `body_crc` none: the body was not looked at.
  [[nodiscard]] ServerReply Answer(const ServerRequest& request, const Target& target,
                                   std::optional<std::uint64_t> body_crc) {
    return Answer(request, target, body_crc, nullptr);
  }
  [[nodiscard]] ServerReply AnswerError(const ServerRequest& request, const ServiceError& error);
  void AddCommonHeaders(const ServerRequest& request, ServerReply& reply);

  // Keeps the request; it is done after the next one that asks the same of the same place.
  void Delay(const ServerRequest& request, const Target& target);
  // Does what was put off of such requests.
  void DoDelayedLike(const ServerRequest& request, const Target& target);
  void ReleaseDelayed();
  [[nodiscard]] std::size_t delayed() const;

  void ExpireCredential(const ServerRequest& request, const Target& target);
  void LoseLease(const Target& target, double seconds);
  void CreateContainer(const std::string& name);
  bool FlipBit(const std::string& container, const std::string& blob, std::uint64_t offset_bytes);
  void AddToken(BearerToken token);
  void SetKeys(const std::vector<std::string>& keys);
  [[nodiscard]] std::string AccountSas(const std::string& permissions,
                                       std::chrono::seconds valid_for) const;
  // Views of pages die under the lock.
  void Drop(ServerReply& reply);

  void Record(RequestRecord record, bool is_kept);
  void CountConnection();
  [[nodiscard]] std::vector<RequestRecord> Log() const;
  [[nodiscard]] std::map<std::string, std::uint64_t> Counts() const;
  void ClearLog();

 private:
  struct Delayed {
    ServerRequest request;
    Target target;
    Caller caller;
    std::string body;
  };
  // `caller`: was let in when the request came; nullptr: is asked for credentials now.
  [[nodiscard]] ServerReply Answer(const ServerRequest& request, const Target& target,
                                   std::optional<std::uint64_t> body_crc, const Caller* caller);
  void DoDelayed(std::list<Delayed> late);
  // nullptr if there is none. Under the lock.
  [[nodiscard]] StoredBlob* Find(const std::string& container, const std::string& blob);

  const ServiceRules rules_;
  std::atomic<std::int64_t> offset_seconds_ = 0;
  mutable std::mutex mutex_;
  Account account_;
  Credentials credentials_;
  std::list<Delayed> delayed_;
  mutable std::mutex log_mutex_;
  std::vector<RequestRecord> log_;
  std::map<std::string, std::uint64_t> counts_;
};

// Of pages or bytes that the request names; empty if none.
[[nodiscard]] Extent RangeOf(const ServerRequest& request);
[[nodiscard]] RequestRecord MakeRecord(const ServerRequest& request, const Target& target);

}  // namespace asr::testing::page_blob
