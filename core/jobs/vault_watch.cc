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
    } else if (const std::string trouble = looked.error().Line(); trouble != told_) {
      told_ = trouble;
      Tell(LogLevel::kWarning, fmt::format("the vault cannot be looked at: {}", trouble));
      vault_.reset();  // opened anew next time, perhaps with other credentials
    }
    std::unique_lock lock(mutex_);
    poked_.wait_for(lock, stop, kBetweenLooks, [this] { return is_poked_; });
    is_poked_ = false;
  }
}

Status VaultWatch::Look() {
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
