#include <array>
#include <memory>
#include <vector>

#include <fmt/format.h>

#include "cli/command_table.h"
#include "cli/credential_json.h"
#include "cli/json_values.h"
#include "cli/secret_input.h"
#include "cli/values.h"
#include "cli/views.h"
#include "core/jobs/credentials.h"

namespace asr {
namespace {

struct AddOptions {
  std::string name;
  std::optional<std::string> connection_string_file;
  std::optional<std::string> account;
  std::optional<std::string> key_file;
  std::optional<std::string> sas_file;
  std::optional<std::string> tenant;
  std::optional<std::string> client_id;
  std::optional<std::string> client_secret_file;
  std::optional<std::string> certificate_file;
  bool managed_identity = false;
  bool azure_cli = false;
  bool replace = false;
};

enum class Use : std::uint8_t { kNo, kMay, kMust };

// An option that tells the kind, and what goes with it.
struct KindRow {
  CredentialKind kind;
  const char* option;
  std::optional<std::string> AddOptions::*file;  // null: it is a flag
  bool AddOptions::*flag;
  Use account;
  Use tenant;
  Use client_id;
  const char* prompt;  // null: there is no secret to be read
};

constexpr std::array kKinds = {
    KindRow{CredentialKind::kConnectionString, "--connection-string-file",
            &AddOptions::connection_string_file, nullptr, Use::kNo, Use::kNo, Use::kNo,
            "Connection string"},
    KindRow{CredentialKind::kAccountKey, "--key-file", &AddOptions::key_file, nullptr, Use::kMust,
            Use::kNo, Use::kNo, "Key of the account"},
    KindRow{CredentialKind::kSas, "--sas-file", &AddOptions::sas_file, nullptr, Use::kMay, Use::kNo,
            Use::kNo, "Shared access signature"},
    KindRow{CredentialKind::kClientSecret, "--client-secret-file", &AddOptions::client_secret_file,
            nullptr, Use::kNo, Use::kMust, Use::kMust, "Secret of the client"},
    KindRow{CredentialKind::kClientCertificate, "--certificate-file", &AddOptions::certificate_file,
            nullptr, Use::kNo, Use::kMust, Use::kMust, nullptr},
    KindRow{CredentialKind::kManagedIdentity, "--managed-identity", nullptr,
            &AddOptions::managed_identity, Use::kNo, Use::kNo, Use::kMay, nullptr},
    KindRow{CredentialKind::kAzureCli, "--azure-cli", nullptr, &AddOptions::azure_cli, Use::kNo,
            Use::kMay, Use::kNo, nullptr},
};

bool IsGiven(const KindRow& row, const AddOptions& options) {
  return row.file != nullptr ? (options.*row.file).has_value() : options.*row.flag;
}

Error Usage(std::string message, std::string action) {
  return MakeError(ErrorKind::kUsage, ErrorCode::kUsage, "credential add: " + std::move(message))
      .WithAction(std::move(action));
}

Result<const KindRow*> KindOf(const AddOptions& options) {
  const KindRow* found = nullptr;
  std::vector<std::string> all;
  for (const KindRow& row : kKinds) {
    all.emplace_back(row.option);
    if (!IsGiven(row, options)) continue;
    if (found != nullptr) {
      return Fail(Usage(fmt::format("{} and {} are two credentials", found->option, row.option),
                        "give one of them, and the other one a name of its own"));
    }
    found = &row;
  }
  if (found != nullptr) return found;
  return Fail(Usage("nothing says what kind of credential it is",
                    fmt::format("give one of {}", fmt::join(all, ", "))));
}

Status CheckUse(const KindRow& row, Use use, const char* option, bool is_given) {
  if (use == Use::kNo && is_given) {
    return Fail(Usage(fmt::format("{} has no meaning with {}", option, row.option),
                      fmt::format("leave {} out", option)));
  }
  if (use == Use::kMust && !is_given) {
    return Fail(
        Usage(fmt::format("{} needs {}", row.option, option), fmt::format("give {}, too", option)));
  }
  return {};
}

Result<StoredCredential> ReadCredential(Session& session, const KindRow& row,
                                        const AddOptions& options) {
  StoredCredential credential;
  credential.kind = row.kind;
  credential.account = options.account.value_or("");
  credential.tenant = options.tenant.value_or("");
  credential.client_id = options.client_id.value_or("");
  if (row.kind == CredentialKind::kClientCertificate) {
    ASR_TRY(credential.certificate_path, CertificatePath(session, *options.certificate_file));
  }
  if (row.prompt != nullptr) {
    ASR_TRY(credential.secret,
            ReadSecretOption(session, row.option, *(options.*row.file), row.prompt));
  }
  ASR_CHECK(CheckCredential(credential));
  return credential;
}

void PrintStep(Session& session, std::string step) {
  Plan plan;
  plan.steps.push_back({.step = std::move(step), .item = "", .disk = ""});
  session.PrintPlan(plan);
}

Status RunAdd(Session& session, const AddOptions& options) {
  ASR_CHECK(CheckName("NAME", options.name));
  ASR_TRY(const KindRow* const row, KindOf(options));
  ASR_CHECK(CheckUse(*row, row->account, "--account", options.account.has_value()));
  ASR_CHECK(CheckUse(*row, row->tenant, "--tenant", options.tenant.has_value()));
  ASR_CHECK(CheckUse(*row, row->client_id, "--client-id", options.client_id.has_value()));
  ASR_TRY(const StoredCredential credential, ReadCredential(session, *row, options));
  if (session.options().dry_run) {
    PrintStep(session, fmt::format("Keep credential {}, of kind {}{}", options.name,
                                   CredentialKindName(row->kind),
                                   options.replace ? ", in place of another" : ""));
    return {};
  }
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(const CredentialSummary summary,
          AddCredential(*environment, options.name, credential, options.replace));
  session.Print(CredentialJson(summary), CredentialView());
  return {};
}

Status RunList(Session& session) {
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(const CredentialListing listing, CredentialsOf(*environment).List());
  Json list = Json::array();
  for (const CredentialSummary& credential : listing.credentials) {
    list.push_back(CredentialJson(credential));
  }
  for (const auto& [name, error] : listing.unreadable) session.Warn(error.Line());
  session.Print(list, CredentialView());
  if (list.empty() && listing.unreadable.empty()) {
    session.Note(
        "No credentials. A vault in a directory needs none; for others: asr credential "
        "add NAME --account ACCOUNT --key-file FILE");
  }
  return {};
}

// "; vaults are opened with it: main, far" of those that remember it; empty if none does.
Result<std::string> NameVaults(Environment& environment, const std::string& credential) {
  ASR_TRY(const auto vaults, environment.state.ListVaults());
  std::vector<std::string> names;
  for (const VaultRegistration& vault : vaults) {
    if (vault.credential == credential) names.push_back(vault.name);
  }
  if (names.empty()) return std::string();
  return fmt::format("; {} {} opened with it: {}", names.size() == 1 ? "a vault" : "vaults",
                     names.size() == 1 ? "is" : "are", fmt::join(names, ", "));
}

Status RunRemove(Session& session, const std::string& name) {
  ASR_CHECK(CheckName("NAME", name));
  std::string loss = fmt::format("removes credential {}, and its secret with it", name);
  ASR_CHECK(session.RequireAnswer(loss));
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  const CredentialStore store = CredentialsOf(*environment);
  ASR_CHECK(store.RequireExists(name));
  ASR_TRY(const std::string vaults, NameVaults(*environment, name));
  loss += vaults;
  if (session.options().dry_run) {
    PrintStep(session, fmt::format("Remove credential {}{}", name, vaults));
    return {};
  }
  ASR_CHECK(session.Confirm(loss));
  ASR_CHECK(store.Remove(name));
  session.Note(fmt::format("Credential {} is removed.", name));
  return {};
}

VerbRunner DeclareAdd(VerbArguments& arguments) {
  const auto options = std::make_shared<AddOptions>();
  arguments.Required("NAME", options->name, "what this machine calls it", ValueKind::kFree)
      .Option("--connection-string-file", "FILE", options->connection_string_file,
              "a storage account's connection string; FILE has mode 0600, or is - for stdin",
              ValueKind::kFile)
      .Option("--account", "ACCOUNT", options->account, "the storage account of the key or the SAS",
              ValueKind::kFree)
      .Option("--key-file", "FILE", options->key_file, "the account's key; with --account",
              ValueKind::kFile)
      .Option("--sas-file", "FILE", options->sas_file, "a shared access signature",
              ValueKind::kFile)
      .Option("--tenant", "TENANT", options->tenant, "of Entra ID: its id or a domain",
              ValueKind::kFree)
      .Option("--client-id", "ID", options->client_id, "of an application or an identity",
              ValueKind::kFree)
      .Option("--client-secret-file", "FILE", options->client_secret_file,
              "an application's secret; with --tenant and --client-id", ValueKind::kFile)
      .Option("--certificate-file", "FILE", options->certificate_file,
              "its certificate and key as PEM instead; FILE stays where it is", ValueKind::kFile)
      .Flag("--managed-identity", options->managed_identity,
            "the identity that Azure gave this machine")
      .Flag("--azure-cli", options->azure_cli, "whoever is signed in with az")
      .Flag("--replace", options->replace, "in place of one that has this name");
  return [options](Session& session) { return RunAdd(session, *options); };
}

}  // namespace

void AddCredentialCommands(std::vector<Command>& commands) {
  commands.push_back({"credential add", HelpGroup::kSetUp, "Keep a credential for vaults on Azure",
                      "credential add backup --account contoso --key-file key.txt", DeclareAdd});
  commands.push_back({"credential list", HelpGroup::kSetUp,
                      "List the credentials, not their secrets", "credential list",
                      [](VerbArguments&) -> VerbRunner { return RunList; }});
  commands.push_back({"credential remove", HelpGroup::kSetUp, "Remove a credential",
                      "credential remove backup", [](VerbArguments& arguments) -> VerbRunner {
                        const auto name = std::make_shared<std::string>();
                        arguments.Required("NAME", *name, "the credential's name",
                                           ValueKind::kCredential);
                        return [name](Session& session) { return RunRemove(session, *name); };
                      }});
}

}  // namespace asr
