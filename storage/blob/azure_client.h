// Requests to one container of Azure Blob Storage, as its REST interface has them (Blob service
// REST API, version 2023-11-03).
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/base/clock.h"
#include "storage/base/result.h"
#include "storage/http/http_client.h"

namespace asr {

// Below it are the blobs whose leases are ours.
inline constexpr std::string_view kLeaseBlobs = ".locks/";

// Of blobs: an id of the call that wrote them, by which it knows its own after a lost reply.
inline constexpr std::string_view kMadeBy = "x-ms-meta-madeby";

struct AzureRequest {
  HttpMethod method = HttpMethod::kGet;
  std::string blob = {};  // empty: the container
  std::vector<std::pair<std::string, std::string>> query = {};
  HttpHeaders headers = {};
  ByteSpan body = {};  // its CRC goes with it
  MutableByteSpan into = {};
  std::string what;                // "cannot write to items/web/disk.vhd": begins each error
  std::vector<int> expected = {};  // statuses beside 2xx that are the caller's business
  BeforeRepeat before_repeat = {};
};

// Thread-safe.
class AzureClient {
 public:
  // `container_url` has neither a slash at its end nor a query. `http` and `authorizer` outlive
  // this. Requests end with kCancelled once `stop` is set.
  AzureClient(HttpClient& http, Authorizer& authorizer, std::string container_url,
              std::stop_token stop);

  // Beside what HttpClient says: kBusy (kLocked) where somebody else has a lease of the blob.
  [[nodiscard]] Result<HttpResponse> Send(const AzureRequest& request);
  // Names a version of a blob of this container as what the service is to copy from, with what lets
  // it read that. `snapshot`: the service's name of it, or empty.
  [[nodiscard]] Status SetCopySource(AzureRequest& request, const std::string& blob,
                                     const std::string& snapshot);
  // Also after a stop, with few tries: what others would wait for is given back.
  [[nodiscard]] Result<HttpResponse> SendLast(const AzureRequest& request);

  // What the service's clock said in the last reply, at the latest: it tells whole seconds.
  [[nodiscard]] std::optional<Timestamp> server_time() const;

  [[nodiscard]] const std::string& container_url() const { return container_url_; }
  [[nodiscard]] const std::stop_token& stop() const { return stop_; }
  [[nodiscard]] HttpClient& http() { return http_; }

 private:
  [[nodiscard]] HttpRequest Build(const AzureRequest& request) const;

  HttpClient& http_;
  Authorizer& authorizer_;
  const std::string container_url_;
  const std::stop_token stop_;
  static constexpr std::int64_t kUntold = std::numeric_limits<std::int64_t>::min();
  std::atomic<std::int64_t> server_milliseconds_ = kUntold;
};

// "BlobNotFound"; empty if the service named none.
[[nodiscard]] inline std::string_view AzureCode(const HttpResponse& reply) {
  return reply.headers.Get("x-ms-error-code");
}

// A code that speaks of the source of a copy, not of the blob that the request names.
inline constexpr std::string_view kSourceRefused = "CannotVerifyCopySource";

// Base64 of the eight bytes, the lowest first: how headers have a CRC-64.
[[nodiscard]] std::string CrcHeader(std::uint64_t crc64);
// "0x8DD" of "\"0x8DD\"": replies have it in quotes, lists do not.
[[nodiscard]] std::string WithoutQuotes(std::string_view etag);

// "bytes=0-511". Not empty.
[[nodiscard]] std::string RangeHeader(Extent range);

}  // namespace asr
