// Keeps what the agent needs to know of one vault: a slow or unreachable one holds up no other.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "core/jobs/agent.h"
#include "core/jobs/heartbeat.h"
#include "core/model/item.h"
#include "core/model/policy.h"
#include "core/vault/vault.h"

namespace asr {

struct WatchedItem {
  Item item;
  Policy policy;
  VaultIdentity identity;        // of its vault
  std::shared_ptr<Vault> vault;  // null: it is as this machine kept it, and was not listed since
  std::string kept;              // ItemViewToJson of these, to be kept
  // When the agent began to watch it; nullopt while that is not known.
  std::optional<Timestamp> known_state;  // the time whose state the newest point holds
  std::optional<std::uint64_t> backlog_bytes;
};

struct VaultView {
  std::string vault_id;
  std::string vault_name;
  std::vector<WatchedItem> items;  // Protected, on hosts that are registered here
  bool is_listed = false;          // the vault has answered at least once
  std::optional<Error> away = {};  // why it could not be looked at, the last time
  // Since when it answers: for the first time, or again. None: it has never done.
  std::optional<Timestamp> answers_since = {};
  double looked_seconds = 0;  // when the last look that went well began, by the monotonic clock
};

// A thread that lists the vault's items every 30 seconds, and writes the heartbeat. While the
// vault cannot be reached the items stay as they were last seen, also by an earlier process on this
// state.
class VaultWatch {
 public:
  // `environment` and `settings` outlive it.
  VaultWatch(Environment& environment, const AgentSettings& settings,
             VaultRegistration registration, std::string agent_id);
  // Waits for a request that is on its way, unless has_ended.
  ~VaultWatch();
  VaultWatch(const VaultWatch&) = delete;
  VaultWatch& operator=(const VaultWatch&) = delete;

  [[nodiscard]] const VaultRegistration& registration() const { return registration_; }
  [[nodiscard]] std::shared_ptr<const VaultView> view() const;
  // Why the vault cannot be used now: the last look failed, or one waits for an answer for long,
  // and no cycle has succeeded since it began; the last one that did at `good_seconds`.
  [[nodiscard]] std::optional<Error> away(double good_seconds) const;
  // List again at once.
  void Poke();
  // No more of it is wanted; returns at once.
  void Retire();
  [[nodiscard]] bool has_ended() const { return has_ended_; }

 private:
  void Run(const std::stop_token& stop);
  [[nodiscard]] std::vector<WatchedItem> ReadKept();
  void LookAndBeat();
  void NoteLook(const Status& looked);
  [[nodiscard]] Status Look();
  [[nodiscard]] Result<std::vector<Policy>> ReadPolicies();
  void Learn();
  [[nodiscard]] Result<bool> IsOurs(const Item& item);
  void Beat(const VaultView& view);
  void Tell(LogLevel level, const std::string& message);

  Environment environment_;
  const AgentSettings& settings_;
  const VaultRegistration registration_;
  const std::string agent_id_;
  HeartbeatWriter heartbeat_;
  std::shared_ptr<Vault> vault_;  // of the thread
  std::string told_;              // the trouble that was told last
  std::set<ItemId> told_foreign_;
  std::map<std::string, std::string> told_policies_;  // the trouble with each
  struct Learned {
    std::optional<Timestamp> known_state;
    std::optional<std::uint64_t> backlog_bytes;
  };
  std::map<ItemId, Learned> learned_;
  std::atomic<bool> has_ended_ = false;
  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable_any poked_;
  bool is_poked_ = false;
  std::optional<double> look_begun_seconds_;  // of one that is under way
  std::shared_ptr<const VaultView> view_;
  std::jthread thread_;  // last: it uses the others
};

}  // namespace asr
