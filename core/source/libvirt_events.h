// What libvirt tells of its domains while somebody listens.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "storage/base/result.h"

namespace asr {

struct DomainEvent {
  enum class Kind : std::uint8_t {
    kStarted,
    kStopped,       // by itself, by an administrator, or saved
    kCrashed,       // the guest, or its QEMU
    kMigratedAway,  // it runs on another host now
    kUndefined,
    kRenamed,  // `name` is the new one
    kPausedByIoError,
    kSnapshotRevert,  // one begins, ends or failed: LibvirtEvents::RunStateOf tells
  };
  Kind kind = Kind::kStarted;
  std::string uuid;
  std::string name;
  std::string detail;  // a few words: "booted", "shut down", "vda: enospc (/srv/web.qcow2)"
};

enum class DomainRunState : std::uint8_t {
  kRuns,  // or is paused
  kOff,
  kOffFailed,  // its start or the revert to a snapshot failed
  kGone,       // it is not defined
};

struct DomainSummary {
  std::string uuid;
  std::string name;
  bool runs = false;
};

// A connection that listens to all domains of a host. Not for several threads at once, except for
// the callbacks, which are called by libvirt's thread, and must be quick.
class LibvirtEvents {
 public:
  struct Listener {
    std::function<void(const DomainEvent&)> on_event;
    std::function<void()> on_closed;  // the connection is lost, and tells nothing any more
  };

  // Errors as LibvirtHost::Connect; may take as long as the host does.
  [[nodiscard]] static Result<std::unique_ptr<LibvirtEvents>> Connect(const std::string& uri,
                                                                      Listener listener);
  // No callback is called once it has returned.
  ~LibvirtEvents();
  LibvirtEvents(const LibvirtEvents&) = delete;
  LibvirtEvents& operator=(const LibvirtEvents&) = delete;

  // False while the process's loop of libvirt fails: nothing is told, and on_closed may not be.
  [[nodiscard]] bool hears() const;
  [[nodiscard]] Result<std::vector<DomainSummary>> ListDomains();
  [[nodiscard]] Result<DomainRunState> RunStateOf(const std::string& uuid);

 private:
  class Implementation;
  explicit LibvirtEvents(std::unique_ptr<Implementation> implementation);
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace asr
