// Options that say how a VM is started at the target: of `items update`, and of `test-failover` for
// one run.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/arguments.h"
#include "core/model/virtual_machine.h"

namespace asr {

struct TargetOptions {
  std::optional<std::string> memory_mib;
  std::optional<std::string> cpus;
  std::optional<std::string> sign_of_life;
  std::optional<std::string> sign_of_life_timeout;
  std::optional<std::string> network;

  // Must outlive the parsing.
  void Declare(VerbArguments& arguments);
  // kUsage for what is impossible.
  [[nodiscard]] Result<TargetSettings> Parse() const;
};

// Names of the options above, without dashes: "memory-mib".
[[nodiscard]] ValueType TargetSettingWords();
[[nodiscard]] std::vector<TargetSetting> TargetSettingsOf(const std::vector<std::string>& words);

// As --sign-of-life takes it: "serial:login:", "tcp:22", "guest-agent", "disk".
[[nodiscard]] std::string FormatSignOfLife(const SignOfLife& sign);

}  // namespace asr
