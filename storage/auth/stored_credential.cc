#include "storage/auth/stored_credential.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "storage/auth/sas.h"
#include "storage/auth/shared_key.h"
#include "storage/auth/storage_credential.h"

namespace asr {
namespace {

using Kind = CredentialKind;

struct KindRow {
  Kind kind;
  std::string_view name;
  bool needs_secret;
  bool needs_application;  // tenant and client
};

constexpr std::array kKinds = {
    KindRow{Kind::kConnectionString, "connection-string", true, false},
    KindRow{Kind::kAccountKey, "account-key", true, false},
    KindRow{Kind::kSas, "sas", true, false},
    KindRow{Kind::kClientSecret, "client-secret", true, true},
    KindRow{Kind::kClientCertificate, "client-certificate", false, true},
    KindRow{Kind::kManagedIdentity, "managed-identity", false, false},
    KindRow{Kind::kAzureCli, "azure-cli", false, false},
    KindRow{Kind::kLogin, "login", true, true},
};

const KindRow& RowOf(Kind kind) { return *std::ranges::find(kKinds, kind, &KindRow::kind); }

Error InvalidCredential(std::string_view why, std::string action) {
  return MakeError(ErrorKind::kUsage, ErrorCode::kCredentialInvalid,
                   fmt::format("the credential cannot be used: {}", why))
      .WithAction(std::move(action));
}

bool IsAccountName(std::string_view name) {
  return name.size() >= 3 && name.size() <= 24 &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789") == std::string_view::npos;
}

// It becomes a part of URLs.
bool IsDirectoryName(std::string_view name) {
  return name.size() <= 253 && std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '-';
         });
}

bool HasControlCharacters(std::string_view text) {
  return std::ranges::any_of(text, [](unsigned char c) { return c < ' ' || c == 0x7f; });
}

Status CheckAccount(const StoredCredential& credential) {
  if (credential.account.empty() && credential.kind != Kind::kAccountKey) return {};
  if (IsAccountName(credential.account)) return {};
  return Fail(InvalidCredential(
      fmt::format("'{}' is not the name of a storage account", credential.account),
      "give the account's name, 3 to 24 of a-z and 0-9: --account ACCOUNT"));
}

Status CheckApplication(const StoredCredential& credential) {
  const auto check = [&](const std::string& value, std::string_view what,
                         std::string_view option) -> Status {
    const bool is_missing = value.empty() && RowOf(credential.kind).needs_application;
    if (!is_missing && IsDirectoryName(value)) return {};
    return Fail(InvalidCredential(fmt::format("'{}' is not {}", value, what),
                                  fmt::format("give it as the portal shows it: {}", option)));
  };
  ASR_CHECK(check(credential.tenant, "a tenant's id or domain", "--tenant TENANT"));
  return check(credential.client_id, "a client's id", "--client-id ID");
}

Status CheckSecret(const StoredCredential& credential) {
  switch (credential.kind) {
    case Kind::kConnectionString: {
      ASR_TRY([[maybe_unused]] const auto parsed, ParseConnectionString(credential.secret));
      return {};
    }
    case Kind::kAccountKey: {
      ASR_TRY([[maybe_unused]] const Secret bytes, DecodeAccountKey(credential.secret));
      return {};
    }
    case Kind::kSas: {
      ASR_TRY([[maybe_unused]] const SasToken sas, ParseSas(credential.secret));
      return {};
    }
    case Kind::kClientSecret:
    case Kind::kLogin:
      if (!HasControlCharacters(credential.secret.Reveal())) return {};
      return Fail(InvalidCredential("a client's secret is one line",
                                    "copy the secret's value again, alone"));
    case Kind::kClientCertificate:
    case Kind::kManagedIdentity:
    case Kind::kAzureCli:
      return {};
  }
  return {};
}

using Json = nlohmann::ordered_json;

struct Field {
  const char* name;
  std::string StoredCredential::*text;
};
constexpr std::array kFields = {Field{"account", &StoredCredential::account},
                                Field{"tenant", &StoredCredential::tenant},
                                Field{"clientId", &StoredCredential::client_id},
                                Field{"certificate", &StoredCredential::certificate_path},
                                Field{"authority", &StoredCredential::authority},
                                Field{"user", &StoredCredential::user}};

void Wipe(std::string& text) { Secret(std::move(text)); }

// A SAS, also that of a connection string.
std::optional<Timestamp> SasExpiry(const Secret& sas) {
  if (sas.empty()) return std::nullopt;
  const auto parsed = ParseSas(sas);
  return parsed ? parsed->expires_at : std::nullopt;
}

}  // namespace

std::string_view CredentialKindName(CredentialKind kind) { return RowOf(kind).name; }

bool UsesEntraId(CredentialKind kind) {
  return kind == Kind::kClientSecret || kind == Kind::kClientCertificate ||
         kind == Kind::kManagedIdentity || kind == Kind::kAzureCli || kind == Kind::kLogin;
}

bool StoredCredential::operator==(const StoredCredential& other) const {
  return kind == other.kind && secret.Reveal() == other.secret.Reveal() &&
         std::ranges::all_of(
             kFields, [&](const Field& field) { return this->*field.text == other.*field.text; });
}

Status CheckCredential(const StoredCredential& credential) {
  ASR_CHECK(CheckAccount(credential));
  ASR_CHECK(CheckApplication(credential));
  if (RowOf(credential.kind).needs_secret && credential.secret.empty()) {
    return Fail(InvalidCredential("its secret is empty", "give the file that holds the secret"));
  }
  const std::string& path = credential.certificate_path;
  if (credential.kind == Kind::kClientCertificate && !path.starts_with('/')) {
    return Fail(
        InvalidCredential(fmt::format("'{}' is not an absolute path of a certificate", path),
                          "give the PEM file: --certificate-file FILE"));
  }
  if (credential.kind == Kind::kLogin && !credential.authority.starts_with("https://")) {
    return Fail(
        InvalidCredential("it does not say who gave its token", "sign in again: asr login"));
  }
  return CheckSecret(credential);
}

CredentialSummary Summarize(const std::string& name, const StoredCredential& credential) {
  CredentialSummary summary{.name = name,
                            .kind = credential.kind,
                            .account = credential.account,
                            .user = credential.user,
                            .expires_at = {}};
  if (credential.kind == Kind::kSas) summary.expires_at = SasExpiry(credential.secret);
  if (credential.kind == Kind::kConnectionString) {
    if (const auto parsed = ParseConnectionString(credential.secret)) {
      summary.account = parsed->account;
      summary.expires_at = SasExpiry(parsed->sas);
    }
  }
  return summary;
}

Result<Secret> EncodeCredential(const StoredCredential& credential) {
  Json json;
  json["kind"] = RowOf(credential.kind).name;
  for (const Field& field : kFields) {
    if (!(credential.*field.text).empty()) json[field.name] = credential.*field.text;
  }
  if (!credential.secret.empty()) json["secret"] = credential.secret.Reveal();
  Secret text(json.dump(2, ' ', false, Json::error_handler_t::replace));
  if (json.contains("secret")) Wipe(json["secret"].get_ref<std::string&>());
  const auto back = DecodeCredential(text);
  if (back && *back == credential) return text;
  return Fail(InvalidCredential("a part of it is not text in UTF-8", "give it as text"));
}

std::optional<StoredCredential> DecodeCredential(const Secret& text) {
  Json json = Json::parse(text.Reveal(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("kind") || !json["kind"].is_string()) return std::nullopt;
  const auto row = std::ranges::find(kKinds, json["kind"].get<std::string>(), &KindRow::name);
  if (row == kKinds.end()) return std::nullopt;
  StoredCredential credential;
  credential.kind = row->kind;
  for (const Field& field : kFields) {
    const auto found = json.find(field.name);
    if (found == json.end()) continue;
    if (!found->is_string()) return std::nullopt;
    credential.*field.text = found->get<std::string>();
  }
  if (const auto found = json.find("secret"); found != json.end()) {
    if (!found->is_string()) return std::nullopt;
    credential.secret = Secret(std::move(found->get_ref<std::string&>()));
  }
  return credential;
}

}  // namespace asr
