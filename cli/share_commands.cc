#include <arpa/inet.h>

#include <array>
#include <memory>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "cli/command_table.h"
#include "cli/json_values.h"
#include "cli/values.h"
#include "cli/views.h"
#include "core/jobs/share_vault.h"
#include "storage/fs/private_directory.h"

namespace asr {
namespace {

struct ShareOptions {
  std::optional<std::string> time;
  std::optional<std::string> ip;
  std::optional<std::string> output_file;
  bool show = false;
};

bool IsAddress(const std::string& text) {
  std::array<unsigned char, sizeof(in_addr)> address{};
  return ::inet_pton(AF_INET, text.c_str(), address.data()) == 1;
}

Status CheckRange(const std::string& range) {
  const std::size_t dash = range.find('-');
  const bool is_good = dash == std::string::npos
                           ? IsAddress(range)
                           : IsAddress(range.substr(0, dash)) && IsAddress(range.substr(dash + 1));
  if (is_good) return {};
  return Fail(WrongValue("--ip", range, "is no address of IPv4, and no range of them",
                         "give it like 192.0.2.7 or 192.0.2.1-192.0.2.9"));
}

Result<Timestamp> EndOf(const ShareOptions& options, Timestamp now) {
  const std::string text = options.time.value_or("24h");
  ASR_TRY(const std::chrono::seconds time, ParseDurationValue("--for", text));
  constexpr std::chrono::hours kLongest{365 * 24};
  if (time >= std::chrono::minutes(1) && time <= kLongest) {
    // A signature knows whole seconds.
    return std::chrono::floor<std::chrono::seconds>(now) + time;
  }
  return Fail(WrongValue("--for", text, "is shorter than a minute, or longer than a year",
                         "give a time like 8h or 7d"));
}

Status RequireNewFile(Environment& environment, const std::string& path) {
  ASR_TRY(const bool exists, PathExists(environment.fs, path));
  if (!exists) return {};
  return Fail(MakeError(ErrorKind::kState, ErrorCode::kAlreadyExists,
                        fmt::format("there is a file {} already", path))
                  .WithAction("give another --output-file"));
}

Json SharedJson(const std::string& vault, const SharedVault& shared, const ShareOptions& options,
                const std::string& file) {
  Json json;
  json["vault"] = vault;
  json["url"] = shared.url;
  json["kind"] = shared.sas.kind == SasKind::kUserDelegation ? "user-delegation" : "service";
  json["permissions"] = shared.sas.permissions;
  json["ipRange"] = TextJson(options.ip.value_or(""));
  json["expiresAt"] = TimeJson(shared.sas.expires_at);
  json["file"] = TextJson(file);
  if (options.show) json["sas"] = std::string(shared.sas.query.Reveal());
  return json;
}

Status RunShare(Session& session, const ShareOptions& options) {
  if (!options.output_file && !options.show) {
    return Fail(MakeError(ErrorKind::kUsage, ErrorCode::kUsage,
                          "credential share: nothing says where the signature is to go")
                    .WithAction("give --output-file FILE, or --show to have it printed"));
  }
  if (options.ip) ASR_CHECK(CheckRange(*options.ip));
  ASR_TRY(const Timestamp expires_at, EndOf(options, session.Now()));
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(const VaultRegistration vault,
          environment->state.FindVault(session.options().vault.value_or("")));
  std::string path;
  if (options.output_file) {
    ASR_TRY(path, session.AbsolutePath(*options.output_file));
    ASR_CHECK(RequireNewFile(*environment, path));
  }
  ASR_CHECK(RequireShareable(vault));
  if (session.options().dry_run) {
    Plan plan;
    plan.steps.push_back({.step = fmt::format("Sign a right to read vault {}, until {}", vault.name,
                                              FormatTime(expires_at)),
                          .item = "",
                          .disk = ""});
    session.PrintPlan(plan);
    return {};
  }
  ASR_TRY(const SharedVault shared,
          ShareVault(*environment, vault,
                     {.expires_at = expires_at, .ip_range = options.ip.value_or("")}));
  if (!path.empty()) {
    ASR_CHECK(WritePrivateFileAtomic(environment->fs, path, AsBytes(shared.sas.query.Reveal())));
  }
  session.Print(SharedJson(vault.name, shared, options, path), SharedView());
  session.Note(
      fmt::format("Who has it reads the vault. There: asr credential add NAME --sas-file "
                  "FILE, then asr vault connect {} --target {} --credential NAME",
                  vault.name, shared.url));
  return {};
}

VerbRunner DeclareShare(VerbArguments& arguments) {
  const auto options = std::make_shared<ShareOptions>();
  arguments
      .Option("--for", "TIME", options->time, "how long it is good (default 24h)", ValueKind::kFree)
      .Option("--ip", "RANGE", options->ip, "from these addresses only: 192.0.2.1-192.0.2.9",
              ValueKind::kFree)
      .Option("--output-file", "FILE", options->output_file, "where it goes, mode 0600",
              ValueKind::kFile)
      .Flag("--show", options->show, "print it");
  return [options](Session& session) { return RunShare(session, *options); };
}

}  // namespace

void AddShareCommands(std::vector<Command>& commands) {
  commands.push_back({"credential share", HelpGroup::kSetUp,
                      "Sign a right to read a vault on Azure, for a time",
                      "credential share --for 8h --output-file for-ada.sas", DeclareShare});
}

}  // namespace asr
