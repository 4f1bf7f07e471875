// A consistent view of all disks of a VM at one instant: of a VM that is off, or of a live one.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/model/changed_extents.h"
#include "core/model/ids.h"
#include "core/model/point.h"
#include "core/source/stamps.h"
#include "storage/base/clock.h"
#include "storage/base/result.h"
#include "storage/image/disk.h"

namespace asr {

class SourceSnapshot {
 public:
  struct OpenedDisk {
    DiskName name;
    std::unique_ptr<Disk> disk;
    std::string image_path;     // of the leaf, on the host
    std::string log_directory;  // where a file can be kept beside it; empty: nowhere
    // As the disk was opened; none: its files do not tell whether it was touched.
    DiskStamps stamps = {};
    // Since the checkpoint that was asked for. None: not known, any part may have changed.
    ChangedExtents changed = {};
  };

  virtual ~SourceSnapshot() = default;

  // In the order that was asked for.
  [[nodiscard]] const std::vector<OpenedDisk>& disks() const { return disks_; }
  // No write that was done before it is missing.
  [[nodiscard]] Timestamp taken() const { return taken_; }
  [[nodiscard]] Consistency consistency() const { return consistency_; }
  // How long the guest's file systems were; none: they were not, or not for this.
  [[nodiscard]] const std::optional<std::chrono::milliseconds>& frozen() const { return frozen_; }
  // As it was about then; none: it has none, or it could not be read.
  [[nodiscard]] const std::optional<FirmwareVariables>& firmware() const { return firmware_; }
  void TakeFirmware(std::optional<FirmwareVariables> firmware) { firmware_ = std::move(firmware); }
  // The name under which the host notes what changes from the instant on; empty: it does not.
  [[nodiscard]] const std::string& checkpoint() const { return checkpoint_; }

  // No checkpoint before this one counts: the point of this view has to be sealed, even where
  // nothing changed, or the next view could not tell changes either.
  [[nodiscard]] bool starts_tracking() const { return starts_tracking_; }
  // False after Keep: the disks cannot be read any more.
  [[nodiscard]] bool is_open() const { return disks_.empty() || disks_.front().disk != nullptr; }

  // A failure of a pass: if the view of a live VM is gone, that is why it failed.
  [[nodiscard]] Error Explain(Error error) const {
    if (!is_live_ || !is_open()) return error;
    Status there = Verify();
    return there ? error : std::move(there).error();
  }

  // What was read is worth sealing only after a Verify that succeeded. kBusy (kImageChanged,
  // retryable) if the view was not consistent, or is gone.
  [[nodiscard]] virtual Status Verify() const = 0;

  // Said before a set of logs, or a point, that names the checkpoint may become durable: whatever
  // happens then, the checkpoint is not ours to delete.
  virtual void WillBeNamed() {}
  // Work goes on that reads nothing.
  virtual void Touch() {}

  // What was read is logged, or sealed: the host may let the view go, and notes changes since this
  // one only. Without it the view ends with this object, and what changed since the checkpoint
  // before stays known. What the host still has then in vain is left to the next snapshot.
  virtual void Keep() {}

 protected:
  std::vector<OpenedDisk> disks_;
  Timestamp taken_{};
  Consistency consistency_ = Consistency::kCrash;
  std::string checkpoint_;
  std::optional<FirmwareVariables> firmware_;
  std::optional<std::chrono::milliseconds> frozen_;
  bool starts_tracking_ = false;
  bool is_live_ = false;
};

}  // namespace asr
