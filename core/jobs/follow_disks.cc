#include "core/jobs/follow_disks.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/jobs/check.h"
#include "core/jobs/replication.h"
#include "core/vault/layout.h"

namespace asr {
namespace {

std::string DescribeChange(const Item& item, const ItemDisk& disk) {
  const auto before = std::ranges::find(item.disks, disk.name, &ItemDisk::name);
  if (before == item.disks.end()) {
    return fmt::format("VM {}: disk {} was added to it, and is replicated from now on", item.name,
                       disk.name.value);
  }
  return fmt::format("VM {}: disk {} has grown from {} to {} bytes, and its replica with it",
                     item.name, disk.name.value, before->size_bytes, disk.size_bytes);
}

// Of an earlier try that was cut before the item's document named the disk: it has another footer,
// perhaps another size.
Status RemoveLeftOverReplica(Vault& vault, const Item& item, const ItemDisk& disk) {
  for (const std::string& blob :
       {layout::DigestBlob(item.id, disk.name), layout::DiskBlob(item.id, disk.name)}) {
    const auto snapshots = vault.store().ListSnapshots(blob);
    if (!snapshots && !IsNotFound(snapshots.error())) return Fail(snapshots.error());
    if (snapshots && snapshots->empty()) ASR_CHECK(vault.store().Delete(blob));
  }
  return {};
}

}  // namespace

std::optional<Item> WithDisksOf(const Item& item, const VirtualMachine& vm) {
  // A disk that got another name would be gone and added at once; a person decides.
  const bool has_all = std::ranges::all_of(item.disks, [&](const ItemDisk& disk) {
    return std::ranges::find(vm.disks, disk.name, &VmDisk::name) != vm.disks.end();
  });
  if (!has_all) return std::nullopt;
  Item followed = item;
  for (const VmDisk& disk : vm.disks) {
    const auto known = std::ranges::find(followed.disks, disk.name, &ItemDisk::name);
    const bool is_excluded =
        std::ranges::find(item.excluded_disks, disk.name) != item.excluded_disks.end();
    if (is_excluded || !disk.refusal.empty()) continue;
    if (known == followed.disks.end()) {
      followed.disks.push_back({.name = disk.name,
                                .path = disk.path,
                                .format = disk.format,
                                .size_bytes = disk.size_bytes,
                                .logical_sector_bytes = disk.logical_sector_bytes,
                                .unique_id = RandomBits()});
    } else if (disk.size_bytes > known->size_bytes &&
               disk.logical_sector_bytes == known->logical_sector_bytes) {
      known->size_bytes = disk.size_bytes;
    }
  }
  if (followed.disks == item.disks) return std::nullopt;
  return followed;
}

Status FollowDisks(Environment& environment, Vault& vault, ItemLease& lease,
                   const VirtualMachine& vm, Replicas& replicas) {
  const Item before = lease.item();
  auto followed = WithDisksOf(before, vm);
  if (!followed) return {};
  ASR_TRY(const auto results, CheckVm(environment, vault, vm, std::nullopt));
  ASR_CHECK(RequirePassed(vm, results));
  // Once its document names it, its replica is there.
  for (const ItemDisk& disk : followed->disks) {
    const bool is_new =
        std::ranges::find(before.disks, disk.name, &ItemDisk::name) == before.disks.end();
    if (!is_new) continue;
    ASR_CHECK(RemoveLeftOverReplica(vault, before, disk));
    ASR_CHECK(DiskReplica::OpenOrCreate(vault, lease, disk));
  }
  for (const ItemDisk& disk : followed->disks) {
    if (std::ranges::find(before.disks, disk) != before.disks.end()) continue;
    environment.progress.Warn(DescribeChange(before, disk));
  }
  ASR_CHECK(lease.PutItem(*std::move(followed)));
  replicas.clear();
  ASR_TRY(replicas, OpenReplicas(vault, lease, /*create=*/false));
  return {};
}

}  // namespace asr
