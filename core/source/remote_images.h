// The disks of a VM that is off on another machine, which shows its images over ssh.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/model/virtual_machine.h"
#include "core/source/remote_stamps.h"
#include "core/source/source_snapshot.h"
#include "core/source/ssh_line.h"
#include "storage/image/nbd_disk.h"

namespace asr {

struct RemoteVm {
  std::string uri;  // of its libvirt; behind ssh
  std::string uuid;
  std::string name;
};

// A qemu-nbd for each image, read-only; it ends with us, or a few minutes after the line to us went
// dead. It keeps nobody from starting the VM: whoever writes meanwhile shows in the stamps, or in
// the VM's state. (Images of kinds whose stamps do not tell all are locked as QEMU does it.)
class RemoteImages : public SourceSnapshot {
 public:
  // kBusy (kVmStateChanged, retryable) if the VM runs by now; kBusy (kImageInUse) if somebody has
  // an image open for writing; kUnsupported without qemu-nbd over there; else errors of SshLine and
  // NbdDisk.
  [[nodiscard]] static Result<std::unique_ptr<RemoteImages>> Open(Timestamp now, RemoteVm vm,
                                                                  const std::vector<VmDisk>& disks);

  // kBusy (kImageChanged, retryable) if an image is not as it was at Open, or the VM is not off.
  [[nodiscard]] Status Verify() const override;
  void Touch() override;
  // Of the first disk: for what else is to be read over there.
  [[nodiscard]] SshLine* line() const {
    return lines_.empty() ? nullptr : lines_.front()->ssh.get();
  }

 private:
  // One image over there, and the way to it.
  struct Line {
    std::mutex mutex;
    std::unique_ptr<SshLine> ssh;
    std::string place;  // a directory over there: socket, pid, sign of life
    std::string path;   // of the image
    RemoteChain chain;
    RemoteStamps stamps;  // of the chain, as it was
    std::chrono::steady_clock::time_point last_touched{};
  };

  explicit RemoteImages(RemoteVm vm) : vm_(std::move(vm)) {}
  Status RequireOff() const;
  Status AddDisk(const SshTarget& ssh, const VmDisk& wanted);
  Result<RemoteChain> ChainOf(Line& line, const VmDisk& wanted) const;
  Status Serve(Line& line, const VmDisk& wanted) const;
  static Error WhyNotShown(const Line& line, const SshLine::Answer& answer);
  Result<RemoteStamps> StampsOf(Line& line) const;
  static void Touch(Line& line);
  Error InThis(Error error, const std::string& disk) const;

  RemoteVm vm_;
  std::vector<std::unique_ptr<Line>> lines_;  // in the order of the disks
};

}  // namespace asr
