// What the agent knows of its items: read from the vaults' views, noted for others.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/jobs/agent_loop.h"
#include "core/jobs/log_while_away.h"
#include "core/jobs/retry_class.h"

namespace asr {

std::string AgentLoop::CounterKey(const ItemKey& key) {
  return key.vault_id + "/" + key.item.value;
}

namespace {

// Of any other trouble cycles find out for themselves, where they have a vault to ask; without one
// they fail for what passes by itself, and wait where a person has to mend it.
std::optional<Error> AwayOf(const WatchedItem& watched, const std::optional<Error>& trouble) {
  if (!trouble || IsOfAway(*trouble)) return trouble;
  const bool passes = ClassifyError(*trouble) == RetryClass::kRecoverable;
  return watched.vault == nullptr && passes ? trouble : std::nullopt;
}

}  // namespace

double AgentLoop::LastGoodCycle(const std::string& vault_id) {
  const std::lock_guard lock(mutex_);
  return reach_[vault_id].good_seconds;
}

// `row`: null if nothing is noted of it yet.
void AgentLoop::FillSchedule(Known& known, const ItemSchedule* row) {
  const WatchedItem& watched = known.watched;
  ScheduledItem& scheduled = known.scheduled;
  scheduled.host = watched.item.host;
  scheduled.vm = watched.item.name;
  scheduled.frequency = watched.policy.frequency;
  scheduled.app_consistent = watched.policy.app_consistent;
  const auto& delays = watched.policy.retry_delays;
  scheduled.shortest_retry_delay = std::ranges::min(delays);
  scheduled.longest_retry_delay = std::ranges::max(delays);
  if (row == nullptr) return;
  known.has_row = true;
  known.noted_state = row->known_state;
  scheduled.last_start = row->last_start;
  scheduled.last_app_consistent = row->last_app_consistent;
  scheduled.is_paused = row->paused_since.has_value();
  scheduled.is_failing = row->retry.has_value();
  if (!row->retry) return;
  scheduled.next_try = row->retry->next_try;
  if (watched.item.uuid.empty() || !IsOfAway(row->retry->error)) return;
  scheduled.logs_since = row->retry->since;
  const std::lock_guard lock(mutex_);
  const auto not_before = log_not_before_.find(scheduled.key);
  if (not_before != log_not_before_.end()) scheduled.log_not_before = not_before->second;
}

Status AgentLoop::ReadItems() {
  ASR_TRY(const auto rows, environment_.state.ListItemSchedules());
  std::map<ItemKey, const ItemSchedule*> by_key;
  for (const ItemSchedule& row : rows) by_key[{row.vault_id, row.item}] = &row;
  std::map<ItemKey, Known> known;
  for (const auto& watch : watches_) {
    const auto view = watch->view();
    const auto away = watch->away(LastGoodCycle(view->vault_id));
    for (const WatchedItem& watched : view->items) {
      Known one{.watched = watched,
                .scheduled = {},
                .vault_name = view->vault_name,
                .away = AwayOf(watched, away),
                .looked_seconds = view->looked_seconds};
      one.scheduled.key = {view->vault_id, watched.item.id};
      const auto row = by_key.find(one.scheduled.key);
      FillSchedule(one, row == by_key.end() ? nullptr : row->second);
      const ItemKey key = one.scheduled.key;
      if (row != by_key.end()) AskIfVaultIsBack(key, *row->second, *view);
      known.insert_or_assign(key, std::move(one));
    }
  }
  ASR_CHECK(ForgetOthers(rows, known));
  const auto is_gone = [&](const auto& entry) { return !known.contains(entry.first); };
  std::erase_if(noted_, is_gone);
  std::erase_if(asked_since_back_, is_gone);
  known_ = std::move(known);
  SeedCounters();
  return {};
}

// What failed for it need not wait for its turn, nor for a person. Once each time that the vault
// came back: a cycle that began before may fail for it later.
void AgentLoop::AskIfVaultIsBack(const ItemKey& key, const ItemSchedule& row,
                                 const VaultView& view) {
  if (view.away || !view.answers_since || !row.retry || !IsOfAway(row.retry->error)) return;
  auto& asked = asked_since_back_[key];
  if (asked == view.answers_since) return;
  asked = view.answers_since;
  schedule_.Ask(key);
}

// Items that have left their vault, and those of vaults that are not registered here any more.
Status AgentLoop::ForgetOthers(const std::vector<ItemSchedule>& rows,
                               const std::map<ItemKey, Known>& known) {
  std::map<std::string, bool> is_listed;  // by vault
  for (const auto& watch : watches_) {
    const auto view = watch->view();
    is_listed[view->vault_id] = is_listed[view->vault_id] || view->is_listed;
  }
  for (const ItemSchedule& row : rows) {
    const ItemKey key{row.vault_id, row.item};
    if (row.vm.empty() || known.contains(key)) continue;
    const auto vault = is_listed.find(row.vault_id);
    const bool has_left = vault == is_listed.end() ? knows_vaults_ : vault->second;
    if (!has_left) continue;
    ASR_CHECK(environment_.state.NoteScheduled(row.vault_id, row.item, "", "", std::nullopt, ""));
    noted_.erase(key);
    Tell(LogLevel::kInfo, "it is not replicated any more", row.vault, row.vm);
  }
  return {};
}

// Until an item's first cycle has ended, what was found when the agent started stands for it.
void AgentLoop::SeedCounters() {
  const std::lock_guard lock(mutex_);
  for (const auto& [key, known] : known_) {
    ItemCounters& counters = counters_[CounterKey(key)];
    counters.vm = known.watched.item.name;
    counters.vault = known.vault_name;
    counters.frequency = known.scheduled.frequency;
    if (!counters.knows_backlog) counters.backlog_bytes = known.watched.backlog_bytes.value_or(0);
    if (counters.cycles > 0) continue;
    if (known.watched.known_state) counters.last_good_start = known.watched.known_state;
  }
}

// What others see of the schedule is written down when it changes.
Status AgentLoop::NoteMembers() {
  const Timestamp now = environment_.clock.Now();
  const auto running = jobs_.Running();
  for (const auto& [key, known] : known_) {
    const auto noted = noted_.find(key);
    // Somebody has ended its protection here: the vault's next look tells.
    if (noted != noted_.end() && !known.has_row) {
      if (!std::exchange(noted->second.is_gone, true)) wants_look_ = true;
      continue;
    }
    const auto due = schedule_.DueAt(known.scheduled, now);
    const auto& found = known.watched.known_state;
    if (found && (!known.noted_state || *known.noted_state < *found)) {
      ASR_CHECK(environment_.state.NoteKnownState(key.vault_id, key.item, *found));
    }
    if (noted != noted_.end() && noted->second.view == known.watched.kept &&
        (noted->second.due == due || running.contains(key))) {
      continue;
    }
    ASR_CHECK(environment_.state.NoteScheduled(key.vault_id, key.item, known.watched.item.name,
                                               known.vault_name, due, known.watched.kept));
    if (noted == noted_.end()) {
      Tell(LogLevel::kInfo, fmt::format("replicated every {} s", known.scheduled.frequency.count()),
           known.vault_name, known.watched.item.name);
    }
    noted_.insert_or_assign(key, Noted{.due = due, .view = known.watched.kept});
  }
  return {};
}

}  // namespace asr
