// The disks of a running VM at one instant: a backup job of QEMU, through libvirt
// (man/asr-libvirt.7).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/model/virtual_machine.h"
#include "core/source/backup_guard.h"
#include "core/source/libvirt_host.h"
#include "core/source/source_snapshot.h"
#include "core/source/ssh_line.h"
#include "storage/base/clock.h"
#include "storage/fs/file_system.h"

namespace asr {

struct LiveSnapshotRequest {
  std::string uri;
  std::string uuid;
  std::string vm_name;
  ItemId item;                       // whose checkpoints these are
  std::vector<VmDisk> disks;         // in the order that is wanted
  std::string base_checkpoint = {};  // since which changes are asked for; empty: all is read
  bool reads_all = false;            // they are not, but the base stays until Keep
  // Without the base there is no snapshot: kState (kCheckpointGone), and nothing was changed.
  bool requires_base = false;
  bool app_consistent = false;
  std::string scratch_directory = {};  // of scratch files; empty: each beside its image
  std::string program;                 // is started as the guard
  // Of notes that guests may be frozen, which outlive us and the guard. Change logs that cannot lie
  // beside their images go there, too.
  std::string state_directory;
  std::chrono::milliseconds stall_limit = std::chrono::minutes(10);
  std::chrono::milliseconds freeze_limit = std::chrono::seconds(30);
  std::function<void(const std::string&)> warn = [](const std::string&) {};
};

class LiveSnapshot : public SourceSnapshot {
 public:
  // First ends what an earlier run left: a job of the item's, and its checkpoints but the base.
  // Where the base is gone or damaged a warning says so, and all of the disks may have changed.
  // A guest that cannot be frozen is not, with a warning. kState (kVmStateChanged) if the VM is
  // off; kBusy (kVmBusy, retryable) if another job has it; else errors of LibvirtHost and guard.
  [[nodiscard]] static Result<std::unique_ptr<LiveSnapshot>> Begin(FileSystem& fs, Clock& clock,
                                                                   LiveSnapshotRequest request);
  ~LiveSnapshot() override;

  // The job is open still. kBusy (kImageChanged, retryable) if not: the guard ended it, or QEMU.
  [[nodiscard]] Status Verify() const override;
  void WillBeNamed() override { is_named_ = true; }
  void Touch() override { guard_->Moved(); }
  void Keep() override;

 private:
  LiveSnapshot(FileSystem& fs, Clock& clock, LiveSnapshotRequest request, LibvirtDomain domain);
  Status Start();
  Status EndOldFreeze();
  Status EndOldJob();
  Status EndLostJob();
  Status ChooseBase();
  Status ChoosePlaces();
  Status OpenLine();
  Status StartGuard();
  Status RemoveScratchFiles();
  Status BeginJob();
  Status BeginWith(const std::string& base);
  Status Freeze();
  Status OpenDisk(const VmDisk& wanted);
  std::string WhyNotFrozen() const;
  Status Thaw();
  Status OpenDisks();
  Status EndJob();
  void DeleteCheckpointsBut(const std::string& kept);
  std::string ScratchPathOf(const VmDisk& disk) const;
  std::string LogDirectoryOf(const VmDisk& disk) const;

  FileSystem& fs_;
  Clock& clock_;
  LiveSnapshotRequest request_;
  Result<std::optional<std::string>> JobXml() const;
  std::string NoteDirectory() const { return JoinPath(request_.state_directory, "frozen"); }
  std::string NotePath() const { return JoinPath(NoteDirectory(), request_.item.value); }

  // To the machine of the VM, where that is another one.
  mutable std::unique_ptr<SshLine> line_;
  mutable LibvirtDomain domain_;
  mutable std::optional<BackupGuard> guard_;
  std::string directory_;    // QEMU's own, of this run of the VM
  std::string socket_path_;  // on the VM's machine
  std::string base_;         // that the job tells changes since; empty: none
  bool is_open_ = false;
  bool is_named_ = false;
  std::optional<std::chrono::steady_clock::time_point> freeze_began_;
};

}  // namespace asr
