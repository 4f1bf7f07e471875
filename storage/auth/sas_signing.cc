#include "storage/auth/sas.h"

#include <utility>
#include <vector>

#include <fmt/format.h>

#include "storage/auth/crypto.h"
#include "storage/auth/shared_key.h"
#include "storage/http/url.h"

namespace asr {
namespace {

std::string SasTime(std::optional<Timestamp> time) {
  if (!time) return {};
  return fmt::format("{}Z", FormatTime(*time).substr(0, 19));
}

// The newest version whose strings are those below.
constexpr std::string_view kSasVersion = "2020-12-06";

std::string ResourceLetters(const SasRequest& request) {
  if (request.blob.empty()) return "c";
  return request.snapshot.empty() ? "b" : "bs";
}

std::string CanonicalName(const std::string& account, const SasRequest& request) {
  std::string name = fmt::format("/blob/{}/{}", account, request.container);
  if (!request.blob.empty()) name += "/" + request.blob;
  return name;
}

std::vector<std::pair<std::string, std::string>> CommonFields(const SasRequest& request) {
  std::vector<std::pair<std::string, std::string>> fields = {{"sv", std::string(kSasVersion)},
                                                             {"sr", ResourceLetters(request)}};
  if (request.starts_at) fields.emplace_back("st", SasTime(request.starts_at));
  fields.emplace_back("se", SasTime(request.expires_at));
  if (!request.ip_range.empty()) fields.emplace_back("sip", request.ip_range);
  if (request.is_https_only) fields.emplace_back("spr", "https");
  fields.emplace_back("sp", SasPermissionsInOrder(request.permissions));
  return fields;
}

std::string_view Protocol(const SasRequest& request) {
  return request.is_https_only ? "https" : "";
}

Result<SasToken> Signed(std::vector<std::pair<std::string, std::string>> fields, const Secret& key,
                        const std::string& text) {
  ASR_TRY(const Secret key_bytes, DecodeAccountKey(key));
  fields.emplace_back("sig", Base64Encode(HmacSha256(key_bytes.Reveal(), text)));
  return ParseSas(Secret(EncodeForm(fields)));
}

}  // namespace

std::string ServiceSasStringToSign(const std::string& account, const SasRequest& request) {
  // The last lines: encryption scope, and five headers of replies.
  return fmt::format("{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n\n\n\n\n\n",
                     SasPermissionsInOrder(request.permissions), SasTime(request.starts_at),
                     SasTime(request.expires_at), CanonicalName(account, request), /*si*/ "",
                     request.ip_range, Protocol(request), kSasVersion, ResourceLetters(request),
                     request.snapshot);
}

std::string UserDelegationSasStringToSign(const std::string& account, const UserDelegationKey& key,
                                          const SasRequest& request) {
  return fmt::format("{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n\n\n\n{}\n{}\n{}\n{}\n{}\n\n\n\n\n\n",
                     SasPermissionsInOrder(request.permissions), SasTime(request.starts_at),
                     SasTime(request.expires_at), CanonicalName(account, request), key.object_id,
                     key.tenant_id, key.starts_at, key.expires_at, key.service, key.version,
                     request.ip_range, Protocol(request), kSasVersion, ResourceLetters(request),
                     request.snapshot);
}

Result<SasToken> MakeServiceSas(const std::string& account, const Secret& key,
                                const SasRequest& request) {
  return Signed(CommonFields(request), key, ServiceSasStringToSign(account, request));
}

Result<SasToken> MakeUserDelegationSas(const std::string& account, const UserDelegationKey& key,
                                       const SasRequest& request) {
  auto fields = CommonFields(request);
  fields.insert(fields.end(), {{"skoid", key.object_id},
                               {"sktid", key.tenant_id},
                               {"skt", key.starts_at},
                               {"ske", key.expires_at},
                               {"sks", key.service},
                               {"skv", key.version}});
  return Signed(std::move(fields), key.value, UserDelegationSasStringToSign(account, key, request));
}

}  // namespace asr
