// The names of what exists, for completion.
#pragma once

#include <string>
#include <vector>

#include "cli/completion_line.h"
#include "cli/session.h"

namespace asr {

struct Candidate {
  std::string value;
  std::string description;
};

// What a value of `type` can be, given the line before it; those that do not begin with `typed` may
// be among them. Empty, too, if it cannot be found out.
[[nodiscard]] std::vector<Candidate> NamesOf(const ValueType& type, const CompletionLine& line,
                                             const std::string& typed, Session& session);

}  // namespace asr
