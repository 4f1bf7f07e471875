// Listens to a libvirt host: what happens to VMs that are replicated becomes events of their items.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "core/jobs/agent.h"
#include "core/jobs/schedule.h"
#include "core/model/event.h"
#include "core/source/libvirt_events.h"

namespace asr {

// A VM of the host that is replicated.
struct HostItem {
  ItemKey key;
  std::string vault;  // names on this machine
  std::string vm;
  std::string uuid;
  bool operator==(const HostItem&) const = default;
};

// `event` as an event of `item`, without times.
[[nodiscard]] ItemEvent EventOf(const DomainEvent& event, const HostItem& item,
                                const std::string& host);
// Of a revert to a snapshot, once it is seen how it ended.
[[nodiscard]] ItemEvent RevertEventOf(DomainRunState state, const HostItem& item,
                                      const std::string& host);

// A thread that keeps a connection, connects anew when it is lost, and then tells what changed
// meanwhile.
class HostWatch {
 public:
  // `environment` and `settings` outlive it.
  HostWatch(Environment& environment, const AgentSettings& settings, HostRegistration host);
  // Waits for a connection that is being made, unless has_ended.
  ~HostWatch();
  HostWatch(const HostWatch&) = delete;
  HostWatch& operator=(const HostWatch&) = delete;

  [[nodiscard]] const HostRegistration& host() const { return host_; }
  void SetItems(std::vector<HostItem> items);
  // Those that are to be replicated at once, for that tells what became of them.
  [[nodiscard]] std::set<ItemKey> TakeAsked();
  // No more of it is wanted; returns at once.
  void Retire();
  [[nodiscard]] bool has_ended() const { return has_ended_; }

 private:
  struct Seen {
    std::string name;
    bool runs = false;
  };

  void Run(const std::stop_token& stop);
  [[nodiscard]] bool Connect();
  void Compare(const std::vector<DomainSummary>& domains);
  void Listen(const std::stop_token& stop);
  void Take(const DomainEvent& event);
  void SettleReverts();
  void Store(ItemEvent event);
  [[nodiscard]] std::vector<HostItem> ItemsOf(const std::string& uuid);
  void Wait(const std::stop_token& stop, std::chrono::milliseconds longest);

  Environment& environment_;
  const AgentSettings& settings_;
  const HostRegistration host_;
  // Of the thread.
  std::string told_;
  std::map<std::string, Seen> seen_;       // by UUID
  std::map<std::string, double> reverts_;  // by UUID: when it can be seen how it ended
  std::atomic<bool> has_ended_ = false;
  std::mutex mutex_;  // guards what follows
  std::condition_variable_any changed_;
  std::vector<HostItem> items_;
  std::set<ItemKey> asked_;
  std::deque<DomainEvent> queue_;
  bool is_closed_ = false;
  std::unique_ptr<LibvirtEvents> events_;  // its callbacks use what stands above
  std::jthread thread_;                    // last: it uses the others
};

}  // namespace asr
