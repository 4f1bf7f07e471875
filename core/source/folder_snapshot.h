// The disks of a VM that is off, read from their images.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/model/virtual_machine.h"
#include "core/source/source_snapshot.h"
#include "storage/fs/file_system.h"

namespace asr {

// Nobody freezes the images, so the view is consistent exactly if no file changed from when the
// last disk was opened until Verify. A writer through a memory mapping changes a file's times late,
// and may go unnoticed; no hypervisor that we know of writes its images so.
class FolderSnapshot : public SourceSnapshot {
 public:
  // Opens `disks` of the VM. Errors are those of OpenDisk, with VM and disk as context; kBusy
  // (kImageInUse, retryable) if somebody has a file of a chain open for writing.
  // `require_off` fails if the VM runs by now: it is asked once all is open, and by Verify.
  [[nodiscard]] static Result<std::unique_ptr<FolderSnapshot>> Open(
      FileSystem& fs, Timestamp now, const std::string& vm_name, const std::vector<VmDisk>& disks,
      std::function<Status()> require_off = [] { return Status(); });

  // Looks at every file again. kBusy (kImageChanged, retryable) if one is not as it was at Open.
  [[nodiscard]] Status Verify() const override;

 private:
  FolderSnapshot(FileSystem& fs, std::string vm_name, std::function<Status()> require_off)
      : fs_(&fs), vm_name_(std::move(vm_name)), require_off_(std::move(require_off)) {}
  [[nodiscard]] Status VerifyDisk(const OpenedDisk& disk) const;

  FileSystem* fs_;
  std::string vm_name_;
  std::function<Status()> require_off_;
};

}  // namespace asr
