#include "storage/http/http_message.h"

#include "storage/base/text.h"

namespace asr {

std::string_view MethodName(HttpMethod method) {
  switch (method) {
    case HttpMethod::kGet:
      return "GET";
    case HttpMethod::kHead:
      return "HEAD";
    case HttpMethod::kPut:
      return "PUT";
    case HttpMethod::kPost:
      return "POST";
    case HttpMethod::kPatch:
      return "PATCH";
    case HttpMethod::kDelete:
      return "DELETE";
  }
  return "GET";
}

void HttpHeaders::Set(std::string_view name, std::string_view value) {
  values_.insert_or_assign(AsciiLowerCase(name), std::string(value));
}

void HttpHeaders::Add(std::string_view name, std::string_view value) {
  const auto [place, is_new] = values_.try_emplace(AsciiLowerCase(name), value);
  if (!is_new) place->second.append(", ").append(value);
}

void HttpHeaders::Remove(std::string_view name) { values_.erase(AsciiLowerCase(name)); }

std::string_view HttpHeaders::Get(std::string_view name) const {
  const auto found = values_.find(AsciiLowerCase(name));
  return found == values_.end() ? std::string_view() : std::string_view(found->second);
}

bool HttpHeaders::Has(std::string_view name) const {
  return values_.contains(AsciiLowerCase(name));
}

std::string OriginOf(std::string_view url) {
  const std::size_t scheme = url.find("://");
  if (scheme == std::string_view::npos) return {};
  std::string_view authority = url.substr(scheme + 3);
  authority = authority.substr(0, authority.find_first_of("/?#"));
  const std::size_t user = authority.rfind('@');
  if (user != std::string_view::npos) authority.remove_prefix(user + 1);
  return std::string(url.substr(0, scheme + 3)).append(authority);
}

}  // namespace asr
