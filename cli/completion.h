// `asr __complete -- WORDS`: what the scripts of the shells (asr completion) ask when a person
// presses the tab key. The last word is the one being typed; it may be empty.
#pragma once

#include <string>
#include <vector>

#include "cli/application.h"

namespace asr {

[[nodiscard]] bool IsCompletionCall(const std::vector<std::string>& arguments);

// Prints a line for each word that can stand there: the word and, behind a tab, what it is. One
// line ":files" or ":directories" instead leaves it to the shell. Names come from the state
// directory and the vault of the line. Nothing is created or written, and what cannot be found out
// is silently left out.
void PrintCompletions(const std::vector<std::string>& arguments, CliContext& context);

}  // namespace asr
