#include "core/jobs/waiting_changes.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/jobs/log_while_away.h"
#include "core/jobs/send_changes.h"
#include "core/vault/documents.h"
#include "core/vault/layout.h"

namespace asr {
namespace {

// Items with a directory of change logs.
Result<std::vector<ItemId>> ItemsWithChanges(Environment& environment,
                                             const std::string& vault_id) {
  std::vector<ItemId> items;
  const auto entries = environment.fs.List(ChangesDirectoryOf(environment, vault_id));
  if (!entries && IsNotFound(entries.error())) return items;
  if (!entries) return Fail(entries.error());
  for (const DirectoryEntry& entry : *entries) {
    if (entry.is_directory) items.push_back({entry.name});
  }
  return items;
}

// Nothing of the item is there, and the vault is: an empty mount point shows no items either.
Result<bool> IsGone(Vault& vault, const ItemId& item) {
  const auto document = vault.store().Get(layout::ItemDocument(item));
  if (document || !IsNotFound(document.error())) return false;
  ASR_TRY(const auto blobs, vault.store().List(layout::ItemPrefix(item)));
  if (!blobs.empty()) return false;
  const std::string name(layout::kVaultDocument);
  ASR_TRY(const std::string text, vault.store().Get(name));
  ASR_TRY(const VaultIdentity identity, DecodeIdentity(name, text));
  return identity.id == vault.identity().id;
}

Status RemoveIfGone(Environment& environment, Vault& vault, const ItemId& id) {
  ASR_TRY(const bool seems_gone, IsGone(vault, id));
  if (!seems_gone) return {};
  ASR_TRY(const auto lease, vault.store().AcquireLease(layout::ItemLease(id)));
  ASR_TRY(const bool is_gone, IsGone(vault, id));
  if (!is_gone) return {};
  Item item;
  item.id = id;
  item.name = id.value;
  return ForgetItem(environment, vault, item);
}

}  // namespace

Result<WaitingChanges> WaitingChangesOf(Environment& environment, const std::string& vault_id,
                                        const ItemId& item) {
  const LogSets sets(environment.fs,
                     JoinPath(ChangesDirectoryOf(environment, vault_id), item.value));
  ASR_TRY(const auto ids, sets.ListWaiting());
  ASR_TRY(const auto waiting, sets.ReadWaiting());
  WaitingChanges changes{.item = item, .point_count = ids.size()};
  std::uint64_t first_bytes = 0;
  for (const LogSet& set : waiting) {
    for (const LoggedDisk& disk : set.disks) changes.bytes += sets.LogBytes(disk);
    if (&set == &waiting.front()) first_bytes = changes.bytes;
  }
  if (waiting.empty()) return changes;
  ASR_TRY(const auto noted, sets.NotedPoint());
  // When the first set began is known from what it builds on.
  const bool knows_begin = noted && noted->id == waiting.front().point.parent;
  const Timestamp from = knows_begin ? noted->time : waiting.front().point.time;
  const double seconds = std::chrono::duration<double>(waiting.back().point.time - from).count();
  const std::uint64_t grown_bytes = changes.bytes - (knows_begin ? 0 : first_bytes);
  if (seconds > 0) changes.bytes_per_second = static_cast<double>(grown_bytes) / seconds;
  return changes;
}

Result<std::vector<WaitingChanges>> ListWaitingChanges(Environment& environment,
                                                       const std::string& vault_id) {
  ASR_TRY(const auto items, ItemsWithChanges(environment, vault_id));
  std::vector<WaitingChanges> waiting;
  for (const ItemId& item : items) {
    ASR_TRY(WaitingChanges changes, WaitingChangesOf(environment, vault_id, item));
    if (changes.point_count > 0) waiting.push_back(std::move(changes));
  }
  return waiting;
}

Status ForgetItem(Environment& environment, const Vault& vault, const Item& item) {
  const std::string lock = SpoolLockOf(environment, vault.identity().id, item.id);
  Status unlocked = environment.fs.RemoveFile(lock);
  if (!unlocked && !IsNotFound(unlocked.error())) return unlocked;
  ASR_CHECK(DropWaitingChanges(environment, vault.identity().id, item));
  if (vault.digest_cache()) vault.digest_cache()->Forget(item.id);
  ASR_CHECK(environment.state.RemoveItemSchedule(vault.identity().id, item.id));
  return environment.state.RemoveCursors(vault.identity().id, item.id);
}

void RemoveChangesOfGoneItems(Environment& environment, Vault& vault) {
  const auto items = ItemsWithChanges(environment, vault.identity().id);
  if (!items || items->empty()) return;
  const auto there = vault.store().ListNames(std::string(layout::kItems));
  if (!there) return;
  for (const ItemId& item : *items) {
    if (std::ranges::find(*there, item.value) != there->end()) continue;
    static_cast<void>(RemoveIfGone(environment, vault, item).has_value());
  }
}

}  // namespace asr
