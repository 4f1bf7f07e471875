#include <memory>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "cli/command_table.h"
#include "cli/credential_json.h"
#include "cli/json_values.h"
#include "cli/secret_input.h"
#include "cli/values.h"
#include "cli/views.h"
#include "core/jobs/login.h"

namespace asr {
namespace {

struct LoginOptions {
  std::optional<std::string> name;
  std::optional<std::string> tenant;
  std::optional<std::string> client_id;
  bool service_principal = false;
  std::optional<std::string> client_secret_file;
  std::optional<std::string> certificate_file;
  bool identity = false;
};

Error Usage(std::string message, std::string action) {
  return MakeError(ErrorKind::kUsage, ErrorCode::kUsage, "login: " + std::move(message))
      .WithAction(std::move(action));
}

Status CheckOptions(const LoginOptions& options) {
  if (options.service_principal && options.identity) {
    return Fail(
        Usage("--service-principal and --identity are two ways to sign in", "give one of them"));
  }
  const int proofs = (options.client_secret_file ? 1 : 0) + (options.certificate_file ? 1 : 0);
  if (options.service_principal && proofs != 1) {
    return Fail(Usage("a service principal signs in by its secret or by its certificate",
                      "give one of --client-secret-file FILE and --certificate-file FILE"));
  }
  if (!options.service_principal && proofs != 0) {
    return Fail(
        Usage("a secret or a certificate is a service principal's", "add --service-principal"));
  }
  if (options.identity && options.tenant) {
    return Fail(Usage("--tenant has no meaning with --identity", "leave --tenant out"));
  }
  return {};
}

Result<StoredCredential> Wanted(Session& session, const LoginOptions& options) {
  StoredCredential wanted;
  wanted.kind = CredentialKind::kLogin;
  wanted.tenant = options.tenant.value_or("");
  wanted.client_id = options.client_id.value_or("");
  if (options.identity) wanted.kind = CredentialKind::kManagedIdentity;
  if (options.certificate_file) {
    wanted.kind = CredentialKind::kClientCertificate;
    ASR_TRY(wanted.certificate_path, CertificatePath(session, *options.certificate_file));
  }
  if (options.client_secret_file) {
    wanted.kind = CredentialKind::kClientSecret;
    ASR_TRY(wanted.secret, ReadSecretOption(session, "--client-secret-file",
                                            *options.client_secret_file, "Secret of the client"));
  }
  return wanted;
}

void Show(Session& session, const DeviceCode& code) {
  Json json;
  json["signIn"]["url"] = code.url;
  json["signIn"]["code"] = code.user_code;
  json["signIn"]["expiresAt"] = FormatTime(code.expires_at);
  session.Tell(fmt::format("To sign in, open {} in a browser and enter the code {}", code.url,
                           code.user_code),
               json);
}

Status RunLogin(Session& session, const LoginOptions& options) {
  ASR_CHECK(CheckOptions(options));
  const std::string name = options.name.value_or(kLoginName);
  ASR_CHECK(CheckName("--name", name));
  ASR_TRY(StoredCredential wanted, Wanted(session, options));
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  if (session.options().dry_run) {
    Plan plan;
    plan.steps.push_back(
        {.step = fmt::format("Sign in with Entra ID, and keep it as credential {}", name),
         .item = "",
         .disk = ""});
    session.PrintPlan(plan);
    return {};
  }
  ASR_TRY(const LoginResult result, LogIn(*environment, name, std::move(wanted),
                                          [&](const DeviceCode& code) { Show(session, code); }));
  Json json = CredentialJson(result.credential);
  json["tenant"] = TextJson(result.tenant);
  json["tokenExpiresAt"] = FormatTime(result.token_expires_at);
  session.Print(json, LoginView());
  session.Note(fmt::format("Signed in. {}",
                           name == kLoginName
                               ? "Vaults on Azure are opened with it where nothing else is given."
                               : "Give it to a vault: --credential " + name));
  return {};
}

VerbRunner DeclareLogin(VerbArguments& arguments) {
  const auto options = std::make_shared<LoginOptions>();
  arguments
      .Option("--name", "NAME", options->name, "the credential that is kept (default: login)",
              ValueKind::kCredential)
      .Option("--tenant", "TENANT", options->tenant,
              "of Entra ID: its id or a domain; also AZURE_TENANT_ID", ValueKind::kFree)
      .Option("--client-id", "ID", options->client_id,
              "of the application, or of one of the machine's identities; also AZURE_CLIENT_ID",
              ValueKind::kFree)
      .Flag("--service-principal", options->service_principal, "an application, not a person")
      .Option("--client-secret-file", "FILE", options->client_secret_file,
              "its secret; FILE has mode 0600, or is - for stdin", ValueKind::kFile)
      .Option("--certificate-file", "FILE", options->certificate_file,
              "its certificate and key as PEM instead; FILE stays where it is", ValueKind::kFile)
      .Flag("--identity", options->identity, "the identity that Azure gave this machine");
  return [options](Session& session) { return RunLogin(session, *options); };
}

}  // namespace

void AddLoginCommands(std::vector<Command>& commands) {
  commands.push_back({"login", HelpGroup::kSetUp, "Sign in to Azure with Entra ID",
                      "login --tenant contoso.com", DeclareLogin});
}

}  // namespace asr
