#include "storage/auth/bearer.h"

#include <algorithm>

#include <fmt/format.h>

#include "storage/auth/entra_sources.h"
#include "storage/base/stop.h"
#include "storage/http/retry_policy.h"
#include "storage/http/url.h"

namespace asr {
namespace {

constexpr double kSecondsBetweenRenewals = 30;

}  // namespace

Result<Secret> TokenCache::Get(const TokenRequest& request, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  Entry& entry = entries_[request];
  while (true) {
    if (IsGood(entry) && (entry.is_fetching || !IsRenewalDue(entry))) return entry.token->value;
    if (!entry.is_fetching) return FetchFor(entry, request, lock, stop);
    const std::uint64_t fetches = entry.fetches;
    if (!changed_.wait(lock, stop, [&] { return entry.fetches != fetches; })) {
      return Fail(Stopped());
    }
    // Whoever waited for a fetch that failed need not fail on its own once more; but if only its
    // caller was stopped, somebody else has to go.
    if (entry.problem && entry.problem->code != ErrorCode::kCancelled) return Fail(*entry.problem);
  }
}

Result<Secret> TokenCache::FetchFor(Entry& entry, const TokenRequest& request,
                                    std::unique_lock<std::mutex>& lock,
                                    const std::stop_token& stop) {
  entry.is_fetching = true;
  lock.unlock();
  auto token = source_->Fetch(request, stop);
  lock.lock();
  entry.is_fetching = false;
  ++entry.fetches;
  entry.problem.reset();
  changed_.notify_all();
  if (token) {
    entry.token = *std::move(token);
    return entry.token->value;
  }
  if (IsGood(entry)) {
    entry.next_try_seconds = clock_.MonotonicSeconds() + kSecondsBetweenRenewals;
    return entry.token->value;
  }
  entry.problem = token.error();
  return Fail(std::move(token).error());
}

bool TokenCache::IsGood(const Entry& entry) const {
  return entry.token && entry.token->expires_at > clock_.Now();
}

bool TokenCache::IsRenewalDue(const Entry& entry) const {
  return entry.token->renew_at <= clock_.Now() &&
         entry.next_try_seconds <= clock_.MonotonicSeconds();
}

void TokenCache::Forget(const TokenRequest& request, std::string_view refused) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(request);
  if (found == entries_.end() || !found->second.token) return;
  if (found->second.token->value.Reveal() == refused) found->second.token.reset();
}

std::optional<Timestamp> TokenCache::ExpiryOf(const TokenRequest& request) const {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(request);
  if (found == entries_.end() || !found->second.token) return std::nullopt;
  return found->second.token->expires_at;
}

Status BearerAuthorizer::Sign(HttpRequest& request, const std::stop_token& stop) {
  if (!request.url.starts_with("https://")) {
    return Fail(MakeError(ErrorKind::kUsage, ErrorCode::kCredentialInvalid,
                          "a token of Entra ID is never sent without TLS")
                    .WithCause("whoever listens could use it")
                    .WithAction("give the URL with https://"));
  }
  TokenRequest wanted;
  {
    const std::lock_guard lock(mutex_);
    wanted = request_;
  }
  ASR_TRY(const Secret token, cache_.Get(wanted, stop));
  request.headers.Set("authorization", fmt::format("Bearer {}", token.Reveal()));
  request.headers.Set("x-ms-date", FormatHttpDate(clock_.Now()));
  return {};
}

Result<bool> BearerAuthorizer::Renew(const HttpRequest& refused, const HttpResponse& refusal,
                                     const std::stop_token& /*stop*/) {
  std::string_view token = refused.headers.Get("authorization");
  token.remove_prefix(std::min(token.size(), std::string_view("Bearer ").size()));
  const std::string tenant = TenantOfChallenge(refusal.headers.Get("www-authenticate"));
  const std::lock_guard lock(mutex_);
  if (!tenant.empty()) request_.tenant = tenant;
  cache_.Forget(request_, token);
  return true;
}

std::string TenantOfChallenge(std::string_view challenge) {
  if (!challenge.starts_with("Bearer ")) return {};
  for (const std::string_view name : {"authorization_uri=", "authorization="}) {
    const std::size_t at = challenge.find(name);
    if (at == std::string_view::npos) continue;
    std::string_view text = challenge.substr(at + name.size());
    if (text.starts_with('"')) text.remove_prefix(1);
    const auto url = ParseUrl(text.substr(0, text.find_first_of(" ,\"")));
    if (!url) continue;
    std::string tenant = url->path.substr(1, url->path.find('/', 1) - 1);
    if (IsEntraName(tenant)) return tenant;
  }
  return {};
}

}  // namespace asr
