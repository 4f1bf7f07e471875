// Every verb, once: for dispatch, help, suggestions and completion.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cli/arguments.h"
#include "cli/session.h"

namespace asr {

enum class HelpGroup : std::uint8_t { kSetUp, kProtect, kRecover, kLook };

// Runs the verb with what its arguments were set to.
using VerbRunner = std::function<Status(Session&)>;

struct Command {
  std::string path;  // "vault create", "enable"
  HelpGroup group = HelpGroup::kSetUp;
  std::string summary;
  std::string example;  // without "asr "
  // Declares the arguments. The runner owns the variables that they are read into.
  std::function<VerbRunner(VerbArguments&)> declare;
};

[[nodiscard]] const std::vector<Command>& Commands();

// Nouns, and verbs that stand alone: each once, in the order of the table.
[[nodiscard]] std::vector<std::string> FirstWords();
// "create", "list", ...
[[nodiscard]] std::vector<std::string> VerbsOf(const std::string& noun);
// The noun that `word` spells, in the singular or the plural, as the table has it; "" if none.
[[nodiscard]] std::string NounOf(const std::string& word);

struct FoundCommand {
  const Command* command = nullptr;
  std::vector<std::string> arguments;  // what follows the verb
};

// `words` begin with a verb, or a noun and a verb; nouns may be singular or plural. kUsage with the
// nearest match otherwise.
[[nodiscard]] Result<FoundCommand> FindCommand(const std::vector<std::string>& words);

// Finds the verb that `words` begin with, and runs it with the rest of them as its arguments.
[[nodiscard]] Status RunVerb(Session& session, const std::vector<std::string>& words);

// Help of all verbs by group, of the verbs of a noun, or of one verb, whichever `words` name.
[[nodiscard]] Result<std::string> HelpText(const std::vector<std::string>& words);

// Each command group adds its verbs.
void AddVaultCommands(std::vector<Command>& commands);
void AddHostCommands(std::vector<Command>& commands);
void AddLoginCommands(std::vector<Command>& commands);
void AddCredentialCommands(std::vector<Command>& commands);
void AddShareCommands(std::vector<Command>& commands);
void AddVmCommands(std::vector<Command>& commands);
void AddPolicyCommands(std::vector<Command>& commands);
void AddProtectCommands(std::vector<Command>& commands);
void AddItemCommands(std::vector<Command>& commands);
void AddPointsCommands(std::vector<Command>& commands);
void AddPinCommands(std::vector<Command>& commands);
void AddRecoverCommands(std::vector<Command>& commands);
void AddTestFailoverCommands(std::vector<Command>& commands);
void AddJobsCommands(std::vector<Command>& commands);
void AddEventCommands(std::vector<Command>& commands);
void AddDiskCommands(std::vector<Command>& commands);
void AddHrlCommands(std::vector<Command>& commands);
void AddStatusCommands(std::vector<Command>& commands);
void AddDoctorCommands(std::vector<Command>& commands);
void AddAgentCommands(std::vector<Command>& commands);
void AddThrottleCommands(std::vector<Command>& commands);
void AddConfigCommands(std::vector<Command>& commands);
void AddCompletionCommands(std::vector<Command>& commands);

}  // namespace asr
