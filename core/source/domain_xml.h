// A VM as libvirt describes it (https://libvirt.org/formatdomain.html).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/model/virtual_machine.h"
#include "storage/base/result.h"

namespace asr {

struct DomainDescription {
  std::string name;
  std::string uuid;
  MachineSettings settings;
  MachineHardware hardware;
  std::string nvram_path;  // of the firmware's variables; empty: it has none
  std::string nvram_format = "raw";
  std::vector<VmDisk> disks;  // without their sizes
  std::vector<std::string> warnings;
  bool has_guest_agent = false;  // a channel for it, which a running guest has open
};

// Disks come in boot order; those that hold nothing to recover (CD-ROM, floppy, read-only,
// transient) are left out, with a warning where that may surprise. One that cannot be replicated
// says why (VmDisk::refusal). kCorrupt (kVmDescription) for what is no such description.
[[nodiscard]] Result<DomainDescription> ParseDomainXml(const std::string& xml);

// What libvirt puts into the names of a run's files, `domain-ID-NAME`: the first 20 characters.
[[nodiscard]] std::string ShortDomainName(const std::string& name);

struct BackupDisk {
  std::string target;
  std::string scratch_path;
  bool has_checkpoint = true;   // its changes are noted from now on
  std::string base_checkpoint;  // since which its changes are asked for; empty: all of it
};

struct BackupDescription {
  std::string socket_path;
  std::string checkpoint;  // empty: none
  std::vector<BackupDisk> disks;
  std::vector<std::string> other_targets;  // disks of the VM that take no part
};

// The bitmap of an incremental export.
inline constexpr const char* kExportBitmap = "asr-changes";

// For virDomainBackupBegin (https://libvirt.org/formatbackup.html, formatcheckpoint.html).
[[nodiscard]] std::string BackupXml(const BackupDescription& backup);
// Empty where no disk takes part.
[[nodiscard]] std::string CheckpointXml(const BackupDescription& backup);
// The Unix socket of an open job; empty: it has another, or none.
[[nodiscard]] std::string SocketOfBackup(const std::string& backup_xml);

}  // namespace asr
