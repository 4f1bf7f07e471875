#include "core/source/libvirt_events.h"

#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "core/source/libvirt_host.h"
#include "core/source/libvirt_library.h"

namespace asr {
namespace {

// libvirt speaks to those who listen through one loop of the process. Once it is registered it has
// to run for all connections, until the process ends.
class EventLoop {
 public:
  static EventLoop& Of(const LibvirtLibrary& libvirt) {
    static EventLoop loop(libvirt);
    return loop;
  }
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  ~EventLoop() {
    if (!thread_.joinable()) return;
    is_over_ = true;
    libvirt_.EventUpdateTimeout(timer_, 0);
    thread_.join();
  }
  [[nodiscard]] bool runs() const { return runs_; }

 private:
  explicit EventLoop(const LibvirtLibrary& libvirt) : libvirt_(libvirt) {
    if (libvirt_.EventRegisterDefaultImpl() != 0) return;
    // Wakes the loop when it is over.
    timer_ = libvirt_.EventAddTimeout(
        -1, [](int, void*) {}, nullptr, nullptr);
    if (timer_ < 0) return;
    runs_ = true;
    thread_ = std::thread([this] { Run(); });
  }

  // It fails where the system is short of memory or descriptors, and may be well again later.
  void Run() {
    constexpr std::chrono::seconds kBetweenTries{1};
    while (!is_over_) {
      runs_ = libvirt_.EventRunDefaultImpl() == 0;
      if (!runs_) std::this_thread::sleep_for(kBetweenTries);
    }
  }

  const LibvirtLibrary& libvirt_;
  int timer_ = -1;
  std::atomic<bool> runs_ = false;
  std::atomic<bool> is_over_ = false;
  std::thread thread_;
};

// What libvirt's thread may still call when the one who listened is gone.
struct Ear {
  std::mutex mutex;  // guards what follows
  bool is_open = true;
  LibvirtEvents::Listener listener;
  const LibvirtLibrary* libvirt = nullptr;
};
using SharedEar = std::shared_ptr<Ear>;

void FreeEar(void* ear) { delete static_cast<SharedEar*>(ear); }

template <std::size_t Size>
std::string WordOf(const std::array<const char*, Size>& words, int detail) {
  const auto index = static_cast<std::size_t>(detail);
  return detail >= 0 && index < Size ? words[index] : "for a reason unknown to asr";
}

// False: nothing that anybody needs to know.
bool Classify(int event, int detail, DomainEvent& result) {
  using Kind = DomainEvent::Kind;
  static constexpr std::array kStarts = {"booted", "migrated from another host",
                                         "restored from a file", "from a snapshot", "woken up"};
  static constexpr std::array kStops = {"shut down", "killed by the host", "crashed",
                                        "migrated",  "saved to a file",    "QEMU failed"};
  switch (event) {
    case VIR_DOMAIN_EVENT_STARTED:
      result.kind =
          detail == VIR_DOMAIN_EVENT_STARTED_FROM_SNAPSHOT ? Kind::kSnapshotRevert : Kind::kStarted;
      result.detail = WordOf(kStarts, detail);
      return true;
    case VIR_DOMAIN_EVENT_STOPPED:
      result.detail = WordOf(kStops, detail);
      result.kind =
          detail == VIR_DOMAIN_EVENT_STOPPED_FROM_SNAPSHOT ? Kind::kSnapshotRevert
          : detail == VIR_DOMAIN_EVENT_STOPPED_MIGRATED    ? Kind::kMigratedAway
          : detail == VIR_DOMAIN_EVENT_STOPPED_CRASHED || detail == VIR_DOMAIN_EVENT_STOPPED_FAILED
              ? Kind::kCrashed
              : Kind::kStopped;
      return true;
    case VIR_DOMAIN_EVENT_CRASHED:
      result.kind = Kind::kCrashed;
      result.detail = "the guest's kernel panicked";
      return true;
    case VIR_DOMAIN_EVENT_UNDEFINED:
      result.kind = Kind::kUndefined;
      return detail != VIR_DOMAIN_EVENT_UNDEFINED_RENAMED;
    case VIR_DOMAIN_EVENT_DEFINED:
      // From a snapshot: the end of a revert, also of a VM that was off all the time.
      result.kind =
          detail == VIR_DOMAIN_EVENT_DEFINED_RENAMED ? Kind::kRenamed : Kind::kSnapshotRevert;
      return detail == VIR_DOMAIN_EVENT_DEFINED_RENAMED ||
             detail == VIR_DOMAIN_EVENT_DEFINED_FROM_SNAPSHOT;
    default:
      return false;
  }
}

void Tell(void* ear_of, virDomainPtr domain, DomainEvent event) {
  const SharedEar& ear = *static_cast<SharedEar*>(ear_of);
  const std::lock_guard lock(ear->mutex);
  if (!ear->is_open) return;
  std::array<char, VIR_UUID_STRING_BUFLEN> uuid{};
  if (ear->libvirt->DomainGetUUIDString(domain, uuid.data()) != 0) return;
  const char* const name = ear->libvirt->DomainGetName(domain);
  event.uuid = uuid.data();
  event.name = name == nullptr ? "" : name;
  ear->listener.on_event(event);
}

int OnLifecycle(virConnectPtr /*connection*/, virDomainPtr domain, int event, int detail,
                void* ear) {
  DomainEvent told;
  if (Classify(event, detail, told)) Tell(ear, domain, std::move(told));
  return 0;
}

void OnIoError(virConnectPtr /*connection*/, virDomainPtr domain, const char* path,
               const char* device, int action, const char* reason, void* ear) {
  if (action != VIR_DOMAIN_EVENT_IO_ERROR_PAUSE) return;
  const auto text = [](const char* word) { return word == nullptr ? "" : word; };
  DomainEvent told;
  told.kind = DomainEvent::Kind::kPausedByIoError;
  told.detail = fmt::format("{} ({}): {}", text(device), text(path),
                            *text(reason) == '\0' ? "it cannot be read or written" : text(reason));
  Tell(ear, domain, std::move(told));
}

void OnClosed(virConnectPtr /*connection*/, int /*reason*/, void* ear_of) {
  const SharedEar& ear = *static_cast<SharedEar*>(ear_of);
  const std::lock_guard lock(ear->mutex);
  if (ear->is_open) ear->listener.on_closed();
}

Error LastErrorOf(const LibvirtLibrary& libvirt, const std::string& what) {
  const virErrorPtr error = libvirt.GetLastError();
  const char* const text = error != nullptr ? error->message : nullptr;
  return MakeError(ErrorKind::kBusy, ErrorCode::kHostUnreachable,
                   fmt::format("{}: {}", what, text == nullptr ? "no reason given" : text))
      .WithCause("libvirtd does not run there, or was restarted just now")
      .WithAction("look at it: virsh -c URI version")
      .Retryable();
}

}  // namespace

class LibvirtEvents::Implementation {
 public:
  Implementation(const LibvirtLibrary& libvirt, std::shared_ptr<virConnect> connection,
                 Listener listener)
      : libvirt_(libvirt), connection_(std::move(connection)), ear_(std::make_shared<Ear>()) {
    ear_->listener = std::move(listener);
    ear_->libvirt = &libvirt;
  }
  Implementation(const Implementation&) = delete;
  Implementation& operator=(const Implementation&) = delete;
  ~Implementation() {
    {
      const std::lock_guard lock(ear_->mutex);
      ear_->is_open = false;
    }
    for (const int callback : callbacks_) {
      libvirt_.ConnectDomainEventDeregisterAny(connection_.get(), callback);
    }
    if (hears_close_) libvirt_.ConnectUnregisterCloseCallback(connection_.get(), OnClosed);
  }

  bool hears() const { return EventLoop::Of(libvirt_).runs(); }

  Status Listen() {
    ASR_CHECK(Register(VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(OnLifecycle)));
    ASR_CHECK(Register(VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON, VIR_DOMAIN_EVENT_CALLBACK(OnIoError)));
    auto* const ear = new SharedEar(ear_);
    hears_close_ =
        libvirt_.ConnectRegisterCloseCallback(connection_.get(), OnClosed, ear, FreeEar) == 0;
    if (!hears_close_) FreeEar(ear);
    if (!hears_close_) return Fail(LastErrorOf(libvirt_, "cannot listen to the host"));
    // A host that is gone without a word is noticed; one that cannot say so is a local socket.
    constexpr int kSeconds = 5;
    constexpr unsigned int kTries = 3;
    static_cast<void>(libvirt_.ConnectSetKeepAlive(connection_.get(), kSeconds, kTries));
    return {};
  }

  Result<std::vector<DomainSummary>> ListDomains() const {
    virDomainPtr* domains = nullptr;
    const int count = libvirt_.ConnectListAllDomains(connection_.get(), &domains, 0);
    if (count < 0) return Fail(LastErrorOf(libvirt_, "cannot list the host's VMs"));
    std::vector<DomainSummary> list;
    for (int i = 0; i < count; ++i) {
      std::array<char, VIR_UUID_STRING_BUFLEN> uuid{};
      const char* const name = libvirt_.DomainGetName(domains[i]);
      if (libvirt_.DomainGetUUIDString(domains[i], uuid.data()) == 0) {
        list.push_back({.uuid = uuid.data(),
                        .name = name == nullptr ? "" : name,
                        .runs = libvirt_.DomainGetID(domains[i]) != kNoId});
      }
      libvirt_.DomainFree(domains[i]);
    }
    std::free(static_cast<void*>(domains));
    return list;
  }

  Result<DomainRunState> RunStateOf(const std::string& uuid) const {
    virDomainPtr domain = libvirt_.DomainLookupByUUIDString(connection_.get(), uuid.c_str());
    if (domain == nullptr) {
      const virErrorPtr error = libvirt_.GetLastError();
      if (error != nullptr && error->code == VIR_ERR_NO_DOMAIN) return DomainRunState::kGone;
      return Fail(LastErrorOf(libvirt_, "cannot ask the host for a VM"));
    }
    int state = 0;
    int reason = 0;
    const int asked = libvirt_.DomainGetState(domain, &state, &reason, 0);
    libvirt_.DomainFree(domain);
    if (asked != 0) return Fail(LastErrorOf(libvirt_, "cannot ask for a VM's state"));
    if (state != VIR_DOMAIN_SHUTOFF) return DomainRunState::kRuns;
    return reason == VIR_DOMAIN_SHUTOFF_FAILED ? DomainRunState::kOffFailed : DomainRunState::kOff;
  }

 private:
  static constexpr auto kNoId = static_cast<unsigned int>(-1);

  Status Register(int event, virConnectDomainEventGenericCallback callback) {
    auto* const ear = new SharedEar(ear_);
    const int number = libvirt_.ConnectDomainEventRegisterAny(connection_.get(), nullptr, event,
                                                              callback, ear, FreeEar);
    if (number < 0) {
      FreeEar(ear);
      return Fail(LastErrorOf(libvirt_, "cannot listen to the host"));
    }
    callbacks_.push_back(number);
    return {};
  }

  const LibvirtLibrary& libvirt_;
  std::shared_ptr<virConnect> connection_;
  SharedEar ear_;
  std::vector<int> callbacks_;
  bool hears_close_ = false;
};

LibvirtEvents::LibvirtEvents(std::unique_ptr<Implementation> implementation)
    : implementation_(std::move(implementation)) {}

LibvirtEvents::~LibvirtEvents() = default;

Result<std::unique_ptr<LibvirtEvents>> LibvirtEvents::Connect(const std::string& uri,
                                                              Listener listener) {
  ASR_TRY(const LibvirtLibrary* const libvirt, LoadLibvirt());
  if (!EventLoop::Of(*libvirt).runs()) {
    return Fail(LastErrorOf(*libvirt, "cannot begin to listen to libvirt"));
  }
  ASR_TRY(auto connection, OpenLibvirt(*libvirt, uri));
  auto implementation =
      std::make_unique<Implementation>(*libvirt, std::move(connection), std::move(listener));
  ASR_CHECK(implementation->Listen());
  return std::unique_ptr<LibvirtEvents>(new LibvirtEvents(std::move(implementation)));
}

bool LibvirtEvents::hears() const { return implementation_->hears(); }

Result<std::vector<DomainSummary>> LibvirtEvents::ListDomains() {
  return implementation_->ListDomains();
}

Result<DomainRunState> LibvirtEvents::RunStateOf(const std::string& uuid) {
  return implementation_->RunStateOf(uuid);
}

}  // namespace asr
