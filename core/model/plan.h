// What a verb would do (--dry-run).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace asr {

struct PlanStep {
  std::string step;         // "Replicate disk", "Remove recovery point"
  std::string item;         // the VM's name
  std::string disk;         // empty if it is of no single disk
  std::uint64_t bytes = 0;  // at most so many are moved
  double seconds = 0;       // an estimate; 0 if none can be made
};

struct Plan {
  std::vector<PlanStep> steps;
  std::vector<std::string> warnings;
};

}  // namespace asr
