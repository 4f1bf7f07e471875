// Credentials as this machine keeps them: of every kind, as plain data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "storage/auth/secret.h"
#include "storage/base/clock.h"
#include "storage/base/result.h"

namespace asr {

enum class CredentialKind : std::uint8_t {
  kConnectionString,   // of a storage account
  kAccountKey,         // the same account's key alone
  kSas,                // a shared access signature
  kClientSecret,       // an application of Entra ID, by its secret
  kClientCertificate,  // the same by a certificate
  kManagedIdentity,    // the identity that Azure gave this machine
  kAzureCli,           // whoever is signed in with az
  kLogin,              // a person who signed in with `asr login`, by a refresh token
};

// "connection-string", "account-key", ...
[[nodiscard]] std::string_view CredentialKindName(CredentialKind kind);
// Whether it signs in with Entra ID, whose tokens go over https only.
[[nodiscard]] bool UsesEntraId(CredentialKind kind);

struct StoredCredential {
  CredentialKind kind = CredentialKind::kAccountKey;
  // The storage account; empty: it is for whichever account the URL names. That of a connection
  // string stands in it, and is not given here.
  std::string account;
  std::string tenant;            // its id or a domain of it; empty: the usual one
  std::string client_id;         // of an application, or of an identity that a user assigned
  std::string certificate_path;  // absolute; PEM with certificate and key
  std::string authority;         // https URL that gave a refresh token, which goes nowhere else
  std::string user;              // who signed in, for people to read; empty: not known
  Secret secret;                 // connection string, key, SAS, client secret or refresh token

  bool operator==(const StoredCredential& other) const;
};

// What may be told of it.
struct CredentialSummary {
  std::string name;
  CredentialKind kind = CredentialKind::kAccountKey;
  std::string account;                  // empty: not known
  std::string user;                     // who signed in; empty: not known
  std::optional<Timestamp> expires_at;  // of a SAS that says it
};

// What can be seen to be wrong without asking anybody: kCredentialInvalid, without any part of a
// secret in its text. A certificate's file is not looked at.
[[nodiscard]] Status CheckCredential(const StoredCredential& credential);

// Of a credential that CheckCredential accepts.
[[nodiscard]] CredentialSummary Summarize(const std::string& name,
                                          const StoredCredential& credential);

// As text for a file. kCredentialInvalid for what is not UTF-8.
[[nodiscard]] Result<Secret> EncodeCredential(const StoredCredential& credential);
// nullopt if it is not what EncodeCredential writes.
[[nodiscard]] std::optional<StoredCredential> DecodeCredential(const Secret& text);

}  // namespace asr
