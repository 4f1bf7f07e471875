// Disks of a protected VM that have grown, or were added to it, are replicated as they are now.
#pragma once

#include <optional>

#include "core/jobs/environment.h"
#include "core/model/item.h"
#include "core/model/virtual_machine.h"
#include "core/points/seal.h"
#include "core/vault/vault.h"

namespace asr {

// The item with the disks that the VM has now; nullopt if they are the same, or if one is gone.
// Disks that have shrunk, or have other sectors, stay as they were: SnapshotOf refuses these.
[[nodiscard]] std::optional<Item> WithDisksOf(const Item& item, const VirtualMachine& vm);

// Writes that item, with a warning for each disk, and opens `replicas` anew: those of larger disks
// grow, those of new disks begin empty. Does nothing if the disks are the same. kUnsupported
// (kVmNotProtectable), and nothing is changed, if the vault cannot take them.
[[nodiscard]] Status FollowDisks(Environment& environment, Vault& vault, ItemLease& lease,
                                 const VirtualMachine& vm, Replicas& replicas);

}  // namespace asr
