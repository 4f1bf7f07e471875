// The libvirt hosts whose VMs the agent replicates are listened to.
#include <algorithm>
#include <utility>

#include "core/jobs/agent_loop.h"
#include "core/jobs/hosts.h"

namespace asr {

void AgentLoop::LookAtHosts() {
  std::map<std::string, std::vector<HostItem>> items;  // by host
  for (const auto& [key, known] : known_) {
    const Item& item = known.watched.item;
    if (item.uuid.empty()) continue;
    items[item.host].push_back(
        {.key = key, .vault = known.vault_name, .vm = item.name, .uuid = item.uuid});
  }
  const auto wanted = [&](const HostRegistration& host) {
    return host.kind == kLibvirtKind && items.contains(host.name);
  };
  std::erase_if(retired_hosts_, [](const auto& watch) { return watch->has_ended(); });
  std::erase_if(host_watches_, [&](std::unique_ptr<HostWatch>& watch) {
    const bool is_gone =
        std::ranges::find(hosts_, watch->host()) == hosts_.end() || !wanted(watch->host());
    if (is_gone) watch->Retire();
    if (is_gone) retired_hosts_.push_back(std::move(watch));
    return is_gone;
  });
  for (const HostRegistration& host : hosts_) {
    const bool is_watched = std::ranges::any_of(
        host_watches_, [&](const auto& watch) { return watch->host() == host; });
    if (is_watched || !wanted(host)) continue;
    host_watches_.push_back(std::make_unique<HostWatch>(environment_, settings_, host));
  }
  for (const auto& watch : host_watches_) {
    watch->SetItems(items[watch->host().name]);
    for (const ItemKey& key : watch->TakeAsked()) schedule_.Ask(key);
  }
}

}  // namespace asr
