// Shared access signatures: reading them, using them, making them.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "storage/auth/secret.h"
#include "storage/base/clock.h"
#include "storage/http/authorizer.h"

namespace asr {

enum class SasKind : std::uint8_t {
  kAccount,         // for services and resource types of a whole account
  kService,         // for a container or a blob, signed with the account's key
  kUserDelegation,  // the same, signed with a key that a user of Entra ID was given
};

// What may be told of a SAS. The signature is in `query` only.
struct SasToken {
  Secret query;  // without '?', as it was given
  SasKind kind = SasKind::kService;
  std::string permissions;              // sp; empty if a stored policy says them
  std::string resource;                 // sr: "c", "b", "bs"; of an account SAS srt: "sco"
  std::string services;                 // ss, of an account SAS: "b"
  std::string policy;                   // si: the stored policy, by name
  std::optional<Timestamp> starts_at;   // st
  std::optional<Timestamp> expires_at;  // se; nullopt if a stored policy says it
  bool is_https_only = false;           // spr=https

  [[nodiscard]] bool HasPermission(char letter) const {
    return permissions.find(letter) != std::string::npos;
  }
};

// With or without '?' in front. kCredentialInvalid, without any part of the text.
[[nodiscard]] Result<SasToken> ParseSas(const Secret& text);

// Whether it is good for blobs in a container now, with all of `permissions` ("rwdl"):
// kCredentialExpired, kCredentialInvalid (not yet valid, other resource) or kNotAuthorized (naming
// the letters that are missing). A stored policy's permissions are known to the service only.
[[nodiscard]] Status CheckSas(const SasToken& sas, std::string_view permissions, Timestamp now);

// The expiry if it is less than 7 days away, for a warning; nullopt otherwise.
[[nodiscard]] std::optional<Timestamp> ExpiringSoon(const SasToken& sas, Timestamp now);

// The permissions' letters in the order in which the service wants them.
[[nodiscard]] std::string SasPermissionsInOrder(std::string_view permissions);

// Adds a SAS to each URL.
class SasAuthorizer : public Authorizer {
 public:
  // Gives a new SAS when the old one has expired: from where it was stored, or by asking, which may
  // take long. `refused`: what the service did not take; empty if the old one has only expired.
  using Reload = std::function<Result<SasToken>(const Secret& refused)>;
  SasAuthorizer(SasToken sas, const Clock& clock, Reload reload = nullptr)
      : clock_(clock), reload_(std::move(reload)), sas_(std::move(sas)) {}
  // kCredentialExpired if it has run out and there is no other.
  [[nodiscard]] Status Sign(HttpRequest& request, const std::stop_token& stop) override;
  // A refused one is loaded again, if that gives another.
  [[nodiscard]] Result<bool> Renew(const HttpRequest& refused, const HttpResponse& refusal,
                                   const std::stop_token& stop) override;

 private:
  const Clock& clock_;
  const Reload reload_;
  std::mutex mutex_;  // guards what follows
  SasToken sas_;
};

// What a SAS to be made allows.
struct SasRequest {
  std::string container;
  std::string blob;         // empty: the container (sr=c)
  std::string snapshot;     // of the blob (sr=bs); empty: none
  std::string permissions;  // any order: they are put into the one that the service wants
  std::optional<Timestamp> starts_at;
  Timestamp expires_at;
  bool is_https_only = true;
  std::string ip_range;
};

// Signed with the account's key, in Base64.
[[nodiscard]] Result<SasToken> MakeServiceSas(const std::string& account, const Secret& key,
                                              const SasRequest& request);

// As Get User Delegation Key answers.
struct UserDelegationKey {
  std::string object_id;   // skoid
  std::string tenant_id;   // sktid
  std::string starts_at;   // skt, as the service wrote it
  std::string expires_at;  // ske
  std::string service;     // sks
  std::string version;     // skv
  Secret value;            // in Base64
};

[[nodiscard]] Result<SasToken> MakeUserDelegationSas(const std::string& account,
                                                     const UserDelegationKey& key,
                                                     const SasRequest& request);

// What is signed for each; public for tests against the service's own strings.
[[nodiscard]] std::string ServiceSasStringToSign(const std::string& account,
                                                 const SasRequest& request);
[[nodiscard]] std::string UserDelegationSasStringToSign(const std::string& account,
                                                        const UserDelegationKey& key,
                                                        const SasRequest& request);

}  // namespace asr
