#include "core/jobs/health.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "core/jobs/item_view.h"
#include "core/jobs/retries.h"
#include "core/jobs/send_changes.h"
#include "core/model/duration.h"
#include "core/vault/item_documents.h"

namespace asr {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Far more than the jobs of one item between two replications.
constexpr std::size_t kJobsLookedAt = 50;

void Raise(ItemHealth& health, ReplicationHealth to, Error error) {
  if (to > health.health) {
    health.health = to;
    health.errors.insert(health.errors.begin(), std::move(error));
  } else {
    health.errors.push_back(std::move(error));
  }
}

bool IsBeingSetUp(ProtectionState state) {
  return state == ProtectionState::kEnablingProtection ||
         state == ProtectionState::kInitialReplicationInProgress ||
         state == ProtectionState::kFinalizingProtection;
}

std::string AgeText(milliseconds age) {
  const auto whole = std::chrono::floor<seconds>(age);
  if (whole < seconds{120}) return fmt::format("{} s", whole.count());
  if (whole < seconds{7200}) return fmt::format("{} min", whole.count() / 60);
  return fmt::format("{} h", whole.count() / 3600);
}

void JudgeLastReplication(const Job& job, ItemHealth& health) {
  if (job.state != JobState::kFailed) return;
  Error error = job.error.value_or(
      MakeError(ErrorKind::kIo, ErrorCode::kJobInterrupted, "the last replication failed"));
  if (error.action.empty()) error.action = fmt::format("look at asr jobs show {}", job.id.value);
  // What a retry may mend is no more than a warning until the RPO says otherwise.
  Raise(health, job.retryable ? ReplicationHealth::kWarning : ReplicationHealth::kCritical,
        std::move(error));
}

void JudgeRpo(milliseconds rpo, seconds frequency, ItemHealth& health) {
  if (rpo <= frequency * kWarningMissedCycles) return;
  Raise(health,
        rpo > frequency * kCriticalMissedCycles ? ReplicationHealth::kCritical
                                                : ReplicationHealth::kWarning,
        MakeError(ErrorKind::kState, ErrorCode::kReplicationLate,
                  fmt::format("the newest recovery point holds the state of {} ago; the policy "
                              "asks for one every {}",
                              AgeText(rpo), FormatDuration(frequency)))
            .WithAction("run asr replicate for this VM"));
}

bool IsReplication(const Job& job) {
  return job.type == "Replicate" || job.type == "Resync" || job.type == "EnableProtection";
}

TestFailoverState ParseTestFailoverState(const std::string& name) {
  constexpr std::array kStates = {TestFailoverState::kInProgress,
                                  TestFailoverState::kWaitingForCleanup,
                                  TestFailoverState::kCleaningUp};
  for (const TestFailoverState state : kStates) {
    if (TestFailoverStateName(state) == name) return state;
  }
  return TestFailoverState::kNone;
}

Status GatherJobs(Environment& environment, const Vault& vault, const Item& item,
                  HealthFacts& facts) {
  ASR_TRY(const auto jobs,
          environment.state.ListJobs(
              {.item = item.name, .state = {}, .since = {}, .limit = kJobsLookedAt}));
  for (const Job& job : jobs) {
    if (job.vault != vault.name() || !IsReplication(job) || !job.end_time) continue;
    if (!facts.last_replication) facts.last_replication = job;
    // Jobs from before the item existed belong to an earlier protection of the same VM.
    if (job.state == JobState::kSucceeded && job.start_time >= item.created) {
      facts.last_compared = job.start_time;
      break;
    }
  }
  return {};
}

// One damaged document must not keep a person from seeing how all the others are.
template <class Outcome>
bool IsDamage(const Outcome& outcome) {
  return !outcome && (outcome.error().kind == ErrorKind::kCorrupt ||
                      outcome.error().kind == ErrorKind::kUnsupported);
}

Status GatherPoint(Vault& vault, const Item& item, Timestamp now, ItemStatus& status) {
  ASR_TRY(auto view, vault.Documents(item.id, ViewDepth::kAll));
  ASR_TRY(status.latest_point, view.NewestPoint());
  if (!status.latest_point) return {};
  ASR_TRY(status.latest_proof, view.ReadProof(status.latest_point->id));
  ASR_TRY(const auto pins, view.ListPins(now));
  status.latest_held = std::ranges::any_of(pins.pins, [&](const Pin& pin) {
    return pin.is_hold() && pin.point == status.latest_point->id;
  });
  return {};
}

}  // namespace

std::string_view ReplicationHealthName(ReplicationHealth health) {
  constexpr std::array<std::string_view, 3> kNames = {"Normal", "Warning", "Critical"};
  return kNames[static_cast<std::size_t>(health)];
}

ItemHealth JudgeHealth(const HealthFacts& facts) {
  ItemHealth health;
  if (facts.state == ProtectionState::kUnprotected) return health;
  if (facts.retry) {
    Raise(health,
          facts.retry->next_try ? ReplicationHealth::kWarning : ReplicationHealth::kCritical,
          DescribeRetry(*facts.retry));
  } else if (facts.last_replication) {
    JudgeLastReplication(*facts.last_replication, health);
  }
  if (facts.paused_since) {
    Raise(health, ReplicationHealth::kWarning,
          MakeError(ErrorKind::kState, ErrorCode::kItemState,
                    fmt::format("scheduled replication is paused since {}",
                                FormatTime(*facts.paused_since)))
              .WithAction("let it go on: asr resume VM"));
  }
  if (facts.damage) Raise(health, ReplicationHealth::kCritical, *facts.damage);
  if (!facts.newest_point && !facts.damage) {
    const bool set_up = IsBeingSetUp(facts.state);
    Raise(
        health, set_up ? ReplicationHealth::kWarning : ReplicationHealth::kCritical,
        MakeError(ErrorKind::kState, ErrorCode::kNoRecoveryPoint,
                  set_up ? "the initial replication is not complete" : "there is no recovery point")
            .WithAction(set_up ? "run the same asr enable again; it goes on where it was"
                               : "run asr replicate for this VM"));
  }
  if (facts.resync == ResyncState::kRequired || facts.resync == ResyncState::kInProgress) {
    Raise(health, ReplicationHealth::kWarning,
          MakeError(ErrorKind::kState, ErrorCode::kResyncRequired,
                    facts.resync_cause.empty() ? "a resync was interrupted"
                                               : "a resync is required: " + facts.resync_cause)
              .WithAction("the next asr replicate runs it; or run it now: asr resync VM --now"));
  }
  if (!facts.newest_point) return health;
  const Timestamp current =
      std::max(*facts.newest_point, facts.last_compared.value_or(*facts.newest_point));
  health.rpo = std::max(milliseconds{0}, facts.now - current);
  if (facts.frequency) JudgeRpo(*health.rpo, *facts.frequency, health);
  return health;
}

ItemHealth JudgeSchedule(const ItemSchedule& schedule, Timestamp now) {
  HealthFacts facts;
  facts.now = now;
  facts.newest_point = schedule.known_state.value_or(now);
  facts.retry = schedule.retry;
  facts.paused_since = schedule.paused_since;
  if (const auto view = ItemViewFromJson(schedule.view)) facts.frequency = view->policy.frequency;
  ItemHealth health = JudgeHealth(facts);
  if (!schedule.known_state) health.rpo.reset();
  return health;
}

Result<std::optional<Timestamp>> KnownStateTime(Environment& environment, Vault& vault,
                                                const Item& item) {
  ASR_TRY(const auto newest, vault.NewestPoint(item.id));
  if (!newest) return std::optional<Timestamp>{};
  HealthFacts facts;
  ASR_CHECK(GatherJobs(environment, vault, item, facts));
  return std::optional(std::max(newest->time, facts.last_compared.value_or(newest->time)));
}

Result<ItemStatus> GatherItemStatus(Environment& environment, Vault& vault, const Item& item) {
  ItemStatus status;
  HealthFacts facts{.state = item.state,
                    .now = environment.clock.Now(),
                    .newest_point = {},
                    .last_compared = {},
                    .frequency = {},
                    .last_replication = {},
                    .damage = {},
                    .resync = item.resync,
                    .resync_cause = item.resync_cause};
  const Status point = GatherPoint(vault, item, facts.now, status);
  if (IsDamage(point)) facts.damage = point.error();
  if (!point && !facts.damage) return Fail(point.error());
  if (status.latest_point) facts.newest_point = status.latest_point->time;
  ASR_CHECK(GatherJobs(environment, vault, item, facts));
  const Result<Policy> policy = vault.FindPolicy(item.policy);
  if (policy) facts.frequency = policy->frequency;
  if (IsDamage(policy) && !facts.damage) facts.damage = policy.error();
  if (!policy && !IsDamage(policy) && !IsNotFound(policy.error())) {
    return Fail(policy.error());
  }
  ASR_TRY(status.schedule, environment.state.FindItemSchedule(vault.identity().id, item.id));
  facts.retry = status.schedule.retry;
  // Jobs of an outage may be all that is left to look at.
  facts.last_compared = std::max(facts.last_compared, status.schedule.known_state);
  facts.paused_since = status.schedule.paused_since;
  ASR_TRY(status.test, FindTestFailover(environment, vault.identity().id, item.id));
  if (status.test) status.test_failover = ParseTestFailoverState(status.test->test.state);
  const auto waiting = WaitingChangesOf(environment, vault.identity().id, item.id);
  if (waiting && waiting->point_count > 0) status.backlog = *waiting;
  status.health = JudgeHealth(facts);
  return status;
}

}  // namespace asr
