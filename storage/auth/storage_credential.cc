#include "storage/auth/storage_credential.h"

#include <algorithm>
#include <cstdlib>
#include <map>

#include <fmt/format.h>

#include "storage/auth/shared_key.h"
#include "storage/auth/storage_location.h"
#include "storage/base/text.h"

namespace asr {
namespace {

// Of every Azurite and storage emulator; no secret.
constexpr std::string_view kDevelopmentAccount = "devstoreaccount1";
constexpr std::string_view kDevelopmentKey =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

using Settings = std::map<std::string, std::string>;  // by their names in lower case

Error InvalidConnectionString(std::string_view why) {
  return MakeError(ErrorKind::kUsage, ErrorCode::kCredentialInvalid,
                   fmt::format("the connection string cannot be used: {}", why))
      .WithCause("it was cut when it was copied, or a shell took its ';' for the command's end")
      .WithAction("copy it again: az storage account show-connection-string -n ACCOUNT");
}

Result<Settings> Split(std::string_view text) {
  Settings settings;
  while (!text.empty()) {
    std::string_view part = text.substr(0, text.find(';'));
    text.remove_prefix(std::min(part.size() + 1, text.size()));
    const std::size_t first = part.find_first_not_of(" \t\r\n");
    if (first == std::string_view::npos) continue;
    part = part.substr(first, part.find_last_not_of(" \t\r\n") - first + 1);
    // At the first one only: keys and signatures end with '='.
    const std::size_t equals = part.find('=');
    if (equals == std::string_view::npos || equals == 0) {
      return Fail(InvalidConnectionString("a part of it is not NAME=VALUE"));
    }
    settings[AsciiLowerCase(part.substr(0, equals))] = part.substr(equals + 1);
  }
  return settings;
}

std::string WithoutSlash(std::string text) {
  while (text.ends_with('/')) text.pop_back();
  return text;
}

Result<StorageCredential> Development(const Settings& settings) {
  StorageCredential credential;
  credential.source = "connection string";
  credential.account = kDevelopmentAccount;
  credential.key = Secret(std::string(kDevelopmentKey));
  const auto proxy = settings.find("developmentstorageproxyuri");
  const std::string host =
      proxy == settings.end() ? "http://127.0.0.1" : WithoutSlash(proxy->second);
  credential.endpoint = fmt::format("{}:10000/{}", host, kDevelopmentAccount);
  return credential;
}

// The endpoint that is given, else the one that follows from the account's name.
Status SetEndpoint(Settings& settings, StorageCredential& credential) {
  credential.endpoint = WithoutSlash(settings["blobendpoint"]);
  if (!credential.endpoint.empty()) {
    ASR_TRY(const ParsedLocation parsed, ParseStorageUrl(credential.endpoint));
    if (credential.account.empty()) credential.account = parsed.location.account;
    return {};
  }
  if (credential.account.empty()) {
    return Fail(InvalidConnectionString("it names neither AccountName nor BlobEndpoint"));
  }
  const std::string& suffix = settings["endpointsuffix"];
  const std::string& protocol = settings["defaultendpointsprotocol"];
  if (!protocol.empty() && protocol != "https" && protocol != "http") {
    return Fail(InvalidConnectionString("its DefaultEndpointsProtocol is neither https nor http"));
  }
  credential.endpoint =
      fmt::format("{}://{}.blob.{}", protocol.empty() ? "https" : protocol, credential.account,
                  suffix.empty() ? "core.windows.net" : suffix);
  return {};
}

std::optional<StorageCredential> KeyOrSas(const VariableLookup& environment) {
  StorageCredential credential;
  if (auto key = environment("AZURE_STORAGE_KEY")) {
    credential.source = "AZURE_STORAGE_KEY";
    credential.key = Secret(*std::move(key));
  } else if (auto sas = environment("AZURE_STORAGE_SAS_TOKEN")) {
    credential.source = "AZURE_STORAGE_SAS_TOKEN";
    credential.sas = Secret(*std::move(sas));
  } else {
    return std::nullopt;
  }
  credential.account = environment("AZURE_STORAGE_ACCOUNT").value_or("");
  return credential;
}

}  // namespace

Result<StorageCredential> ParseConnectionString(const Secret& text) {
  ASR_TRY(Settings settings, Split(text.Reveal()));
  if (AsciiLowerCase(settings["usedevelopmentstorage"]) == "true") return Development(settings);
  StorageCredential credential;
  credential.source = "connection string";
  credential.account = settings["accountname"];
  ASR_CHECK(SetEndpoint(settings, credential));
  credential.key = Secret(settings["accountkey"]);
  credential.sas = Secret(settings["sharedaccesssignature"]);
  if (credential.key.empty() && credential.sas.empty()) {
    return Fail(InvalidConnectionString("it holds neither AccountKey nor SharedAccessSignature"));
  }
  // Whoever can read what is left in freed memory shall not find it.
  for (auto& [name, value] : settings) Secret(std::move(value));
  if (!credential.key.empty()) {
    ASR_TRY([[maybe_unused]] const Secret bytes, DecodeAccountKey(credential.key));
    return credential;
  }
  ASR_TRY(SasToken sas, ParseSas(credential.sas));
  credential.sas = std::move(sas.query);
  return credential;
}

VariableLookup ProcessVariables() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* const value = std::getenv(name.c_str());
    if (value == nullptr || *value == '\0') return std::nullopt;
    return std::string(value);
  };
}

Result<std::optional<StorageCredential>> FindInEnvironment(const VariableLookup& environment,
                                                           std::string_view account) {
  std::optional<StorageCredential> found;
  if (auto text = environment("AZURE_STORAGE_CONNECTION_STRING")) {
    auto parsed = ParseConnectionString(Secret(*std::move(text)));
    if (!parsed) {
      return Fail(std::move(parsed).error().WithContext("AZURE_STORAGE_CONNECTION_STRING"));
    }
    found = *std::move(parsed);
    found->source = "AZURE_STORAGE_CONNECTION_STRING";
  } else {
    found = KeyOrSas(environment);
  }
  if (!found || found->account.empty() || account.empty() || found->account == account) {
    return found;
  }
  return std::optional<StorageCredential>();
}

Result<std::unique_ptr<Authorizer>> MakeAuthorizer(const StorageCredential& credential,
                                                   const std::string& account, const Clock& clock) {
  if (!credential.key.empty()) {
    ASR_TRY(auto by_key,
            SharedKeyAuthorizer::Create(credential.account.empty() ? account : credential.account,
                                        credential.key, clock));
    return std::unique_ptr<Authorizer>(std::move(by_key));
  }
  ASR_TRY(SasToken sas, ParseSas(credential.sas));
  return std::unique_ptr<Authorizer>(std::make_unique<SasAuthorizer>(std::move(sas), clock));
}

}  // namespace asr
