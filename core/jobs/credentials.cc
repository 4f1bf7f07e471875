#include "core/jobs/credentials.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "core/jobs/sas_reload.h"
#include "storage/auth/sas.h"
#include "storage/auth/secret_file.h"
#include "storage/auth/storage_credential.h"
#include "storage/base/text.h"
#include "storage/http/url.h"

namespace asr {
namespace {

using AuthorizerResult = Result<std::unique_ptr<Authorizer>>;

// How messages speak of it.
struct Naming {
  std::string what;     // "credential backup", "AZURE_STORAGE_SAS_TOKEN"
  std::string renewal;  // what to do when its SAS ends
};

Naming NamingOf(const std::string& name, const StoredCredential& credential) {
  std::string options;
  if (credential.kind == CredentialKind::kConnectionString) {
    options = "--connection-string-file FILE";
  } else {
    options = "--sas-file FILE";
    if (!credential.account.empty()) options += " --account " + credential.account;
  }
  return {.what = "credential " + name,
          .renewal = fmt::format("make a new shared access signature, and: asr credential add {} "
                                 "{} --replace",
                                 ShellQuote(name), options)};
}

Error Invalid(const Naming& naming, std::string_view why, std::string action) {
  return MakeError(ErrorKind::kState, ErrorCode::kCredentialInvalid,
                   fmt::format("{} {}", naming.what, why))
      .WithAction(std::move(action));
}

std::string InDays(std::chrono::milliseconds time) {
  const auto hours = std::chrono::duration_cast<std::chrono::hours>(time).count();
  if (hours < 48) return fmt::format("in {} hour{}", hours, hours == 1 ? "" : "s");
  return fmt::format("in {} days", hours / 24);
}

void WarnOfEnd(Environment& environment, const Naming& naming, const SasToken& sas) {
  const Timestamp now = environment.clock.Now();
  const auto end = ExpiringSoon(sas, now);
  if (!end || *end <= now) return;
  environment.progress.Warn(fmt::format("{} ends at {}, {}; {}", naming.what, FormatTime(*end),
                                        InDays(*end - now), naming.renewal));
}

// A key signs and is not sent, a SAS is what is sent.
void WarnOfPlainHttp(Environment& environment, const Naming& naming,
                     const StorageLocation& location) {
  if (location.is_https()) return;
  const auto url = ParseUrl(location.endpoint);
  if (url && url->is_loopback()) return;
  environment.progress.Warn(
      fmt::format("{} is a shared access signature, and goes to {} over plain http: whoever sees "
                  "the traffic can use it until it ends; give the URL with https://",
                  naming.what, location.endpoint));
}

Status RequireLasting(const Naming& naming, const SasToken& sas, Timestamp now) {
  if (!sas.expires_at || *sas.expires_at > now) return {};
  return Fail(MakeError(ErrorKind::kState, ErrorCode::kCredentialExpired,
                        fmt::format("{} ended at {}", naming.what, FormatTime(*sas.expires_at)))
                  .WithCause("shared access signatures are given for a time")
                  .WithAction(naming.renewal));
}

// The SAS in it; nullopt if it has none.
Result<std::optional<SasToken>> SasOf(const StoredCredential& credential) {
  Secret text;
  if (credential.kind == CredentialKind::kSas) text = credential.secret;
  if (credential.kind == CredentialKind::kConnectionString) {
    ASR_TRY(StorageCredential parsed, ParseConnectionString(credential.secret));
    text = std::move(parsed.sas);
  }
  if (text.empty()) return std::optional<SasToken>();
  ASR_TRY(SasToken sas, ParseSas(text));
  return std::optional<SasToken>(std::move(sas));
}

Status CheckCertificateFile(const Naming& naming, const std::string& path) {
  auto pem = ReadSecretFile(path);
  if (!pem) return Fail(std::move(pem).error().WithContext(naming.what));
  const std::string_view text = pem->Reveal();
  const auto has = [&](std::string_view part) { return text.find(part) != text.npos; };
  if (has("-----BEGIN CERTIFICATE-----") && has("PRIVATE KEY-----")) return {};
  return Fail(Invalid(naming,
                      fmt::format("needs a certificate and its key, and {} has not both", path),
                      "put both into one PEM file of mode 0600: cat cert.pem key.pem"));
}

// The account, if the endpoint's name tells it for certain: a domain of one's own does not.
std::string AccountOf(const StorageLocation& location) {
  const bool is_certain =
      location.endpoint.ends_with("/" + location.account) ||
      location.endpoint.find("://" + location.account + ".blob.") != std::string::npos;
  return is_certain ? location.account : std::string();
}

Status RequireAccount(const Naming& naming, const std::string& account,
                      const StorageLocation& location) {
  const std::string wanted = AccountOf(location);
  if (account.empty() || wanted.empty() || account == wanted) return {};
  return Fail(Invalid(naming, fmt::format("is for storage account {}, not for {}", account, wanted),
                      "give the credential of that account: asr credential list"));
}

AuthorizerResult SignInByEntraId(const std::string& name, const StoredCredential& credential,
                                 const StorageLocation& location, const CredentialChoice& choice) {
  const Naming naming = NamingOf(name, credential);
  if (!location.is_https()) {
    return Fail(Invalid(naming,
                        fmt::format("signs in with Entra ID, whose tokens never go over plain "
                                    "http, as to {}",
                                    location.endpoint),
                        "give the URL with https://, or a credential with a key or a SAS"));
  }
  if (!choice.entra_sign_in) {
    return Fail(
        MakeError(ErrorKind::kUnsupported, ErrorCode::kSignInFailed,
                  fmt::format("{} signs in with Entra ID, which is left out here", naming.what))
            .WithAction("give a credential with a connection string, a key or a SAS"));
  }
  const EntraIdentity identity{.name = name, .credential = credential};
  return choice.entra_sign_in(&identity);
}

// Reads the SAS that is kept under `name`.
std::function<Result<SasToken>()> ReaderOf(const CredentialStore& store, const std::string& name) {
  return [store, name]() -> Result<SasToken> {
    ASR_TRY(const StoredCredential fresh, store.Read(name));
    ASR_TRY(auto sas, SasOf(fresh));
    if (sas) return *std::move(sas);
    return Fail(Invalid(NamingOf(name, fresh), "holds no shared access signature any more",
                        "run the command again, to begin with what it holds"));
  };
}

AuthorizerResult ByName(Environment& environment, const StorageLocation& location,
                        const CredentialChoice& choice) {
  const CredentialStore store = CredentialsOf(environment);
  ASR_TRY(const StoredCredential credential, store.Read(choice.name));
  const Naming naming = NamingOf(choice.name, credential);
  if (UsesEntraId(credential.kind)) {
    return SignInByEntraId(choice.name, credential, location, choice);
  }
  ASR_CHECK(RequireAccount(naming, Summarize(choice.name, credential).account, location));
  ASR_TRY(auto sas, SasOf(credential));
  if (sas) {
    ASR_CHECK(RequireLasting(naming, *sas, environment.clock.Now()));
    WarnOfEnd(environment, naming, *sas);
    WarnOfPlainHttp(environment, naming, location);
    const KeptSas kept{
        .what = naming.what, .renewal = naming.renewal, .read = ReaderOf(store, choice.name)};
    return std::make_unique<SasAuthorizer>(*std::move(sas), environment.clock,
                                           MakeSasReload(environment, kept, choice.is_in_use));
  }
  StorageCredential by_key;
  if (credential.kind == CredentialKind::kConnectionString) {
    ASR_TRY(by_key, ParseConnectionString(credential.secret));
  } else {
    by_key.account = credential.account;
    by_key.key = credential.secret;
  }
  return MakeAuthorizer(by_key, location.account, environment.clock);
}

AuthorizerResult ByVariables(Environment& environment, const StorageLocation& location,
                             const StorageCredential& found) {
  const Naming naming = {.what = found.source, .renewal = fmt::format("set {} anew", found.source)};
  if (found.key.empty()) {
    auto sas = ParseSas(found.sas);
    if (!sas) return Fail(std::move(sas).error().WithContext(naming.what));
    ASR_CHECK(RequireLasting(naming, *sas, environment.clock.Now()));
    WarnOfEnd(environment, naming, *sas);
    WarnOfPlainHttp(environment, naming, location);
  }
  auto authorizer = MakeAuthorizer(found, location.account, environment.clock);
  if (!authorizer) return Fail(std::move(authorizer).error().WithContext(naming.what));
  return authorizer;
}

Error NoneFound(const StorageLocation& location) {
  return MakeError(ErrorKind::kNotFound, ErrorCode::kCredentialNotFound,
                   fmt::format("there is no credential for {}", location.endpoint))
      .WithCause("no --credential was given, and the variables name none for this account")
      .WithAction(fmt::format(
          "asr credential add NAME --account {} --key-file FILE, then give --credential NAME; or "
          "set AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_KEY "
          "or AZURE_STORAGE_SAS_TOKEN",
          location.account));
}

}  // namespace

std::string LoginCommand(const std::string& name) {
  return name == kLoginName ? "asr login" : "asr login --name " + ShellQuote(name);
}

CredentialStore CredentialsOf(const Environment& environment) {
  return {environment.fs, JoinPath(environment.state_directory, "credentials")};
}

Result<CredentialSummary> AddCredential(Environment& environment, const std::string& name,
                                        const StoredCredential& credential, bool replace) {
  ASR_CHECK(CheckCredential(credential));
  const CredentialStore store = CredentialsOf(environment);
  const Naming naming = NamingOf(name, credential);
  ASR_TRY(const auto sas, SasOf(credential));
  const auto known = store.Read(name);
  const bool is_unchanged = known && *known == credential;
  if (!is_unchanged) {
    if (sas) ASR_CHECK(RequireLasting(naming, *sas, environment.clock.Now()));
    if (credential.kind == CredentialKind::kClientCertificate) {
      ASR_CHECK(CheckCertificateFile(naming, credential.certificate_path));
    }
    ASR_CHECK(
        store.Save(name, credential,
                   replace ? CredentialStore::IfThere::kReplace : CredentialStore::IfThere::kFail));
  }
  if (sas) WarnOfEnd(environment, naming, *sas);
  return Summarize(name, credential);
}

namespace {

bool NamesApplication(const VariableLookup& variables) {
  constexpr std::array kProofs = {"AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH",
                                  "AZURE_FEDERATED_TOKEN_FILE"};
  return std::ranges::any_of(
      kProofs, [&](const char* name) { return !variables(name).value_or("").empty(); });
}

}  // namespace

Result<std::unique_ptr<Authorizer>> FindAuthorizer(Environment& environment,
                                                   const StorageLocation& location,
                                                   const CredentialChoice& choice) {
  if (!choice.name.empty()) return ByName(environment, location, choice);
  ASR_TRY(const auto found, FindInEnvironment(environment.variables, AccountOf(location)));
  if (found) return ByVariables(environment, location, *found);
  if (!choice.entra_sign_in || !location.is_https()) return Fail(NoneFound(location));
  // Jobs of CI are told who they are by variables: a login of a person must not take their place.
  if (NamesApplication(environment.variables)) return choice.entra_sign_in(nullptr);
  const auto login = CredentialsOf(environment).Read(kLoginName);
  if (login && UsesEntraId(login->kind)) {
    return SignInByEntraId(kLoginName, *login, location, choice);
  }
  if (!login && !IsNotFound(login.error())) return Fail(login.error());
  return choice.entra_sign_in(nullptr);
}

Result<Signer> FindSigner(Environment& environment, const StorageLocation& location,
                          const CredentialChoice& choice) {
  std::optional<StorageCredential> found;
  std::string what;
  if (choice.name.empty()) {
    ASR_TRY(found, FindInEnvironment(environment.variables, AccountOf(location)));
    if (found) what = found->source;
  } else {
    ASR_TRY(const StoredCredential credential, CredentialsOf(environment).Read(choice.name));
    const Naming naming = NamingOf(choice.name, credential);
    what = naming.what;
    if (!UsesEntraId(credential.kind)) {
      ASR_CHECK(RequireAccount(naming, Summarize(choice.name, credential).account, location));
      found.emplace();
    }
    if (credential.kind == CredentialKind::kConnectionString) {
      ASR_TRY(found, ParseConnectionString(credential.secret));
    } else if (credential.kind == CredentialKind::kAccountKey) {
      found->key = credential.secret;
    }
  }
  if (!found) {
    Signer signer;
    ASR_TRY(signer.entra, FindAuthorizer(environment, location, choice));
    return signer;
  }
  if (!found->key.empty()) return Signer{.key = found->key, .entra = nullptr};
  return Fail(
      MakeError(ErrorKind::kUnsupported, ErrorCode::kCredentialInvalid,
                fmt::format("{} is a shared access signature, which cannot sign another", what))
          .WithAction("pass on the signature itself, or give a credential with the "
                      "account's key or of Entra ID: --credential NAME"));
}

}  // namespace asr
