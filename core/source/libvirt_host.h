// A connection to libvirt and its domains, as far as replication needs them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/model/virtual_machine.h"
#include "core/source/libvirt_library.h"
#include "storage/base/result.h"

namespace asr {

// Errors of all calls: kBusy (kHostUnreachable, kVmBusy; retryable) where libvirt is not there or
// another job has the domain; kNotFound (kVmNotFound); else kIo (kSnapshotFailed) with libvirt's
// own words. Not for several threads at once.
class LibvirtDomain {
 public:
  // Takes over the reference to `domain`. `connection` outlives this.
  LibvirtDomain(const LibvirtLibrary& libvirt, std::shared_ptr<virConnect> connection,
                virDomainPtr domain);
  LibvirtDomain(LibvirtDomain&& other) noexcept;
  LibvirtDomain& operator=(LibvirtDomain&& other) noexcept;
  ~LibvirtDomain();

  [[nodiscard]] std::string name() const;
  [[nodiscard]] Result<VmPowerState> State() const;
  // It is off here, for it runs on another host since.
  [[nodiscard]] Result<bool> WasMigrated() const;
  // True if QEMU paused it because a disk of the host had no room left or failed.
  [[nodiscard]] Result<bool> IsPausedByIoError() const;
  // Of its run; negative if it is off.
  [[nodiscard]] int run_id() const;
  // As it runs now; of a VM that is off, as it is defined.
  [[nodiscard]] Result<std::string> Xml() const;
  // As it would be started anew; without passwords.
  [[nodiscard]] Result<std::string> DefinedXml() const;
  struct DiskSize {
    std::uint64_t size_bytes = 0;       // what the guest sees
    std::uint64_t allocated_bytes = 0;  // on the host
  };
  [[nodiscard]] Result<DiskSize> SizeOfDisk(const std::string& target) const;

  [[nodiscard]] Status Resume();
  // Of the guest's file systems, by its agent. How many: 0 if there was nothing to do.
  [[nodiscard]] Result<int> Freeze();
  [[nodiscard]] Result<int> Thaw();

  // Description of the backup job that is open; nullopt if there is none.
  [[nodiscard]] Result<std::optional<std::string>> BackupXml() const;
  // A begin beside another job would wait for half a minute before it fails. Waits for two seconds.
  // kBusy (kVmBusy).
  [[nodiscard]] Status RequireNoJob() const;
  [[nodiscard]] Status BeginBackup(const std::string& backup_xml,
                                   const std::string& checkpoint_xml);
  [[nodiscard]] Status EndBackup();

  // QEMU copies what the guest overwrites on this disk for a backup.
  [[nodiscard]] Result<bool> HasBackupOf(const std::string& target) const;
  [[nodiscard]] Status EndBackupOf(const std::string& target);
  // QEMU's own answer to a command of its protocol, both JSON. Libvirt notes that somebody did it.
  [[nodiscard]] Result<std::string> AskQemu(const std::string& command) const;

  [[nodiscard]] Result<std::vector<std::string>> ListCheckpoints() const;
  // Also one whose bitmap is gone. Fine if there is none of this name.
  [[nodiscard]] Status DeleteCheckpoint(const std::string& name);
  // Makes libvirt forget it; its bitmaps stay where they are.
  [[nodiscard]] Status ForgetCheckpoint(const std::string& name);
  [[nodiscard]] Result<std::vector<std::string>> ListInternalSnapshots() const;

 private:
  Error LastError(std::string_view what) const;
  Status DeleteCheckpoint(const std::string& name, unsigned int flags);
  Result<std::string> XmlWith(unsigned int flags) const;

  const LibvirtLibrary* libvirt_;
  std::shared_ptr<virConnect> connection_;
  virDomainPtr domain_;
};

// A connection to the libvirt that `uri` names, also one behind ssh. Errors as
// LibvirtHost::Connect.
[[nodiscard]] Result<std::shared_ptr<virConnect>> OpenLibvirt(const LibvirtLibrary& libvirt,
                                                              const std::string& uri);

class LibvirtHost {
 public:
  // kUnsupported without libvirt's library; kBusy (kHostUnreachable, retryable) if nobody answers.
  [[nodiscard]] static Result<LibvirtHost> Connect(const std::string& uri);

  // Each is 1'000'000 x major + 1000 x minor + release.
  struct Versions {
    unsigned long libvirt = 0;  // of its daemon
    unsigned long qemu = 0;
  };
  [[nodiscard]] Result<Versions> FindVersions() const;
  [[nodiscard]] Result<std::vector<LibvirtDomain>> ListDomains() const;
  [[nodiscard]] Result<LibvirtDomain> FindDomain(const std::string& uuid) const;

 private:
  LibvirtHost(const LibvirtLibrary& libvirt, std::shared_ptr<virConnect> connection)
      : libvirt_(&libvirt), connection_(std::move(connection)) {}

  const LibvirtLibrary* libvirt_;
  std::shared_ptr<virConnect> connection_;
};

}  // namespace asr
