#include "core/jobs/host_watch.h"

#include <algorithm>
#include <exception>
#include <utility>

#include <fmt/format.h>

#include "storage/base/text.h"

namespace asr {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kLongestQueue = 1000;
constexpr milliseconds kBetweenTries{5000};
constexpr milliseconds kBetweenLooks{500};
// Between the stop and the start of a revert QEMU ends and another begins.
constexpr double kRevertSettlesSeconds = 2;

ItemEvent EmptyEvent(const HostItem& item, const std::string& host) {
  ItemEvent event;
  event.item = item.key.item;
  event.vault_id = item.key.vault_id;
  event.vault = item.vault;
  event.vm = item.vm;
  event.host = host;
  return event;
}

LogLevel LevelOf(EventSeverity severity) {
  switch (severity) {
    case EventSeverity::kInfo:
      return LogLevel::kInfo;
    case EventSeverity::kWarning:
      return LogLevel::kWarning;
    case EventSeverity::kCritical:
      break;
  }
  return LogLevel::kError;
}

}  // namespace

ItemEvent EventOf(const DomainEvent& event, const HostItem& item, const std::string& host) {
  using Kind = DomainEvent::Kind;
  ItemEvent result = EmptyEvent(item, host);
  const auto set = [&](EventSeverity severity, const char* type, std::string message) {
    result.severity = severity;
    result.type = type;
    result.message = std::move(message);
  };
  const std::string end_here =
      "end its protection here: asr disable " + ShellQuote(item.vm) + " --keep-data";
  switch (event.kind) {
    case Kind::kStarted:
      set(EventSeverity::kInfo, "VmStarted", fmt::format("it was started ({})", event.detail));
      break;
    case Kind::kStopped:
      set(EventSeverity::kInfo, "VmStopped", fmt::format("it stopped ({})", event.detail));
      break;
    case Kind::kCrashed:
      set(EventSeverity::kWarning, "VmCrashed", fmt::format("it crashed ({})", event.detail));
      result.action = fmt::format("look at /var/log/libvirt/qemu/{}.log on the host", event.name);
      break;
    case Kind::kMigratedAway:
      set(EventSeverity::kWarning, "VmMigratedAway",
          "it was migrated to another host, from which this machine does not replicate it");
      result.action = "enable it on a machine that reaches that host; " + end_here;
      break;
    case Kind::kUndefined:
      set(EventSeverity::kWarning, "VmUndefined", "it was undefined: the host does not keep it");
      result.action = "define it again (virsh define), or " + end_here;
      break;
    case Kind::kRenamed:
      set(EventSeverity::kWarning, "VmRenamed",
          fmt::format("it is named {} now, and is not replicated under that name", event.name));
      result.action = fmt::format("name it {0} again (virsh domrename), or {1}, and asr enable {2}",
                                  ShellQuote(item.vm), end_here, ShellQuote(event.name));
      break;
    case Kind::kPausedByIoError:
      set(EventSeverity::kCritical, "VmPausedByIoError",
          fmt::format("QEMU paused it, for a disk failed: {}", event.detail));
      result.cause = "the file system of that disk is full";
      result.action = "make room there, then: virsh resume " + ShellQuote(event.name);
      break;
    case Kind::kSnapshotRevert:
      return RevertEventOf(DomainRunState::kRuns, item, host);
  }
  return result;
}

ItemEvent RevertEventOf(DomainRunState state, const HostItem& item, const std::string& host) {
  ItemEvent event = EmptyEvent(item, host);
  if (state != DomainRunState::kOffFailed) {
    event.severity = EventSeverity::kWarning;
    event.type = "VmReverted";
    event.message = fmt::format("it was reverted to a snapshot, and {}",
                                state == DomainRunState::kRuns ? "runs" : "is off");
    event.cause = "an administrator did so";
    return event;
  }
  event.severity = EventSeverity::kCritical;
  event.type = "VmRevertFailed";
  event.message = "a revert to a snapshot failed, and left it shut off";
  event.cause = "the checkpoint of asr: QEMU reverts no disk that has an active dirty bitmap";
  event.action = fmt::format(
      "asr pause {0} --release-tracking; then revert it again (virsh snapshot-revert), or start it "
      "as it is (virsh start); then: asr resume {0}",
      ShellQuote(item.vm));
  return event;
}

HostWatch::HostWatch(Environment& environment, const AgentSettings& settings, HostRegistration host)
    : environment_(environment), settings_(settings), host_(std::move(host)) {
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

HostWatch::~HostWatch() = default;

void HostWatch::SetItems(std::vector<HostItem> items) {
  const std::lock_guard lock(mutex_);
  items_ = std::move(items);
}

std::set<ItemKey> HostWatch::TakeAsked() {
  const std::lock_guard lock(mutex_);
  return std::exchange(asked_, {});
}

void HostWatch::Retire() { thread_.request_stop(); }

void HostWatch::Wait(const std::stop_token& stop, milliseconds longest) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, stop, longest, [this] { return is_closed_ || !queue_.empty(); });
}

void HostWatch::Run(const std::stop_token& stop) {
  while (!stop.stop_requested() && !environment_.stop.stop_requested()) {
    try {
      if (Connect()) Listen(stop);
    } catch (const std::exception& exception) {
      // One host's trouble is not the end of the agent.
      settings_.log(
          {.level = LogLevel::kWarning,
           .message = fmt::format("host {}: unexpected: {}", host_.name, exception.what())});
    }
    events_.reset();
    {
      const std::lock_guard lock(mutex_);
      queue_.clear();  // Compare tells what they would have told
      is_closed_ = false;
    }
    for (milliseconds waited{0};
         waited < kBetweenTries && !stop.stop_requested() && !environment_.stop.stop_requested();
         waited += kBetweenLooks) {
      Wait(stop, kBetweenLooks);
    }
  }
  has_ended_ = true;
}

bool HostWatch::Connect() {
  LibvirtEvents::Listener listener;
  listener.on_event = [this](const DomainEvent& event) {
    const std::lock_guard lock(mutex_);
    if (queue_.size() < kLongestQueue) queue_.push_back(event);
    changed_.notify_all();
  };
  listener.on_closed = [this] {
    const std::lock_guard lock(mutex_);
    is_closed_ = true;
    changed_.notify_all();
  };
  auto events = LibvirtEvents::Connect(host_.path, std::move(listener));
  const auto domains = events ? (*events)->ListDomains() : Fail(events.error());
  const std::string trouble = domains ? "" : domains.error().Line();
  if (trouble != told_) {
    settings_.log({.level = domains ? LogLevel::kInfo : LogLevel::kWarning,
                   .message = domains ? fmt::format("host {} is listened to again", host_.name)
                                      : fmt::format("host {} cannot be listened to: {}", host_.name,
                                                    trouble)});
  }
  told_ = trouble;
  if (!domains) return false;
  events_ = *std::move(events);
  Compare(*domains);
  return true;
}

// What happened while nobody listened. Of the first look nothing is told: it is no news.
void HostWatch::Compare(const std::vector<DomainSummary>& domains) {
  const bool is_first = seen_.empty();
  const auto before = std::exchange(seen_, {});
  for (const DomainSummary& domain : domains) {
    seen_[domain.uuid] = {.name = domain.name, .runs = domain.runs};
  }
  if (is_first) return;
  const std::string detail = "while libvirt could not be asked";
  for (const auto& [uuid, old] : before) {
    DomainEvent event{.uuid = uuid, .name = old.name, .detail = detail};
    const auto now = seen_.find(uuid);
    if (now == seen_.end()) {
      event.kind = DomainEvent::Kind::kUndefined;
    } else if (now->second.runs != old.runs) {
      event.kind = old.runs ? DomainEvent::Kind::kStopped : DomainEvent::Kind::kStarted;
    } else if (now->second.name != old.name) {
      event.kind = DomainEvent::Kind::kRenamed;
      event.name = now->second.name;
    } else {
      continue;
    }
    Take(event);
  }
}

void HostWatch::Listen(const std::stop_token& stop) {
  while (!stop.stop_requested() && !environment_.stop.stop_requested()) {
    Wait(stop, kBetweenLooks);
    std::deque<DomainEvent> events;
    bool is_closed = false;
    {
      const std::lock_guard lock(mutex_);
      std::swap(events, queue_);
      is_closed = is_closed_;
    }
    for (const DomainEvent& event : events) Take(event);
    SettleReverts();
    if (is_closed || !events_->hears()) return;
  }
}

std::vector<HostItem> HostWatch::ItemsOf(const std::string& uuid) {
  const std::lock_guard lock(mutex_);
  std::vector<HostItem> items;
  for (const HostItem& item : items_) {
    if (item.uuid == uuid) items.push_back(item);
  }
  return items;
}

void HostWatch::Take(const DomainEvent& event) {
  using Kind = DomainEvent::Kind;
  Seen& seen = seen_[event.uuid];
  seen.name = event.name;
  if (event.kind == Kind::kStarted) seen.runs = true;
  if (event.kind == Kind::kStopped || event.kind == Kind::kCrashed) seen.runs = false;
  const bool has_left = event.kind == Kind::kMigratedAway || event.kind == Kind::kUndefined;
  if (has_left) seen_.erase(event.uuid);
  const bool needs_look = has_left || event.kind == Kind::kRenamed;
  if (event.kind == Kind::kSnapshotRevert) {
    reverts_[event.uuid] = environment_.clock.MonotonicSeconds() + kRevertSettlesSeconds;
    return;
  }
  for (const HostItem& item : ItemsOf(event.uuid)) {
    Store(EventOf(event, item, host_.name));
    if (!needs_look) continue;
    const std::lock_guard lock(mutex_);
    asked_.insert(item.key);
  }
}

void HostWatch::SettleReverts() {
  const double now = environment_.clock.MonotonicSeconds();
  for (auto revert = reverts_.begin(); revert != reverts_.end();) {
    if (revert->second > now) {
      ++revert;
      continue;
    }
    const auto state = events_->RunStateOf(revert->first);
    if (!state) return;  // once there is a connection again
    seen_[revert->first].runs = *state == DomainRunState::kRuns;
    if (*state != DomainRunState::kGone) {
      for (const HostItem& item : ItemsOf(revert->first)) {
        Store(RevertEventOf(*state, item, host_.name));
      }
    }
    revert = reverts_.erase(revert);
  }
}

void HostWatch::Store(ItemEvent event) {
  event.last_time = environment_.clock.Now();
  const auto is_new = environment_.state.AddEvent(event);
  if (is_new && !*is_new) return;  // once more of what is told already
  const std::string action = event.action.empty() ? "" : "; " + event.action;
  settings_.log({.level = LevelOf(event.severity),
                 .message = event.message + action,
                 .vault = event.vault,
                 .vm = event.vm});
  if (is_new) return;
  settings_.log({.level = LogLevel::kError,
                 .message = "the event was not kept: " + is_new.error().Line(),
                 .vault = event.vault,
                 .vm = event.vm});
}

}  // namespace asr
