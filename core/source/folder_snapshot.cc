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
                                                             const std::vector<VmDisk>& disks,
                                                             std::function<Status()> require_off) {
  std::unique_ptr<FolderSnapshot> snapshot(new FolderSnapshot(fs, vm_name, std::move(require_off)));
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
  // Only now: who starts it from here on changes a stamp, or shows in Verify.
  ASR_CHECK(snapshot->require_off_());
  return snapshot;
}

Status FolderSnapshot::Verify() const {
  for (const OpenedDisk& disk : disks_) {
    if (Status status = VerifyDisk(disk); !status) {
      return Fail(InContext(std::move(status).error(), vm_name_, disk.name));
    }
  }
  return require_off_();
}

Status FolderSnapshot::VerifyDisk(const OpenedDisk& disk) const {
  for (const Disk::BackingFile& file : disk.stamps) {
    // What is written to a device shows in its stamp only once it has left the page cache.
    const bool is_device = file.stamp.type == FileType::kBlockDevice;
    if (is_device) ASR_CHECK(RequireAtRest(*fs_, file.path));
    const auto stamp = fs_->Stat(file.path);
    if (!stamp && !IsNotFound(stamp.error())) return Fail(stamp.error());
    if (!stamp || *stamp != file.stamp) return Fail(ImageChanged(file.path));
  }
  return {};
}

}  // namespace asr
