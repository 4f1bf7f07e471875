// Where work gets another SAS when the one that it uses has ended.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "core/jobs/environment.h"
#include "storage/auth/sas.h"

namespace asr {

// A SAS that is kept under a name.
struct KeptSas {
  std::string what;     // "credential backup"
  std::string renewal;  // the command that puts another in its place
  std::function<Result<SasToken>()> read;
};

// How long work waits for a person.
inline constexpr double kInputWaitSeconds = 60 * 60;

// Reads it again. Where that gives no other: once `is_in_use`, that is after the service has taken
// it, and if the environment has a person, it says what is needed, and reads until there is one,
// for kInputWaitSeconds; jobs are WaitingForInput meanwhile. kCredentialExpired, retryable, if
// there is nobody, or none came; kCancelled after a stop. `is_in_use` null: never waits.
// The environment's clock and progress must outlive the result.
[[nodiscard]] SasAuthorizer::Reload MakeSasReload(
    const Environment& environment, KeptSas kept,
    std::shared_ptr<const std::atomic<bool>> is_in_use);

}  // namespace asr
