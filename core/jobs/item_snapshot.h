// The disks of a protected VM at one instant, whatever host it lives on.
#pragma once

#include <memory>

#include "core/jobs/environment.h"
#include "core/model/item.h"
#include "core/model/virtual_machine.h"
#include "core/source/source_snapshot.h"

namespace asr {

// The VM's snapshot with its disks in the order of the item's. kState (kDiskSetChanged) if a disk
// is missing, of another size, or has other sectors than the item's.
[[nodiscard]] Result<std::unique_ptr<SourceSnapshot>> SnapshotOf(Environment& environment,
                                                                 const Item& item,
                                                                 const VirtualMachine& vm);

}  // namespace asr
