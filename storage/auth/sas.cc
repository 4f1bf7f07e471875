#include "storage/auth/sas.h"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "storage/http/url.h"

namespace asr {
namespace {

constexpr auto kWarningTime = std::chrono::hours(7 * 24);

Error InvalidSas(std::string_view why) {
  return MakeError(ErrorKind::kUsage, ErrorCode::kCredentialInvalid,
                   fmt::format("the shared access signature cannot be used: {}", why));
}

Error Broken(std::string_view why) {
  return InvalidSas(why)
      .WithCause("it was cut when it was copied, or a shell took its '&' for the command's end")
      .WithAction("copy it again, whole, and quote it or put it into a file of mode 0600");
}

// "2026-12-01", "2026-12-01T10:00Z" and "2026-12-01T10:00:00Z" are all allowed.
std::optional<Timestamp> ParseSasTime(std::string text) {
  if (text.size() == 10) text += "T00:00:00Z";
  if (text.size() == 17 && text.back() == 'Z') text.insert(16, ":00");
  return ParseTime(text);
}

Status SetTime(const std::string& name, const std::string& value, std::optional<Timestamp>& time) {
  time = ParseSasTime(value);
  if (!time) return Fail(Broken(fmt::format("its {} is no time", name)));
  return {};
}

Status SetField(const std::string& name, const std::string& value, SasToken& sas) {
  if (name == "sp") sas.permissions = value;
  if (name == "sr" || name == "srt") sas.resource = value;
  if (name == "ss") sas.services = value;
  if (name == "si") sas.policy = value;
  if (name == "spr") sas.is_https_only = value == "https";
  if (name == "st") return SetTime(name, value, sas.starts_at);
  if (name == "se") return SetTime(name, value, sas.expires_at);
  return {};
}

SasKind KindOf(const Url& url) {
  SasKind kind = SasKind::kService;
  for (const auto& [name, value] : url.query) {
    if (name == "ss" || name == "srt") kind = SasKind::kAccount;
    if (name == "skoid") kind = SasKind::kUserDelegation;
  }
  return kind;
}

Status CheckResource(const SasToken& sas) {
  if (sas.kind != SasKind::kAccount) {
    if (sas.resource == "c" || sas.resource == "d") return {};
    return Fail(InvalidSas("it is for one blob, not for a container")
                    .WithAction("make one for the container (sr=c)"));
  }
  if (sas.services.find('b') == std::string::npos) {
    return Fail(InvalidSas("it is not for the blob service").WithAction("make one with ss=b"));
  }
  if (sas.resource.find('o') == std::string::npos || sas.resource.find('c') == std::string::npos) {
    return Fail(InvalidSas("it is not for containers and the blobs in them")
                    .WithAction("make one with srt=co"));
  }
  return {};
}

Error Expired(const SasToken& sas) {
  return MakeError(ErrorKind::kState, ErrorCode::kCredentialExpired,
                   fmt::format("the shared access signature expired at {}",
                               FormatTime(sas.expires_at.value_or(Timestamp{}))))
      .WithCause("signatures are given for a time")
      .WithAction("make a new one and give it in place of the old; work goes on where it was");
}

}  // namespace

std::string SasPermissionsInOrder(std::string_view permissions) {
  std::string ordered;
  for (const char letter : std::string_view("racwdxyltmeopi")) {
    if (permissions.find(letter) != std::string_view::npos) ordered += letter;
  }
  return ordered;
}

Result<SasToken> ParseSas(const Secret& text) {
  std::string_view query = text.Reveal();
  if (query.starts_with('?')) query.remove_prefix(1);
  const auto url = ParseUrl("https://sas/?" + std::string(query));
  if (!url) return Fail(Broken("it has blanks in it"));
  SasToken sas;
  sas.query = Secret(std::string(query));
  sas.kind = KindOf(*url);
  bool is_signed = false;
  for (const auto& [name, value] : url->query) {
    is_signed = is_signed || (name == "sig" && !value.empty());
    ASR_CHECK(SetField(name, PercentDecode(value), sas));
  }
  if (!is_signed) return Fail(Broken("there is no signature in it (sig)"));
  if (!sas.expires_at && sas.policy.empty()) return Fail(Broken("it does not say its end (se)"));
  return sas;
}

Status CheckSas(const SasToken& sas, std::string_view permissions, Timestamp now) {
  if (sas.expires_at && *sas.expires_at <= now) return Fail(Expired(sas));
  if (sas.starts_at && *sas.starts_at > now) {
    return Fail(InvalidSas(fmt::format("it holds from {} only", FormatTime(*sas.starts_at)))
                    .WithCause("this machine's clock is behind")
                    .WithAction("wait, or make one without a start"));
  }
  ASR_CHECK(CheckResource(sas));
  if (!sas.policy.empty()) return {};
  std::string missing;
  for (const char letter : permissions) {
    if (!sas.HasPermission(letter)) missing += letter;
  }
  if (missing.empty()) return {};
  return Fail(
      MakeError(ErrorKind::kState, ErrorCode::kNotAuthorized,
                fmt::format("the shared access signature allows '{}', but '{}' is needed, "
                            "too",
                            sas.permissions, missing))
          .WithAction(fmt::format("make one with sp={}", SasPermissionsInOrder(permissions))));
}

std::optional<Timestamp> ExpiringSoon(const SasToken& sas, Timestamp now) {
  if (!sas.expires_at || *sas.expires_at - now >= kWarningTime) return std::nullopt;
  return sas.expires_at;
}

Status SasAuthorizer::Sign(HttpRequest& request, const std::stop_token& /*stop*/) {
  const std::lock_guard lock(mutex_);
  const auto has_expired = [&] { return sas_.expires_at && *sas_.expires_at <= clock_.Now(); };
  if (has_expired() && reload_) {
    ASR_TRY(sas_, reload_({}));
  }
  if (has_expired()) return Fail(Expired(sas_));
  if (sas_.is_https_only && !request.url.starts_with("https:")) {
    return Fail(InvalidSas("it is for https only").WithAction("give the URL with https://"));
  }
  request.url += request.url.find('?') == std::string::npos ? '?' : '&';
  request.url += sas_.query.Reveal();
  return {};
}

Result<bool> SasAuthorizer::Renew(const HttpRequest& refused, const HttpResponse& /*refusal*/,
                                  const std::stop_token& /*stop*/) {
  if (!reload_) return false;
  const std::lock_guard lock(mutex_);
  const std::string_view used = sas_.query.Reveal();
  // Another request may have got the new one already.
  if (!refused.url.ends_with(used)) return true;
  ASR_TRY(SasToken fresh, reload_(sas_.query));
  const bool is_other = fresh.query.Reveal() != used;
  sas_ = std::move(fresh);
  return is_other;
}

}  // namespace asr
