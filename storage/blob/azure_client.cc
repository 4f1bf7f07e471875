#include "storage/blob/azure_client.h"

#include <array>
#include <chrono>

#include <fmt/format.h>

#include "storage/auth/crypto.h"
#include "storage/base/crc64.h"
#include "storage/http/server_problem.h"

namespace asr {
namespace {

constexpr std::string_view kServiceVersion = "2023-11-03";

bool IsUnreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

void AppendEncoded(std::string& url, std::string_view text) {
  for (const char c : text) {
    if (IsUnreserved(c)) {
      url.push_back(c);
    } else {
      url += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
}

}  // namespace

AzureClient::AzureClient(HttpClient& http, Authorizer& authorizer, std::string container_url,
                         std::stop_token stop)
    : http_(http),
      authorizer_(authorizer),
      container_url_(std::move(container_url)),
      stop_(std::move(stop)) {}

HttpRequest AzureClient::Build(const AzureRequest& request) const {
  HttpRequest http;
  http.method = request.method;
  http.url = container_url_;
  // Names are made of characters that stand for themselves (blob_name.h).
  if (!request.blob.empty()) http.url += "/" + request.blob;
  char separator = '?';
  for (const auto& [name, value] : request.query) {
    http.url.push_back(separator);
    separator = '&';
    AppendEncoded(http.url, name);
    http.url.push_back('=');
    AppendEncoded(http.url, value);
  }
  http.headers = request.headers;
  http.headers.Set("x-ms-version", kServiceVersion);
  if (!request.body.empty()) http.headers.Set("x-ms-content-crc64", CrcHeader(Crc64(request.body)));
  http.body = request.body;
  http.into = request.into;
  http.may_be_sent_twice = !request.before_repeat;
  return http;
}

namespace {

// That something is not there is believed of the service only, and of the blob that was meant.
Status CheckAbsence(const AzureRequest& request, const HttpResponse& reply) {
  if (reply.status != 404 || AzureCode(reply) == "BlobNotFound") return {};
  if (AzureCode(reply) == kSourceRefused) return {};
  if (request.blob.empty() && AzureCode(reply) == "ContainerNotFound") return {};
  return Fail(MakeError(ErrorKind::kIo, ErrorCode::kServerError,
                        fmt::format("{}: the answer is 404 {}", request.what, AzureCode(reply)))
                  .WithCause("the container was deleted, or the URL is that of another service")
                  .WithAction("look at the container and the URL, then run the command again"));
}

// What is no answer to the request's condition, though it has the same status.
bool IsOutOfPlace(const AzureRequest& request, const HttpResponse& reply) {
  if (request.blob.empty()) return false;
  if (reply.status == 409) return AzureCode(reply) == "ContainerBeingDeleted";
  // Leases of ours are on blobs of their own.
  return reply.status == 412 && AzureCode(reply) == "LeaseIdMissing" &&
         !request.blob.starts_with(kLeaseBlobs);
}

Error WithBlob(Error error, const AzureRequest& request) {
  if (error.code != ErrorCode::kLocked) return error;
  error.action = fmt::format(
      "find out who needs that lease, then end it: az storage blob lease break --container-name "
      "CONTAINER --blob-name {}",
      request.blob);
  return error;
}

}  // namespace

Result<HttpResponse> AzureClient::Send(const AzureRequest& request) {
  const HttpCall call{.what = request.what,
                      .authorizer = &authorizer_,
                      .expected = request.expected,
                      .retry = {},
                      .before_repeat = request.before_repeat};
  auto reply = http_.Send(Build(request), call, stop_);
  if (!reply) return Fail(WithBlob(std::move(reply).error(), request));
  // Proxies have clocks of their own.
  const auto date = ParseHttpDate(reply->headers.Get("date"));
  if (date && !reply->headers.Get("x-ms-request-id").empty()) {
    // Its fractions of a second are cut off.
    const Timestamp latest = *date + std::chrono::milliseconds(999);
    server_milliseconds_ = latest.time_since_epoch().count();
  }
  ASR_CHECK(CheckAbsence(request, *reply));
  if (IsOutOfPlace(request, *reply)) {
    return Fail(WithBlob(RefusalError(*reply, request.what, SystemClock().Now()), request));
  }
  return reply;
}

std::optional<Timestamp> AzureClient::server_time() const {
  const std::int64_t milliseconds = server_milliseconds_;
  if (milliseconds == kUntold) return std::nullopt;
  return Timestamp(std::chrono::milliseconds(milliseconds));
}

Status AzureClient::SetCopySource(AzureRequest& request, const std::string& blob,
                                  const std::string& snapshot) {
  AzureRequest source{.blob = blob, .query = {}, .what = request.what};
  if (!snapshot.empty()) source.query.emplace_back("snapshot", snapshot);
  HttpRequest http = Build(source);
  const std::string container = container_url_.substr(container_url_.rfind('/') + 1);
  ASR_CHECK(authorizer_.SignSource(http, {container, blob, snapshot}, stop_));
  request.headers.Set("x-ms-copy-source", http.url);
  const std::string_view proof = http.headers.Get("authorization");
  if (!proof.empty()) request.headers.Set("x-ms-copy-source-authorization", proof);
  return {};
}

Result<HttpResponse> AzureClient::SendLast(const AzureRequest& request) {
  const RetryPolicy few{.base_seconds = 0.2, .cap_seconds = 1, .budget_seconds = 12};
  const HttpCall call{.what = request.what,
                      .authorizer = &authorizer_,
                      .expected = request.expected,
                      .retry = few,
                      .before_repeat = request.before_repeat};
  HttpRequest http = Build(request);
  // A connection that is dead must not outlast what is to be renewed or given back by this.
  http.connect_timeout_seconds = 5;
  http.stall_timeout_seconds = 8;
  return http_.Send(std::move(http), call, {});
}

std::string CrcHeader(std::uint64_t crc64) {
  std::array<std::byte, 8> bytes{};
  StoreLittle<std::uint64_t>(bytes, 0, crc64);
  return Base64Encode(bytes);
}

std::string WithoutQuotes(std::string_view etag) {
  if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"') {
    etag = etag.substr(1, etag.size() - 2);
  }
  return std::string(etag);
}

std::string RangeHeader(Extent range) {
  return fmt::format("bytes={}-{}", range.offset_bytes, range.end_bytes() - 1);
}

}  // namespace asr
