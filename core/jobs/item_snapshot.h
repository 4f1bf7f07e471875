// The disks of a protected VM at one instant, whatever host it lives on.
#pragma once

#include <memory>

#include "core/jobs/environment.h"
#include "core/model/item.h"
#include "core/model/point.h"
#include "core/model/virtual_machine.h"
#include "core/source/source_snapshot.h"

namespace asr {

// Of this machine (asr config): where live VMs get their scratch files.
inline constexpr const char* kScratchDirectorySetting = "scratch-dir";

struct SnapshotWish {
  std::string base_checkpoint = {};  // of a live VM: since which changes are asked for
  bool reads_all = false;            // the same: they are not, but it stays until a point is sealed
  bool requires_base = false;        // the same: without it, no snapshot
  bool app_consistent = false;       // the same: the guest is frozen, if it can be
};

// The item's VM, with the disks that are replicated. kState if there is another VM of its name now,
// or its disks cannot be read.
[[nodiscard]] Result<VirtualMachine> FindSource(Environment& environment, const Item& item);

// The VM's images are those that the point was made of: the point's checkpoint is theirs. Another
// image that came to stand in the place of one may have a bitmap of the same name.
[[nodiscard]] bool HasImagesOf(const RecoveryPoint& point, const VirtualMachine& vm);

// The VM's snapshot with its disks in the order of the item's. kState (kDiskSetChanged) if a disk
// is missing, of another size, or has other sectors than the item's.
[[nodiscard]] Result<std::unique_ptr<SourceSnapshot>> SnapshotOf(Environment& environment,
                                                                 const Item& item,
                                                                 const VirtualMachine& vm,
                                                                 const SnapshotWish& wish = {});

// Of a live VM: nothing of the item stays on it. Its next cycle compares the disks. Does nothing
// for other hosts, or if the VM or its host is gone.
[[nodiscard]] Status ReleaseTracking(Environment& environment, const Item& item);

// About as many bytes as a pass over each of the item's disks would read, in their order. Does
// nothing to the VM. Errors as those of SnapshotOf.
[[nodiscard]] Result<std::vector<std::uint64_t>> EstimateReads(Environment& environment,
                                                               const Item& item,
                                                               const VirtualMachine& vm);

}  // namespace asr
