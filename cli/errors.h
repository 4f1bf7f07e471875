// Errors as people and scripts read them, on stderr.
#pragma once

#include <ostream>
#include <string>

#include "cli/render.h"
#include "storage/base/error.h"

namespace asr {

// {"code","message","causes","action","retryable"}; the message begins with its context.
[[nodiscard]] Json ErrorJson(const Error& error);

// "ERROR ASR1234: ...", then a "Likely cause:" line for each cause and a "What to do:" line.
// Without newlines or control characters inside.
[[nodiscard]] std::string ErrorText(const Error& error, bool colour);

// As text, or as one line {"error":{...}} of JSON.
void PrintError(std::ostream& err, const Error& error, OutputFormat format, bool colour);

}  // namespace asr
