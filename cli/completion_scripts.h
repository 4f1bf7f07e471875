// What `asr completion SHELL` prints. The scripts know no commands or options: they ask
// `asr __complete` (cli/completion.h) for what can be typed next, and quote it for their shell.
#pragma once

#include <string_view>

namespace asr {

extern const std::string_view kBashCompletion;
extern const std::string_view kZshCompletion;
extern const std::string_view kFishCompletion;
extern const std::string_view kPowerShellCompletion;

}  // namespace asr
