// The prerequisites of protecting a VM.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/jobs/environment.h"
#include "core/model/policy.h"
#include "core/model/virtual_machine.h"
#include "core/vault/vault.h"

namespace asr {

// One prerequisite, looked at.
struct CheckResult {
  enum class Verdict : std::uint8_t { kPassed, kWarning, kFailed };
  std::string name;  // "Disk root: format"
  Verdict verdict = Verdict::kPassed;
  std::string detail;  // what was found, and the limit
};

// Looks at all of them; changes nothing. Without `policy` what depends on one is passed over.
[[nodiscard]] Result<std::vector<CheckResult>> CheckVm(Environment& environment, Vault& vault,
                                                       const VirtualMachine& vm,
                                                       const std::optional<Policy>& policy);

// kUnsupported (kVmNotProtectable), with what failed as its causes, unless all of them hold.
[[nodiscard]] Status RequirePassed(const VirtualMachine& vm,
                                   const std::vector<CheckResult>& results);

}  // namespace asr
