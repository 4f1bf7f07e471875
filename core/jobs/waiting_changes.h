// What this machine keeps of the items of a vault: change logs that wait, and cursors.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/jobs/environment.h"
#include "core/vault/vault.h"

namespace asr {

struct WaitingChanges {
  ItemId item;
  std::size_t point_count = 0;  // that would be made of them
  std::uint64_t bytes = 0;      // of the logs, on their file systems
  // How fast they grew, over all of them. nullopt if that cannot be told.
  std::optional<double> bytes_per_second = {};
};

// Opens no vault, and changes nothing.
[[nodiscard]] Result<WaitingChanges> WaitingChangesOf(Environment& environment,
                                                      const std::string& vault_id,
                                                      const ItemId& item);

// Sets that were not sent yet, sorted by item. Opens no vault, and changes nothing.
[[nodiscard]] Result<std::vector<WaitingChanges>> ListWaitingChanges(Environment& environment,
                                                                     const std::string& vault_id);

// Removes what this machine keeps of an item that it does not replicate any more: change logs, with
// a warning that names changes which were not sent, and cursors. The caller holds its lease, or the
// item is gone.
[[nodiscard]] Status ForgetItem(Environment& environment, const Vault& vault, const Item& item);

// Does the same for items that the vault does not hold any more: another machine ended their
// protection. What cannot be told, or removed, is left to the next run. The caller holds the lease
// of no such item.
void RemoveChangesOfGoneItems(Environment& environment, Vault& vault);

}  // namespace asr
