#include "core/jobs/follow_disks.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/jobs/check.h"
#include "core/jobs/replication.h"

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

}  // namespace

std::optional<Item> WithDisksOf(const Item& item, const VirtualMachine& vm) {
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
    if (is_new) ASR_CHECK(DiskReplica::OpenOrCreate(vault, lease, disk));
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
