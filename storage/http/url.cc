#include "storage/http/url.h"

#include <arpa/inet.h>

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "storage/base/text.h"
#include "storage/http/http_message.h"

namespace asr {
namespace {

bool IsUnreserved(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

std::optional<int> HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  if (lower >= 'a' && lower <= 'f') return lower - 'a' + 10;
  return std::nullopt;
}

Error NotAUrl(std::string_view text, std::string_view why) {
  return MakeError(ErrorKind::kUsage, ErrorCode::kUsage,
                   fmt::format("'{}' is not a URL that can be reached: {}", OriginOf(text), why))
      .WithAction("give it as https://HOST/PATH");
}

std::vector<std::pair<std::string, std::string>> SplitQuery(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> query;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find('&'));
    text.remove_prefix(std::min(part.size() + 1, text.size()));
    if (part.empty()) continue;
    const std::size_t equals = part.find('=');
    const std::string_view value =
        equals == std::string_view::npos ? std::string_view() : part.substr(equals + 1);
    query.emplace_back(part.substr(0, equals), value);
  }
  return query;
}

}  // namespace

std::string PercentEncode(std::string_view text, std::string_view keep) {
  std::string encoded;
  for (const char c : text) {
    if (IsUnreserved(c) || keep.find(c) != std::string_view::npos) {
      encoded += c;
    } else {
      encoded += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return encoded;
}

std::string PercentDecode(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto high = i + 2 < text.size() ? HexDigit(text[i + 1]) : std::nullopt;
    const auto low = i + 2 < text.size() ? HexDigit(text[i + 2]) : std::nullopt;
    if (text[i] == '%' && high && low) {
      decoded += static_cast<char>(*high * 16 + *low);
      i += 2;
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

std::string EncodeForm(const std::vector<std::pair<std::string, std::string>>& fields) {
  std::string text;
  for (const auto& [name, value] : fields) {
    if (!text.empty()) text += '&';
    text += PercentEncode(name) + "=" + PercentEncode(value);
  }
  return text;
}

std::string Url::origin() const {
  return fmt::format("{}://{}{}{}", scheme, host, port.empty() ? "" : ":", port);
}

bool Url::is_loopback() const {
  return host == "localhost" || host == "[::1]" || (is_ip_address() && host.starts_with("127."));
}

bool Url::is_ip_address() const {
  if (host.starts_with('[')) return true;
  in_addr address{};
  return ::inet_pton(AF_INET, host.c_str(), &address) == 1;
}

Result<Url> ParseUrl(std::string_view text) {
  const std::size_t scheme_end = text.find("://");
  if (scheme_end == std::string_view::npos) return Fail(NotAUrl(text, "it has no https://"));
  Url url;
  url.scheme = AsciiLowerCase(text.substr(0, scheme_end));
  if (url.scheme != "http" && url.scheme != "https") {
    return Fail(NotAUrl(text, "only http and https are known"));
  }
  std::string_view rest = text.substr(scheme_end + 3);
  std::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
  rest.remove_prefix(authority.size());
  if (authority.find('@') != std::string_view::npos) {
    return Fail(NotAUrl(text, "a user or password must not stand in it"));
  }
  const std::size_t bracket = authority.find(']');
  const std::size_t colon = authority.find(':', bracket == std::string_view::npos ? 0 : bracket);
  url.host = AsciiLowerCase(authority.substr(0, colon));
  if (colon != std::string_view::npos) url.port = authority.substr(colon + 1);
  if (url.host.empty() || url.port.size() > 5 ||
      url.port.find_first_not_of("0123456789") != std::string::npos) {
    return Fail(NotAUrl(text, "host or port are wrong"));
  }
  if (std::any_of(text.begin(), text.end(), [](char c) { return c > '\0' && c <= ' '; })) {
    return Fail(NotAUrl(text, "it has blanks in it"));
  }
  rest = rest.substr(0, rest.find('#'));
  const std::size_t question = rest.find('?');
  url.path = rest.substr(0, question);
  if (url.path.empty()) url.path = "/";
  if (question != std::string_view::npos) url.query = SplitQuery(rest.substr(question + 1));
  return url;
}

}  // namespace asr
