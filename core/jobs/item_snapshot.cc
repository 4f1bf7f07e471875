#include "core/jobs/item_snapshot.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/source/folder_snapshot.h"
#include "storage/base/text.h"

namespace asr {
namespace {

Error DiskSetChanged(const Item& item, const std::string& what) {
  return MakeError(ErrorKind::kState, ErrorCode::kDiskSetChanged,
                   fmt::format("VM {}: {}", item.name, what))
      .WithCause("disks were added, removed, renamed or resized since the VM was protected")
      .WithAction(
          fmt::format("bring the old disks back; or keep the old points and start anew: asr "
                      "disable {0} --keep-data, then asr enable {0} --policy {1}",
                      ShellQuote(item.name), item.policy));
}

}  // namespace

Result<std::unique_ptr<SourceSnapshot>> SnapshotOf(Environment& environment, const Item& item,
                                                   const VirtualMachine& vm) {
  std::vector<VmDisk> disks;
  for (const ItemDisk& wanted : item.disks) {
    const auto found = std::ranges::find(vm.disks, wanted.name, &VmDisk::name);
    if (found == vm.disks.end()) {
      return Fail(DiskSetChanged(item, fmt::format("disk {} is gone", wanted.name.value)));
    }
    if (found->size_bytes != wanted.size_bytes ||
        found->logical_sector_bytes != wanted.logical_sector_bytes) {
      return Fail(DiskSetChanged(
          item, fmt::format("disk {} has {} bytes in sectors of {}, it had {} in sectors of {}",
                            wanted.name.value, found->size_bytes, found->logical_sector_bytes,
                            wanted.size_bytes, wanted.logical_sector_bytes)));
    }
    disks.push_back(*found);
  }
  for (const VmDisk& disk : vm.disks) {
    const bool known =
        std::ranges::find(item.disks, disk.name, &ItemDisk::name) != item.disks.end() ||
        std::ranges::find(item.excluded_disks, disk.name) != item.excluded_disks.end();
    if (known) continue;
    environment.progress.Warn(
        fmt::format("VM {}: disk {} was added after protection began and is not replicated",
                    item.name, disk.name.value));
  }
  ASR_TRY(auto snapshot,
          FolderSnapshot::Open(environment.fs, environment.clock.Now(), item.name, disks));
  return snapshot;
}

}  // namespace asr
