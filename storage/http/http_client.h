// Requests that get their answer: signed, tried again where that can help, and never more of them
// on their way than the line carries.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "storage/base/clock.h"
#include "storage/base/result.h"
#include "storage/http/authorizer.h"
#include "storage/http/http_transport.h"
#include "storage/http/retry_policy.h"
#include "storage/http/transfer_limiter.h"

namespace asr {

struct HttpClientOptions {
  RetryPolicy retry;
  TransferLimits limits;  // of each direction
  // In [0, 1); null: random.
  std::function<double()> random;
};

// Called before a request is sent again, and may change it. `may_still_come`: the server may still
// do what an earlier try asked. An error ends the call.
using BeforeRepeat = std::function<Status(HttpRequest& request, bool may_still_come)>;

struct HttpCall {
  std::string what;                  // "cannot write to items/web/disk.vhd": begins each error
  Authorizer* authorizer = nullptr;  // null: the request goes out as it is
  std::vector<int> expected;         // statuses beside 2xx that are the caller's business
  std::optional<RetryPolicy> retry;  // in place of the client's
  BeforeRepeat before_repeat;        // null: nothing
};

// Thread-safe.
class HttpClient {
 public:
  HttpClient(HttpTransport& transport, Clock& clock, HttpClientOptions options = {});

  // A reply with 2xx or a status that is expected, or the Error of the last try (RefusalError for
  // replies). It may be that the server did what an earlier try asked, though its reply was lost:
  // only requests that may be repeated belong here, or that `before_repeat` makes so. Every request
  // has an x-ms-client-request-id of its own; the reply has it, too. Errors name it with the
  // server's request id.
  [[nodiscard]] Result<HttpResponse> Send(HttpRequest request, const HttpCall& call,
                                          const std::stop_token& stop);

  // How large bodies should be now, for requests that may choose.
  [[nodiscard]] const TransferLimiter& uploads() const { return uploads_; }
  [[nodiscard]] const TransferLimiter& downloads() const { return downloads_; }
  // Since the client was made: tries in all, and how many of them were not the first.
  [[nodiscard]] std::uint64_t tries() const { return tries_; }
  [[nodiscard]] std::uint64_t repeats() const { return repeats_; }

 private:
  class Sending;  // one call of Send

  [[nodiscard]] Result<HttpResponse> SendMetered(const HttpRequest& request,
                                                 const std::stop_token& stop);
  [[nodiscard]] bool HasAnswered(const std::string& origin);
  void NoteAnswer(const std::string& origin);

  HttpTransport& transport_;
  Clock& clock_;
  const HttpClientOptions options_;
  TransferLimiter uploads_;
  TransferLimiter downloads_;
  std::atomic<std::uint64_t> tries_ = 0;
  std::atomic<std::uint64_t> repeats_ = 0;
  std::mutex mutex_;                // guards what follows
  std::set<std::string> answered_;  // origins that gave any reply
};

}  // namespace asr
