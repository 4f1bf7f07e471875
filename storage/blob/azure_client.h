// Requests to one container of Azure Blob Storage, as its REST interface has them (Blob service
// REST API, version 2023-11-03).
#pragma once

#include <functional>
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
  // Also after a stop, with few tries: what others would wait for is given back.
  [[nodiscard]] Result<HttpResponse> SendLast(const AzureRequest& request);

  [[nodiscard]] const std::string& container_url() const { return container_url_; }
  [[nodiscard]] const std::stop_token& stop() const { return stop_; }
  [[nodiscard]] HttpClient& http() { return http_; }

 private:
  [[nodiscard]] HttpRequest Build(const AzureRequest& request) const;

  HttpClient& http_;
  Authorizer& authorizer_;
  const std::string container_url_;
  const std::stop_token stop_;
};

// "BlobNotFound"; empty if the service named none.
[[nodiscard]] inline std::string_view AzureCode(const HttpResponse& reply) {
  return reply.headers.Get("x-ms-error-code");
}

// "0x8DD" of "\"0x8DD\"": replies have it in quotes, lists do not.
[[nodiscard]] std::string WithoutQuotes(std::string_view etag);

// "bytes=0-511". Not empty.
[[nodiscard]] std::string RangeHeader(Extent range);

}  // namespace asr
