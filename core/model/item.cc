#include "core/model/item.h"

#include <array>
#include <string_view>

#include "storage/base/bytes.h"

namespace asr {
namespace {

constexpr std::array<std::string_view, 11> kProtectionStates = {
    "EnablingProtection",
    "InitialReplicationInProgress",
    "FinalizingProtection",
    "Protected",
    "PlannedFailoverInProgress",
    "UnplannedFailoverInProgress",
    "FailoverCommitPending",
    "FailedOver",
    "ReverseReplicating",
    "DisablingProtection",
    "Unprotected",
};
constexpr std::array<std::string_view, 4> kResyncStates = {"None", "Required", "Scheduled",
                                                           "InProgress"};
constexpr std::array<std::string_view, 4> kTestFailoverStates = {"None", "InProgress",
                                                                 "WaitingForCleanup", "CleaningUp"};

}  // namespace

std::string_view ProtectionStateName(ProtectionState state) {
  return kProtectionStates[static_cast<std::size_t>(state)];
}

std::optional<ProtectionState> ParseProtectionState(std::string_view name) {
  for (std::size_t i = 0; i < kProtectionStates.size(); ++i) {
    if (kProtectionStates[i] == name) return static_cast<ProtectionState>(i);
  }
  return std::nullopt;
}

std::string_view ResyncStateName(ResyncState state) {
  return kResyncStates[static_cast<std::size_t>(state)];
}

std::optional<ResyncState> ParseResyncState(std::string_view name) {
  for (std::size_t i = 0; i < kResyncStates.size(); ++i) {
    if (kResyncStates[i] == name) return static_cast<ResyncState>(i);
  }
  return std::nullopt;
}

std::string_view TestFailoverStateName(TestFailoverState state) {
  return kTestFailoverStates[static_cast<std::size_t>(state)];
}

std::uint64_t PaddedDiskBytes(std::uint64_t size_bytes) { return AlignUp(size_bytes, kMiB); }

}  // namespace asr
