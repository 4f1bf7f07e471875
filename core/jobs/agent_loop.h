// The agent's one thread that decides; what it decides is done by others.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/jobs/agent.h"
#include "core/jobs/agent_jobs.h"
#include "core/jobs/host_watch.h"
#include "core/jobs/replicate.h"
#include "core/jobs/vault_watch.h"

namespace asr {

class AgentLoop {
 public:
  AgentLoop(Environment& environment, const AgentSettings& settings, std::string agent_id);
  AgentLoop(const AgentLoop&) = delete;
  AgentLoop& operator=(const AgentLoop&) = delete;

  // Until a stop is asked for.
  void Run();

 private:
  struct Known {
    WatchedItem watched;
    ScheduledItem scheduled;
    std::string vault_name;
    std::optional<Error> away = {};             // why its vault cannot be asked now
    double looked_seconds = 0;                  // VaultView::looked_seconds
    bool has_row = false;                       // something is noted of it
    std::optional<Timestamp> noted_state = {};  // as in ItemSchedule::known_state
  };
  struct Cycle {
    bool app_consistent = false;
    bool only_logs = false;          // between two tries
    std::optional<Error> away = {};  // it asks its vault for nothing, logs, and fails for this
  };
  // Of a vault, as cycles met it.
  struct Reach {
    std::optional<Error> away;  // why the last one that tried did not reach it
    double away_seconds = 0;    // when that one ended; a look that began later knows better
    double good_seconds = 0;    // when the last one that succeeded ended
    std::set<ItemKey> trying;   // whose cycles ask it now
  };

  void LookAtVaults();
  void LookAtHosts();
  void LookAtClock();
  [[nodiscard]] Status Pass();
  [[nodiscard]] Status ReadItems();
  void FillSchedule(Known& known, const ItemSchedule* row);
  [[nodiscard]] Status ForgetOthers(const std::vector<ItemSchedule>& rows,
                                    const std::map<ItemKey, Known>& known);
  void AskIfVaultIsBack(const ItemKey& key, const ItemSchedule& row, const VaultView& view);
  void SeedCounters();
  [[nodiscard]] Status NoteMembers();
  [[nodiscard]] Status TakeRequests();
  [[nodiscard]] Status TakeRun(const AgentRequest& request, bool& is_taken);
  [[nodiscard]] Status NoteQueuedEnd(const JobId& id, const Status& outcome,
                                     const JobOutput& output);
  [[nodiscard]] Status StartDue();
  [[nodiscard]] double LastGoodCycle(const std::string& vault_id);
  [[nodiscard]] std::optional<Error> AwayFor(const Known& known, bool is_asked);
  void StartCycle(const Known& known, const Cycle& cycle);
  [[nodiscard]] Environment EnvironmentOf(const Known& known, ProgressSink& progress,
                                          const std::stop_token& stop) const;
  [[nodiscard]] std::set<std::string> ToldOf(const ItemKey& key);
  void SetTold(const ItemKey& key, std::set<std::string> told);
  void RunCycle(const Known& known, const Cycle& cycle, const std::stop_token& stop);
  void RunLogging(const Known& known, const Cycle& cycle, const std::stop_token& stop);
  [[nodiscard]] std::optional<Consistency> LoggedSince(const Known& known, Timestamp start) const;
  void NoteAppConsistent(const Known& known, Timestamp start, bool was_frozen);
  void NoteReach(const ItemKey& key, const Status& ended);
  [[nodiscard]] std::optional<Error> AwayOfCycles(const Known& known, const Reach& reach) const;
  [[nodiscard]] bool WaitsForVault(const Known& known);
  [[nodiscard]] Result<bool> WasCut(const Job& job);
  [[nodiscard]] std::map<ItemKey, std::string> RunningWithPlace();
  [[nodiscard]] bool IsBusyFor(const Known& known,
                               const std::map<ItemKey, std::string>& running) const;
  [[nodiscard]] Status EndLost(Job job);
  void StartQueued(const ItemKey& key, const std::string& host, const Job& job,
                   const JobCommand& command);
  void RunQueued(const Job& job, const JobCommand& command, const std::stop_token& stop);
  void NoteEnd(const Known& known, Timestamp start, double seconds,
               const Result<ReplicateOutcome>& outcome);
  void RemoveOldJobs();
  [[nodiscard]] const Known* FindKnown(const std::string& vm, const std::string& vault) const;
  [[nodiscard]] static std::string CounterKey(const ItemKey& key);
  [[nodiscard]] std::size_t Setting(const char* key, int fallback);
  void Tell(LogLevel level, const std::string& message, const std::string& vault = "",
            const std::string& vm = "");
  void TellTrouble(const Status& passed);

  Environment& environment_;
  const AgentSettings& settings_;
  const std::string agent_id_;
  Schedule schedule_;
  ScheduleLimits limits_;
  std::vector<std::unique_ptr<VaultWatch>> watches_;
  std::vector<std::unique_ptr<VaultWatch>> retired_;  // whose vaults are not registered any more
  bool knows_vaults_ = false;                         // watches_ are all there are
  std::vector<HostRegistration> hosts_;
  std::vector<std::unique_ptr<HostWatch>> host_watches_;
  std::vector<std::unique_ptr<HostWatch>> retired_hosts_;
  std::map<ItemKey, Known> known_;
  struct Noted {
    std::optional<Timestamp> due;
    std::string view;
    bool is_gone = false;  // its row is not there any more, and a look was asked for
  };
  std::map<ItemKey, Noted> noted_;  // members, and what was noted of them
  std::map<ItemKey, std::optional<Timestamp>> asked_since_back_;  // VaultView::answers_since
  std::optional<double> vaults_seen_seconds_;
  std::optional<double> jobs_removed_seconds_;
  Timestamp next_due_{};
  bool waits_for_place_ = false;  // a queued job does
  Timestamp clock_seen_;
  double clock_seen_seconds_;
  std::string told_;
  std::atomic<bool> wants_look_ = false;  // a job has ended that may have changed a vault's items
  std::mutex mutex_;                      // guards what follows
  std::map<std::string, ItemCounters> counters_;  // by "VAULT/ITEM", ids
  std::map<std::string, Reach> reach_;            // by vault, id
  std::set<std::string> queued_;                  // ids of queued jobs that run now
  std::map<ItemKey, Timestamp> log_not_before_;
  std::map<ItemKey, std::set<std::string>> told_warnings_;  // by the cycles before
  AgentJobs jobs_;                                          // last: its threads use the others
};

}  // namespace asr
