// A consistent view of all disks of a VM at one instant.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/model/virtual_machine.h"
#include "core/source/stamps.h"
#include "storage/base/result.h"
#include "storage/fs/file_system.h"
#include "storage/image/disk.h"

namespace asr {

// Of a folder VM: nobody freezes its images, so the view is consistent exactly if no file changed
// from when the last disk was opened until Verify. What was read is worth sealing only after a
// Verify that succeeded. A writer through a memory mapping changes a file's times late, and may go
// unnoticed; no hypervisor that we know of writes its images so.
class SourceSnapshot {
 public:
  struct OpenedDisk {
    DiskName name;
    std::unique_ptr<Disk> disk;
    DiskStamps stamps;  // as the disk was opened
  };

  // Opens `disks` of the VM. Errors are those of OpenDisk, with VM and disk as context; kBusy
  // (kImageInUse, retryable) if somebody has a file of a chain open for writing.
  [[nodiscard]] static Result<SourceSnapshot> Open(FileSystem& fs, const std::string& vm_name,
                                                   const std::vector<VmDisk>& disks);

  // In the order given.
  [[nodiscard]] const std::vector<OpenedDisk>& disks() const { return disks_; }

  // Looks at every file again. kBusy (kImageChanged, retryable) if one is not as it was at Open.
  [[nodiscard]] Status Verify() const;

 private:
  SourceSnapshot(FileSystem& fs, std::string vm_name) : fs_(&fs), vm_name_(std::move(vm_name)) {}
  [[nodiscard]] Status VerifyDisk(const OpenedDisk& disk) const;

  FileSystem* fs_;
  std::string vm_name_;
  std::vector<OpenedDisk> disks_;
};

}  // namespace asr
