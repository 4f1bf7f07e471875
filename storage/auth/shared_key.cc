#include "storage/auth/shared_key.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "storage/auth/crypto.h"
#include "storage/auth/sas.h"
#include "storage/base/text.h"
#include "storage/http/retry_policy.h"
#include "storage/http/url.h"

namespace asr {
namespace {

bool IsIgnored(char c) { return c == '-' || c == '\''; }

// Where a character of a header's name stands in the order of en-US; all others have none.
std::size_t Rank(char c) {
  constexpr std::string_view kOrder = "!#$%&*.^_`|~+0123456789abcdefghijklmnopqrstuvwxyz";
  return kOrder.find(c);
}

std::vector<std::size_t> Ranks(std::string_view name) {
  std::vector<std::size_t> ranks;
  for (const char c : name) {
    if (!IsIgnored(c)) ranks.push_back(Rank(c));
  }
  return ranks;
}

// Between names that differ in nothing but ignored characters: the one whose first such difference
// is a plain character comes first.
bool IsPlainEarlier(std::string_view left, std::string_view right) {
  for (std::size_t i = 0; i < left.size() && i < right.size(); ++i) {
    if (left[i] == right[i]) continue;
    if (IsIgnored(left[i]) && IsIgnored(right[i])) return left[i] == '\'';
    return !IsIgnored(left[i]);
  }
  return left.size() < right.size();
}

std::string_view Trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::string CanonicalHeaders(const HttpHeaders& headers) {
  std::vector<std::pair<std::string, std::string>> ours;
  for (const auto& [name, value] : headers) {
    if (name.starts_with("x-ms-")) ours.emplace_back(name, Trimmed(value));
  }
  std::sort(ours.begin(), ours.end(), [](const auto& left, const auto& right) {
    return ComesBefore(left.first, right.first);
  });
  std::string text;
  for (const auto& [name, value] : ours) text += fmt::format("{}:{}\n", name, value);
  return text;
}

std::string CanonicalResource(const Url& url, std::string_view account) {
  std::map<std::string, std::vector<std::string>> query;
  for (const auto& [name, value] : url.query) {
    query[AsciiLowerCase(PercentDecode(name))].push_back(PercentDecode(value));
  }
  std::string text = fmt::format("/{}{}", account, url.path);
  for (auto& [name, values] : query) {
    std::sort(values.begin(), values.end());
    text += fmt::format("\n{}:{}", name, fmt::join(values, ","));
  }
  return text;
}

}  // namespace

bool ComesBefore(std::string_view left, std::string_view right) {
  const auto left_ranks = Ranks(left);
  const auto right_ranks = Ranks(right);
  if (left_ranks != right_ranks) return left_ranks < right_ranks;
  return IsPlainEarlier(left, right);
}

std::string StringToSign(const HttpRequest& request, std::string_view account) {
  const auto& headers = request.headers;
  const std::string length =
      request.body.empty() ? std::string() : std::to_string(request.body.size());
  std::string text =
      fmt::format("{}\n{}\n{}\n{}\n", MethodName(request.method), headers.Get("content-encoding"),
                  headers.Get("content-language"), length);
  for (const char* const name : {"content-md5", "content-type", "date", "if-modified-since",
                                 "if-match", "if-none-match", "if-unmodified-since", "range"}) {
    const bool is_replaced = name == std::string_view("date") && headers.Has("x-ms-date");
    if (!is_replaced) text += Trimmed(headers.Get(name));
    text += '\n';
  }
  text += CanonicalHeaders(headers);
  const auto url = ParseUrl(request.url);
  return url ? text + CanonicalResource(*url, account) : text;
}

Result<Secret> DecodeAccountKey(const Secret& key) {
  auto bytes = Base64Decode(key.Reveal());
  if (bytes) return Secret(*std::move(bytes));
  return Fail(MakeError(ErrorKind::kUsage, ErrorCode::kCredentialInvalid,
                        "the account's key is not one: a key is Base64")
                  .WithCause("it was cut when it was copied")
                  .WithAction("copy it again: az storage account keys list -n ACCOUNT"));
}

Result<std::unique_ptr<SharedKeyAuthorizer>> SharedKeyAuthorizer::Create(std::string account,
                                                                         const Secret& key,
                                                                         const Clock& clock) {
  ASR_TRY(Secret bytes, DecodeAccountKey(key));
  return std::unique_ptr<SharedKeyAuthorizer>(
      new SharedKeyAuthorizer(std::move(account), std::move(bytes), clock));
}

Status SharedKeyAuthorizer::Sign(HttpRequest& request, const std::stop_token& /*stop*/) {
  request.headers.Set("x-ms-date", FormatHttpDate(clock_.Now()));
  const Sha256 signature = HmacSha256(key_bytes_.Reveal(), StringToSign(request, account_));
  request.headers.Set("authorization",
                      fmt::format("SharedKey {}:{}", account_, Base64Encode(signature)));
  return {};
}

Status SharedKeyAuthorizer::SignSource(HttpRequest& request, const CopySource& source,
                                       const std::stop_token& /*stop*/) {
  constexpr std::chrono::hours kGoodFor{1};
  const Secret key(Base64Encode(AsBytes(key_bytes_.Reveal())));
  ASR_TRY(const SasToken sas, MakeServiceSas(account_, key,
                                             {.container = source.container,
                                              .blob = source.blob,
                                              .snapshot = source.snapshot,
                                              .permissions = "r",
                                              .starts_at = {},
                                              .expires_at = clock_.Now() + kGoodFor,
                                              .is_https_only = request.url.starts_with("https:"),
                                              .ip_range = {}}));
  request.url += request.url.find('?') == std::string::npos ? '?' : '&';
  request.url += sas.query.Reveal();
  return {};
}

}  // namespace asr
