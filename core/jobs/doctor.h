// What of this machine, its hosts and its vaults stands in the way of replication and recovery.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/jobs/environment.h"

namespace asr {

struct Diagnosis {
  enum class State : std::uint8_t {
    kFine,
    kWarning,  // what is missing may be needed, or will be
    kBroken,   // something that is used does not work
  };
  std::string name;  // what was looked at: "Host kvm1"
  State state = State::kFine;
  std::string detail;
  std::string action = {};  // empty: nothing is to be done
};

// Looks at all of it; changes nothing on hosts and in vaults. What cannot be looked at is part of
// the answer.
[[nodiscard]] std::vector<Diagnosis> Diagnose(Environment& environment);

}  // namespace asr
