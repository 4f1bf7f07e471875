// What stays of ours on a live VM between two cycles, and how it goes.
#pragma once

#include <string>

#include "core/model/ids.h"
#include "storage/base/result.h"

namespace asr {

// With which the names of an item's checkpoints, and of its sockets, begin.
[[nodiscard]] std::string CheckpointPrefix(const ItemId& item);

// Ends what is noted for the item: nothing of ours stays on the VM, whether it runs or is off. Fine
// if the VM is gone.
[[nodiscard]] Status ReleaseTracking(const std::string& uri, const std::string& uuid,
                                     const ItemId& item);

}  // namespace asr
