// Requests and replies of HTTP as values.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "storage/base/bytes.h"

namespace asr {

enum class HttpMethod : std::uint8_t { kGet, kHead, kPut, kPost, kPatch, kDelete };

// "GET"
[[nodiscard]] std::string_view MethodName(HttpMethod method);

// Headers by their names in lower case; letter case of what is asked for does not count.
class HttpHeaders {
 public:
  // Replaces what was there.
  void Set(std::string_view name, std::string_view value);
  // A repeated header joins the values with ", ", as RFC 9110 5.2 has it.
  void Add(std::string_view name, std::string_view value);
  void Remove(std::string_view name);
  // Empty if there is none.
  [[nodiscard]] std::string_view Get(std::string_view name) const;
  [[nodiscard]] bool Has(std::string_view name) const;

  // In the order of their names.
  [[nodiscard]] auto begin() const { return values_.begin(); }
  [[nodiscard]] auto end() const { return values_.end(); }

 private:
  std::map<std::string, std::string, std::less<>> values_;
};

struct HttpRequest {
  HttpMethod method = HttpMethod::kGet;
  std::string url;  // absolute, percent-encoded already
  HttpHeaders headers;
  ByteSpan body;  // not owned
  // Where the body of a 2xx reply goes without another copy; not owned. A longer body is kBadReply,
  // a shorter one is told by HttpResponse::body_bytes. Empty: into HttpResponse::body.
  MutableByteSpan into;
  std::uint64_t reply_limit_bytes = 16 * kMiB;  // of a body that does not go `into`
  // False: a kept connection that turns out to be closed is an Error, too, for the server may still
  // do what was sent on it.
  bool may_be_sent_twice = true;
  double connect_timeout_seconds = 15;
  double stall_timeout_seconds = 60;  // without a byte in either direction
  bool goes_past_proxies = false;     // for services of this very machine or its host
};

struct HttpResponse {
  int status = 0;
  HttpHeaders headers;
  std::string body;              // empty if it went `into`
  std::uint64_t body_bytes = 0;  // wherever it went

  [[nodiscard]] bool IsSuccess() const { return status >= 200 && status < 300; }
};

// "https://account.blob.core.windows.net": scheme, host and port, nothing that could be a secret.
[[nodiscard]] std::string OriginOf(std::string_view url);

}  // namespace asr
