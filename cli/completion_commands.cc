#include <array>
#include <memory>

#include "cli/command_table.h"
#include "cli/completion_scripts.h"

namespace asr {
namespace {

struct Shell {
  const char* name;
  const std::string_view& script;
};

const std::array kShells = {
    Shell{"bash", kBashCompletion},
    Shell{"zsh", kZshCompletion},
    Shell{"fish", kFishCompletion},
    Shell{"powershell", kPowerShellCompletion},
};

std::vector<std::string> ShellNames() {
  std::vector<std::string> names;
  for (const Shell& shell : kShells) names.emplace_back(shell.name);
  return names;
}

Status RunCompletion(Session& session, const std::string& name) {
  for (const Shell& shell : kShells) {
    if (name == shell.name) session.PrintText(std::string(shell.script));
  }
  return {};
}

}  // namespace

void AddCompletionCommands(std::vector<Command>& commands) {
  commands.push_back({"completion", HelpGroup::kSetUp,
                      "Print the script that completes asr's commands and names in a shell",
                      "completion bash", [](VerbArguments& arguments) -> VerbRunner {
                        const auto shell = std::make_shared<std::string>();
                        arguments.Required("SHELL", *shell, "bash, zsh, fish or powershell",
                                           OneOf(ShellNames()));
                        return [shell](Session& session) { return RunCompletion(session, *shell); };
                      }});
}

}  // namespace asr
