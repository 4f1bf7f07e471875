#include "core/jobs/vault_watch.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <exception>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "core/jobs/health.h"
#include "core/jobs/item_view.h"
#include "core/jobs/send_changes.h"
#include "core/jobs/vaults.h"
#include "storage/base/text.h"

namespace asr {
namespace {

constexpr std::chrono::seconds kBetweenVaultLooks{30};
// A few requests take no longer, unless nobody answers; the client tries that for minutes.
constexpr double kLongestLookSeconds = 30;

// The standard one, until a person gives the item another.
Policy PolicyOf(const Item& item, const std::vector<Policy>& policies) {
  const auto policy = std::ranges::find(policies, item.policy, &Policy::name);
  if (policy != policies.end()) return *policy;
  Policy standard;
  standard.name = item.policy;
  standard.retention = StandardRetention(std::chrono::hours{24});
  return standard;
}

}  // namespace

VaultWatch::VaultWatch(Environment& environment, const AgentSettings& settings,
                       VaultRegistration registration, std::string agent_id)
    : environment_(environment),
      settings_(settings),
      registration_(std::move(registration)),
      agent_id_(std::move(agent_id)),
      heartbeat_(environment.clock) {
  // What a cycle sends waits with its own stop (ThrottledVault), and a heartbeat for nobody.
  environment_.throttle.reset();
  auto view = std::make_shared<VaultView>();
  view->vault_id = registration_.id;
  view->vault_name = registration_.name;
  view->items = ReadKept();
  view_ = std::move(view);
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

VaultWatch::~VaultWatch() = default;

std::shared_ptr<const VaultView> VaultWatch::view() const {
  const std::lock_guard lock(mutex_);
  return view_;
}

std::vector<WatchedItem> VaultWatch::ReadKept() {
  std::vector<WatchedItem> items;
  const auto rows = environment_.state.ListItemSchedules();
  const auto hosts = environment_.state.ListHosts();
  if (!rows || !hosts) return items;
  for (const ItemSchedule& row : *rows) {
    if (row.vault_id != registration_.id || row.view.empty()) continue;
    auto kept = ItemViewFromJson(row.view);
    if (!kept) continue;  // another version's
    if (std::ranges::find(*hosts, kept->item.host, &HostRegistration::name) == hosts->end()) {
      continue;
    }
    const auto backlog = LogSetsOf(environment_, row.vault_id, row.item).WaitingBytes();
    items.push_back({.item = std::move(kept->item),
                     .policy = std::move(kept->policy),
                     .identity = std::move(kept->vault),
                     .vault = nullptr,
                     .kept = row.view,
                     .known_state = row.known_state,
                     .backlog_bytes = backlog ? std::optional(*backlog) : std::nullopt});
  }
  return items;
}

std::optional<Error> VaultWatch::away(double good_seconds) const {
  const std::lock_guard lock(mutex_);
  if (view_->away || !look_begun_seconds_) return view_->away;
  if (good_seconds > *look_begun_seconds_) return std::nullopt;
  const double seconds = environment_.clock.MonotonicSeconds() - *look_begun_seconds_;
  if (seconds < kLongestLookSeconds) return std::nullopt;
  return MakeError(ErrorKind::kIo, ErrorCode::kUnreachable,
                   fmt::format("vault {} has not answered for {:.0f} s", registration_.name,
                               std::floor(seconds / 10) * 10))
      .WithCause("the network, or the storage account, is down")
      .WithAction("look at it: asr vault check " + ShellQuote(registration_.name))
      .Retryable();
}

void VaultWatch::Poke() {
  const std::lock_guard lock(mutex_);
  is_poked_ = true;
  poked_.notify_all();
}

void VaultWatch::Retire() {
  thread_.request_stop();
  Poke();
}

void VaultWatch::Tell(LogLevel level, const std::string& message) {
  settings_.log({.level = level, .message = message, .vault = registration_.name});
}

void VaultWatch::Run(const std::stop_token& stop) {
  while (!stop.stop_requested() && !environment_.stop.stop_requested()) {
    LookAndBeat();
    std::unique_lock lock(mutex_);
    poked_.wait_for(lock, stop, kBetweenVaultLooks, [this] { return is_poked_; });
    is_poked_ = false;
  }
  has_ended_ = true;
}

void VaultWatch::NoteLook(const Status& looked) {
  const std::lock_guard lock(mutex_);
  const double now = environment_.clock.MonotonicSeconds();
  const double begun = look_begun_seconds_.value_or(now);
  const bool was_away = view_->away || now - begun >= kLongestLookSeconds;
  look_begun_seconds_.reset();
  auto view = std::make_shared<VaultView>(*view_);
  if (!looked) {
    view->away = looked.error();
  } else {
    view->away.reset();
    view->looked_seconds = begun;
    if (was_away || !view->answers_since) view->answers_since = environment_.clock.Now();
  }
  view_ = std::move(view);
}

void VaultWatch::LookAndBeat() {
  {
    const std::lock_guard lock(mutex_);
    look_begun_seconds_ = environment_.clock.MonotonicSeconds();
  }
  const auto look = [this]() -> Status {
    try {
      return Look();
    } catch (const std::exception& exception) {
      // One vault's trouble is not the end of the agent.
      return Fail(ErrorKind::kInternal, ErrorCode::kInternal,
                  std::string("unexpected: ") + exception.what());
    }
  };
  const Status looked = look();
  NoteLook(looked);
  if (looked && !told_.empty()) Tell(LogLevel::kInfo, "the vault can be reached again");
  const std::string trouble = looked ? "" : looked.error().Line();
  if (!looked && trouble != told_) {
    Tell(LogLevel::kWarning, fmt::format("the vault cannot be looked at: {}", trouble));
  }
  told_ = trouble;
  if (!looked) {
    vault_.reset();  // opened anew next time, perhaps with other credentials
    return;
  }
  try {
    Beat(*view());
    Learn();
  } catch (const std::exception& exception) {
    Tell(LogLevel::kWarning, std::string("unexpected: ") + exception.what());
  }
}

// One whose document is damaged is as it was read last, and concerns its own items alone: their
// cycles and their health tell of it.
Result<std::vector<Policy>> VaultWatch::ReadPolicies() {
  ASR_TRY(PolicyListing listing, vault_->ListPolicies());
  std::map<std::string, std::string> told;
  for (const auto& [name, error] : listing.unreadable) {
    told[name] = error.Line();
    if (told_policies_[name] != told[name]) {
      Tell(LogLevel::kWarning,
           fmt::format("policy {} cannot be read, its VMs go on as before: {}", name, told[name]));
    }
    const auto view = this->view();
    const auto before = std::ranges::find_if(
        view->items,
        [&, &name = name](const WatchedItem& item) { return item.policy.name == name; });
    if (before != view->items.end()) listing.policies.push_back(before->policy);
  }
  told_policies_ = std::move(told);
  return listing.policies;
}

// What metrics tell of an item before its first cycle.
void VaultWatch::Learn() {
  auto view = std::make_shared<VaultView>(*this->view());
  bool is_new = false;
  for (WatchedItem& item : view->items) {
    if (environment_.stop.stop_requested()) return;
    if (item.vault == nullptr || learned_.contains(item.item.id)) continue;
    auto known_state = KnownStateTime(environment_, *item.vault, item.item);
    if (!known_state) continue;  // its cycle tells why
    item.known_state = *known_state;
    const auto backlog = LogSetsOf(environment_, registration_.id, item.item.id).WaitingBytes();
    if (backlog) item.backlog_bytes = *backlog;
    learned_[item.item.id] = {.known_state = item.known_state, .backlog_bytes = item.backlog_bytes};
    is_new = true;
  }
  if (!is_new) return;
  const std::lock_guard lock(mutex_);
  view_ = std::move(view);
}

// What this machine has replicated before: another one may have a host of the same name.
Result<bool> VaultWatch::IsOurs(const Item& item) {
  if (item.disks.empty()) return false;
  ASR_TRY(const auto cursor,
          environment_.state.FindCursor(registration_.id, item.id, item.disks.front().name));
  if (cursor) return true;
  ASR_TRY(const ItemSchedule schedule,
          environment_.state.FindItemSchedule(registration_.id, item.id));
  if (schedule.last_start) return true;
  if (told_foreign_.insert(item.id).second) {
    Tell(LogLevel::kInfo, fmt::format("VM {} is on a host of that name, {}, but this machine has "
                                      "not replicated it yet: to take it over, asr replicate {}",
                                      item.name, item.host, item.id.value));
  }
  return false;
}

Status VaultWatch::Look() {
  // A directory that is not mounted any more looks like one without items.
  if (vault_ && !vault_->is_on_azure()) vault_.reset();
  if (!vault_) {
    ASR_TRY(std::unique_ptr<Vault> opened, OpenVault(environment_, registration_.name));
    vault_ = std::move(opened);
  }
  ASR_TRY(const ItemListing listing, vault_->ListItems());
  ASR_TRY(const auto policies, ReadPolicies());
  ASR_TRY(const auto hosts, environment_.state.ListHosts());
  std::set<std::string> here;
  for (const HostRegistration& host : hosts) here.insert(host.name);
  auto view = std::make_shared<VaultView>();
  view->vault_id = registration_.id;
  view->vault_name = registration_.name;
  view->is_listed = true;
  for (const Item& item : listing.items) {
    if (item.state != ProtectionState::kProtected || !here.contains(item.host)) continue;
    ASR_TRY(const bool is_ours, IsOurs(item));
    if (!is_ours) continue;
    const auto learned = learned_.find(item.id);
    const Learned& known = learned == learned_.end() ? Learned{} : learned->second;
    const ItemView kept{
        .vault = vault_->identity(), .item = item, .policy = PolicyOf(item, policies)};
    view->items.push_back({.item = item,
                           .policy = kept.policy,
                           .identity = kept.vault,
                           .vault = vault_,
                           .kept = ItemViewToJson(kept),
                           .known_state = known.known_state,
                           .backlog_bytes = known.backlog_bytes});
  }
  // What cannot be read now is not what has left.
  const auto before = this->view();
  for (const WatchedItem& old : before->items) {
    const bool is_unreadable = std::ranges::any_of(
        listing.unreadable, [&](const UnreadableItem& one) { return one.id == old.item.id; });
    if (!is_unreadable) continue;
    view->items.push_back(old);
    view->items.back().identity = vault_->identity();
    view->items.back().vault = vault_;
  }
  // NoteLook tells the rest.
  view->away = before->away;
  view->answers_since = before->answers_since;
  const std::lock_guard lock(mutex_);
  view_ = std::move(view);
  return {};
}

void VaultWatch::Beat(const VaultView& view) {
  Heartbeat heartbeat;
  heartbeat.agent = agent_id_;
  heartbeat.machine = MachineName();
  heartbeat.version = settings_.version;
  for (const WatchedItem& item : view.items) heartbeat.items.push_back(item.item.id.value);
  const Status beaten = heartbeat_.Beat(*vault_, std::move(heartbeat));
  if (beaten) return;
  Tell(LogLevel::kWarning, fmt::format("the heartbeat was not written: {}", beaten.error().Line()));
}

}  // namespace asr
