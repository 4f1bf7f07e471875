// How well an item is protected now: its RPO, its health, and what is wrong.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>
#include <vector>

#include "core/jobs/environment.h"
#include "core/jobs/test_failover.h"
#include "core/jobs/waiting_changes.h"
#include "core/model/item.h"
#include "core/model/job.h"
#include "core/model/point.h"
#include "core/vault/vault.h"

namespace asr {

enum class ReplicationHealth : std::uint8_t { kNormal, kWarning, kCritical };
[[nodiscard]] std::string_view ReplicationHealthName(ReplicationHealth health);

// More missed cycles than this are a warning, than that are critical.
inline constexpr int kWarningMissedCycles = 3;
inline constexpr int kCriticalMissedCycles = 12;

// What health is judged by; unknown parts are nullopt.
struct HealthFacts {
  ProtectionState state = ProtectionState::kProtected;
  Timestamp now{};
  std::optional<Timestamp> newest_point;          // its time
  std::optional<Timestamp> last_compared;         // start of the last replication that succeeded
  std::optional<std::chrono::seconds> frequency;  // of the policy
  std::optional<Job> last_replication;            // the newest one that ended, however it did
  std::optional<Error> damage;                    // of a document in the vault
  ResyncState resync = ResyncState::kNone;
  std::string resync_cause = {};
  // Of the scheduled replication. A retry takes the place of the last replication's error.
  std::optional<RetryState> retry = {};
  std::optional<Timestamp> paused_since = {};
};

struct ItemHealth {
  ReplicationHealth health = ReplicationHealth::kNormal;
  // Age of the state that the newest point is known to hold. nullopt: there is no point, or the
  // item is not being replicated.
  std::optional<std::chrono::milliseconds> rpo;
  std::vector<Error> errors;  // the gravest first
};

// A replication that found no change seals no point, yet proves that the newest one still holds the
// source's state: so the RPO counts from the later of the two. A clock that went back gives 0.
[[nodiscard]] ItemHealth JudgeHealth(const HealthFacts& facts);

struct ItemStatus {
  std::optional<RecoveryPoint> latest_point;
  std::optional<Proof> latest_proof;
  bool latest_held = false;
  TestFailoverState test_failover = TestFailoverState::kNone;
  std::optional<TestFailoverStatus> test;  // not cleaned up
  ItemHealth health;
  ItemSchedule schedule;  // on this machine
  // Of change logs that wait to be sent, on this machine. nullopt: none does, and what has changed
  // since is not known.
  std::optional<WaitingChanges> backlog;
};

// Reads the newest point, this machine's jobs and test failovers. Replications that another machine
// ran are seen only by the points that they sealed.
[[nodiscard]] Result<ItemStatus> GatherItemStatus(Environment& environment, Vault& vault,
                                                  const Item& item);

// Of scheduled replication, by what this machine knows without the vault. No RPO if it knows none.
[[nodiscard]] ItemHealth JudgeSchedule(const ItemSchedule& schedule, Timestamp now);

// The time whose state the newest point is known to hold; nullopt: there is no point.
[[nodiscard]] Result<std::optional<Timestamp>> KnownStateTime(Environment& environment,
                                                              Vault& vault, const Item& item);

}  // namespace asr
