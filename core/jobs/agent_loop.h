// The agent's one thread that decides; what it decides is done by others.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
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
  };

  void LookAtVaults();
  void LookAtHosts();
  void LookAtClock();
  [[nodiscard]] Status Pass();
  [[nodiscard]] Status ReadItems();
  [[nodiscard]] Status ForgetOthers(const std::vector<ItemSchedule>& rows,
                                    const std::map<ItemKey, Known>& known);
  void SeedCounters();
  [[nodiscard]] Status NoteMembers();
  [[nodiscard]] Status TakeRequests();
  [[nodiscard]] Status TakeRun(const AgentRequest& request, bool& is_taken);
  [[nodiscard]] Status PutBack(Job job);
  [[nodiscard]] Status StartDue();
  void StartCycle(const Known& known, bool app_consistent);
  void RunCycle(const Known& known, bool app_consistent, const std::stop_token& stop);
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
  std::map<ItemKey, std::optional<Timestamp>> noted_;  // members, and the due that was noted
  std::optional<double> vaults_seen_seconds_;
  std::optional<double> jobs_removed_seconds_;
  Timestamp next_due_{};
  Timestamp clock_seen_;
  double clock_seen_seconds_;
  std::string told_;
  std::atomic<bool> wants_look_ = false;  // a job has ended that may have changed a vault's items
  std::mutex mutex_;                      // guards what follows
  std::map<std::string, ItemCounters> counters_;  // by "VAULT/ITEM", ids
  AgentJobs jobs_;                                // last: its threads use the others
};

}  // namespace asr
