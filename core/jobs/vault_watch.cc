#include "core/jobs/vault_watch.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "core/jobs/vaults.h"

namespace asr {
namespace {

constexpr std::chrono::seconds kBetweenLooks{30};

}  // namespace

VaultWatch::VaultWatch(Environment& environment, const AgentSettings& settings,
                       VaultRegistration registration, std::string agent_id)
    : environment_(environment),
      settings_(settings),
      registration_(std::move(registration)),
      agent_id_(std::move(agent_id)),
      heartbeat_(environment.clock) {
  auto view = std::make_shared<VaultView>();
  view->vault_id = registration_.id;
  view->vault_name = registration_.name;
  view_ = std::move(view);
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

VaultWatch::~VaultWatch() = default;

std::shared_ptr<const VaultView> VaultWatch::view() const {
  const std::lock_guard lock(mutex_);
  return view_;
}

void VaultWatch::Poke() {
  const std::lock_guard lock(mutex_);
  is_poked_ = true;
  poked_.notify_all();
}

void VaultWatch::Tell(LogLevel level, const std::string& message) {
  settings_.log({.level = level, .message = message, .vault = registration_.name});
}

void VaultWatch::Run(const std::stop_token& stop) {
  while (!stop.stop_requested() && !environment_.stop.stop_requested()) {
    const Status looked = Look();
    if (looked && !told_.empty()) Tell(LogLevel::kInfo, "the vault can be reached again");
    if (looked) {
      told_.clear();
      Beat(*view());
    } else {
      vault_.reset();  // opened anew next time, perhaps with other credentials
      const std::string trouble = looked.error().Line();
      if (trouble != told_) {
        Tell(LogLevel::kWarning, fmt::format("the vault cannot be looked at: {}", trouble));
      }
      told_ = trouble;
    }
    std::unique_lock lock(mutex_);
    poked_.wait_for(lock, stop, kBetweenLooks, [this] { return is_poked_; });
    is_poked_ = false;
  }
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
  ASR_TRY(const auto policies, vault_->ListPolicies());
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
    const auto policy = std::ranges::find(policies, item.policy, &Policy::name);
    // The standard one, until a person gives the item another.
    view->items.push_back(
        {.item = item, .policy = policy == policies.end() ? Policy{} : *policy, .vault = vault_});
  }
  // What cannot be read now is not what has left.
  const auto before = this->view();
  for (const WatchedItem& old : before->items) {
    const bool is_unreadable = std::ranges::any_of(
        listing.unreadable, [&](const UnreadableItem& one) { return one.id == old.item.id; });
    if (is_unreadable) view->items.push_back(old);
  }
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
