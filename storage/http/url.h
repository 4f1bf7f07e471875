// URLs and their encoding.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/base/result.h"

namespace asr {

// All but A-Z a-z 0-9 - . _ ~ and what `keep` names becomes %XX.
[[nodiscard]] std::string PercentEncode(std::string_view text, std::string_view keep = {});
// "%" that no two hex digits follow stands for itself. '+' stays.
[[nodiscard]] std::string PercentDecode(std::string_view text);

// "a=1&b=2", encoded; names and values are.
[[nodiscard]] std::string EncodeForm(
    const std::vector<std::pair<std::string, std::string>>& fields);

struct Url {
  std::string scheme;  // "http" or "https"
  std::string host;    // in lower case; an IPv6 address in its brackets
  std::string port;    // digits; empty: the scheme's own
  std::string path;    // encoded, begins with '/'
  std::vector<std::pair<std::string, std::string>> query;  // encoded as it was

  // "https://host:port"
  [[nodiscard]] std::string origin() const;
  [[nodiscard]] bool is_loopback() const;  // 127.0.0.0/8, ::1, localhost
  [[nodiscard]] bool is_ip_address() const;
};

// kUsage if it is no absolute http or https URL, or has a user in it. The error holds no more of
// the text than its origin: there may be a secret in its query.
[[nodiscard]] Result<Url> ParseUrl(std::string_view text);

}  // namespace asr
