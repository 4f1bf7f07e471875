#include "core/source/folder_snapshot.h"

#include <utility>

#include <fmt/format.h>

#include "storage/image/image_error.h"

namespace asr {
namespace {

Error ImageChanged(const std::string& path) {
  return MakeError(ErrorKind::kBusy, ErrorCode::kImageChanged,
                   fmt::format("{} was changed while it was read", path))
      .WithCause("the VM is running, or its image is being copied or merged")
      .WithAction(
          "shut the VM down, or wait until nothing writes to its folder; then run the "
          "same command again")
      .Retryable();
}

Error InContext(Error error, const std::string& vm_name, const DiskName& disk) {
  return std::move(error)
      .WithContext(fmt::format("disk {}", disk.value))
      .WithContext(fmt::format("VM {}", vm_name));
}

}  // namespace

Result<std::unique_ptr<FolderSnapshot>> FolderSnapshot::Open(FileSystem& fs, Timestamp now,
                                                             const std::string& vm_name,
                                                             const std::vector<VmDisk>& disks) {
  std::unique_ptr<FolderSnapshot> snapshot(new FolderSnapshot(fs, vm_name));
  snapshot->taken_ = now;
  for (const VmDisk& disk : disks) {
    auto opened = OpenDisk(fs, disk.path, disk.format, disk.folder);
    if (!opened) return Fail(InContext(std::move(opened).error(), vm_name, disk.name));
    DiskStamps stamps = (*opened)->files();
    for (const Disk::BackingFile& file : stamps) {
      if (Status rest = RequireAtRest(fs, file.path); !rest) {
        return Fail(InContext(std::move(rest).error(), vm_name, disk.name));
      }
    }
    const bool is_device = stamps.front().stamp.type == FileType::kBlockDevice;
    snapshot->disks_.push_back({.name = disk.name,
                                .disk = *std::move(opened),
                                .image_path = disk.path,
                                .log_directory = is_device ? "" : ParentOf(disk.path),
                                .stamps = std::move(stamps)});
  }
  return snapshot;
}

Status FolderSnapshot::Verify() const {
  for (const OpenedDisk& disk : disks_) {
    if (Status status = VerifyDisk(disk); !status) {
      return Fail(InContext(std::move(status).error(), vm_name_, disk.name));
    }
  }
  return {};
}

Status FolderSnapshot::VerifyDisk(const OpenedDisk& disk) const {
  for (const Disk::BackingFile& file : disk.stamps) {
    const auto stamp = fs_->Stat(file.path);
    if (!stamp && !IsNotFound(stamp.error())) return Fail(stamp.error());
    if (!stamp || *stamp != file.stamp) return Fail(ImageChanged(file.path));
    // What was written to a device shows in its stamp only once it left the page cache.
    if (stamp->type == FileType::kBlockDevice) ASR_CHECK(RequireAtRest(*fs_, file.path));
  }
  return {};
}

}  // namespace asr
