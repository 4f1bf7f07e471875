#include "core/source/libvirt_host.h"

#include <chrono>
#include <cstdlib>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "core/source/ssh_line.h"
#include "core/source/ssh_program.h"

namespace asr {
namespace {

constexpr int kJobLooks = 20;
constexpr std::chrono::milliseconds kJobPause{100};

std::string TextOf(const LibvirtLibrary& libvirt) {
  const virErrorPtr error = libvirt.GetLastError();
  return error != nullptr && error->message != nullptr ? error->message : "no reason given";
}

int CodeOf(const LibvirtLibrary& libvirt) {
  const virErrorPtr error = libvirt.GetLastError();
  return error != nullptr ? error->code : VIR_ERR_OK;
}

bool IsConnectionLost(int code) {
  return code == VIR_ERR_NO_CONNECT || code == VIR_ERR_SYSTEM_ERROR || code == VIR_ERR_RPC ||
         code == VIR_ERR_INVALID_CONN || code == VIR_ERR_AUTH_FAILED;
}

Error Unreachable(std::string what, std::string text) {
  return MakeError(ErrorKind::kBusy, ErrorCode::kHostUnreachable, fmt::format("{}: {}", what, text))
      .WithCause("libvirtd does not run there, or was restarted just now")
      .WithCause("this user may not use its socket (group libvirt)")
      .WithAction("look at it: virsh -c URI version; then run the same command again")
      .Retryable();
}

// Text that libvirt allocated.
std::string Take(char* text) {
  std::string taken = text == nullptr ? "" : text;
  std::free(text);
  return taken;
}

// libvirt waits for a guest agent for ever, unless it is told otherwise.
class AgentPatience {
 public:
  AgentPatience(const LibvirtLibrary& libvirt, virDomainPtr domain)
      : libvirt_(libvirt), domain_(domain) {
    libvirt_.DomainAgentSetResponseTimeout(domain_, kSeconds, 0);
  }
  ~AgentPatience() {
    libvirt_.DomainAgentSetResponseTimeout(domain_, VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK, 0);
  }
  AgentPatience(const AgentPatience&) = delete;
  AgentPatience& operator=(const AgentPatience&) = delete;

 private:
  static constexpr int kSeconds = 20;
  const LibvirtLibrary& libvirt_;
  virDomainPtr domain_;
};

}  // namespace

Result<std::shared_ptr<virConnect>> OpenLibvirt(const LibvirtLibrary& libvirt,
                                                const std::string& uri) {
  ASR_TRY(LibvirtUri place, ParseLibvirtUri(uri));
  std::optional<SshProgram> ssh;
  if (place.ssh) {
    ASR_TRY(ssh, SshProgram::Write(*place.ssh));
    place.text += "&command=" + ssh->path();
  }
  virConnectPtr connection = libvirt.ConnectOpen(place.text.c_str());
  if (connection == nullptr) {
    const std::string what = fmt::format("cannot connect to {}", uri);
    const std::string said = TextOf(libvirt);
    return Fail(place.ssh ? SshError(*place.ssh, what, said) : Unreachable(what, said));
  }
  const auto close = [&libvirt](virConnectPtr open) { libvirt.ConnectClose(open); };
  return std::shared_ptr<virConnect>(connection, close);
}

Result<LibvirtHost> LibvirtHost::Connect(const std::string& uri) {
  ASR_TRY(const LibvirtLibrary* libvirt, LoadLibvirt());
  ASR_TRY(auto connection, OpenLibvirt(*libvirt, uri));
  return LibvirtHost(*libvirt, std::move(connection));
}

Result<LibvirtHost::Versions> LibvirtHost::FindVersions() const {
  Versions versions;
  if (libvirt_->ConnectGetLibVersion(connection_.get(), &versions.libvirt) != 0 ||
      libvirt_->ConnectGetVersion(connection_.get(), &versions.qemu) != 0) {
    return Fail(Unreachable("cannot ask for versions", TextOf(*libvirt_)));
  }
  return versions;
}

Result<std::vector<LibvirtDomain>> LibvirtHost::ListDomains() const {
  virDomainPtr* domains = nullptr;
  const int count = libvirt_->ConnectListAllDomains(connection_.get(), &domains, 0);
  if (count < 0) return Fail(Unreachable("cannot list the host's VMs", TextOf(*libvirt_)));
  std::vector<LibvirtDomain> list;
  for (int i = 0; i < count; ++i) list.emplace_back(*libvirt_, connection_, domains[i]);
  std::free(static_cast<void*>(domains));
  return list;
}

Result<LibvirtDomain> LibvirtHost::FindDomain(const std::string& uuid) const {
  virDomainPtr domain = libvirt_->DomainLookupByUUIDString(connection_.get(), uuid.c_str());
  if (domain != nullptr) return LibvirtDomain(*libvirt_, connection_, domain);
  if (CodeOf(*libvirt_) != VIR_ERR_NO_DOMAIN) {
    return Fail(Unreachable("cannot ask the host for a VM", TextOf(*libvirt_)));
  }
  return Fail(MakeError(ErrorKind::kNotFound, ErrorCode::kVmNotFound,
                        fmt::format("the host has no VM with the UUID {}", uuid))
                  .WithCause("it was undefined, or migrated to another host")
                  .WithAction("see what there is: asr vm list"));
}

LibvirtDomain::LibvirtDomain(const LibvirtLibrary& libvirt, std::shared_ptr<virConnect> connection,
                             virDomainPtr domain)
    : libvirt_(&libvirt), connection_(std::move(connection)), domain_(domain) {}

LibvirtDomain::LibvirtDomain(LibvirtDomain&& other) noexcept
    : libvirt_(other.libvirt_),
      connection_(std::move(other.connection_)),
      domain_(std::exchange(other.domain_, nullptr)) {}

LibvirtDomain& LibvirtDomain::operator=(LibvirtDomain&& other) noexcept {
  std::swap(libvirt_, other.libvirt_);
  std::swap(connection_, other.connection_);
  std::swap(domain_, other.domain_);
  return *this;
}

LibvirtDomain::~LibvirtDomain() {
  if (domain_ != nullptr) libvirt_->DomainFree(domain_);
}

Error LibvirtDomain::LastError(std::string_view what) const {
  const int code = CodeOf(*libvirt_);
  const std::string text = TextOf(*libvirt_);
  const std::string vm = fmt::format("VM {}", name());
  if (IsConnectionLost(code)) return Unreachable(std::string(what), text).WithContext(vm);
  if (code == VIR_ERR_NO_DOMAIN) {
    return MakeError(ErrorKind::kNotFound, ErrorCode::kVmNotFound,
                     fmt::format("{}: {}", what, text))
        .WithCause("it was undefined, or migrated to another host")
        .WithAction("see what there is: asr vm list")
        .WithContext(vm);
  }
  const bool is_busy = code == VIR_ERR_OPERATION_TIMEOUT || code == VIR_ERR_RESOURCE_BUSY ||
                       text.find("blockjob") != std::string::npos ||
                       text.find("block job") != std::string::npos;
  if (is_busy) {
    return MakeError(ErrorKind::kBusy, ErrorCode::kVmBusy, fmt::format("{}: {}", what, text))
        .WithCause("another job works on the VM: a backup, a migration, a merge of snapshots")
        .WithAction(
            "wait until it has ended (virsh domjobinfo VM), then run the same command again")
        .WithContext(vm)
        .Retryable();
  }
  return MakeError(ErrorKind::kIo, ErrorCode::kSnapshotFailed, fmt::format("{}: {}", what, text))
      .WithAction(
          "look at the VM: virsh dominfo VM, virsh domjobinfo VM; then run the same command "
          "again")
      .WithContext(vm)
      .Retryable();
}

std::string LibvirtDomain::name() const {
  const char* name = libvirt_->DomainGetName(domain_);
  return name == nullptr ? "" : name;
}

int LibvirtDomain::run_id() const {
  const unsigned int id = libvirt_->DomainGetID(domain_);
  return id == static_cast<unsigned int>(-1) ? -1 : static_cast<int>(id);
}

Result<bool> LibvirtDomain::WasMigrated() const {
  int state = 0;
  int reason = 0;
  if (libvirt_->DomainGetState(domain_, &state, &reason, 0) != 0) {
    return Fail(LastError("cannot ask for its state"));
  }
  return state == VIR_DOMAIN_SHUTOFF && reason == VIR_DOMAIN_SHUTOFF_MIGRATED;
}

Result<VmPowerState> LibvirtDomain::State() const {
  int state = 0;
  if (libvirt_->DomainGetState(domain_, &state, nullptr, 0) != 0) {
    return Fail(LastError("cannot ask for its state"));
  }
  switch (state) {
    case VIR_DOMAIN_RUNNING:
    case VIR_DOMAIN_BLOCKED:
    case VIR_DOMAIN_SHUTDOWN:  // on its way, but QEMU has the disks
      return VmPowerState::kRunning;
    case VIR_DOMAIN_PAUSED:
    case VIR_DOMAIN_PMSUSPENDED:
      return VmPowerState::kPaused;
    case VIR_DOMAIN_CRASHED:
      // QEMU may be kept for a look at it, with its images open.
      return run_id() >= 0 ? VmPowerState::kPaused : VmPowerState::kOff;
    case VIR_DOMAIN_SHUTOFF:
      return VmPowerState::kOff;
    default:
      return VmPowerState::kUnknown;
  }
}

Result<bool> LibvirtDomain::IsPausedByIoError() const {
  int state = 0;
  int reason = 0;
  if (libvirt_->DomainGetState(domain_, &state, &reason, 0) != 0) {
    return Fail(LastError("cannot ask for its state"));
  }
  return state == VIR_DOMAIN_PAUSED && reason == VIR_DOMAIN_PAUSED_IOERROR;
}

Result<std::string> LibvirtDomain::Xml() const { return XmlWith(0); }

Result<std::string> LibvirtDomain::DefinedXml() const { return XmlWith(VIR_DOMAIN_XML_INACTIVE); }

Result<std::string> LibvirtDomain::XmlWith(unsigned int flags) const {
  char* xml = libvirt_->DomainGetXMLDesc(domain_, flags);
  if (xml == nullptr) return Fail(LastError("cannot read its description"));
  return Take(xml);
}

Result<LibvirtDomain::DiskSize> LibvirtDomain::SizeOfDisk(const std::string& target) const {
  virDomainBlockInfo info{};
  if (libvirt_->DomainGetBlockInfo(domain_, target.c_str(), &info, 0) != 0) {
    return Fail(LastError(fmt::format("cannot ask for the size of disk {}", target)));
  }
  return DiskSize{.size_bytes = info.capacity, .allocated_bytes = info.allocation};
}

Status LibvirtDomain::Resume() {
  if (libvirt_->DomainResume(domain_) == 0) return {};
  return Fail(LastError("cannot resume it"));
}

Result<int> LibvirtDomain::Freeze() {
  const AgentPatience patience(*libvirt_, domain_);
  const int count = libvirt_->DomainFSFreeze(domain_, nullptr, 0, 0);
  if (count >= 0) return count;
  return Fail(LastError("its file systems cannot be frozen"));
}

Result<int> LibvirtDomain::Thaw() {
  const AgentPatience patience(*libvirt_, domain_);
  const int count = libvirt_->DomainFSThaw(domain_, nullptr, 0, 0);
  if (count >= 0) return count;
  return Fail(LastError("its file systems cannot be thawed"));
}

Result<std::optional<std::string>> LibvirtDomain::BackupXml() const {
  char* xml = libvirt_->DomainBackupGetXMLDesc(domain_, 0);
  if (xml != nullptr) return Take(xml);
  const int code = CodeOf(*libvirt_);
  if (code == VIR_ERR_NO_DOMAIN_BACKUP || code == VIR_ERR_OPERATION_INVALID) return std::nullopt;
  return Fail(LastError("cannot ask for its backup job"));
}

Status LibvirtDomain::RequireNoJob() const {
  virDomainJobInfo info{};
  bool is_known = libvirt_->DomainGetJobInfo(domain_, &info) == 0;
  // Most jobs, as a VM's start, take a moment.
  for (int i = 0; i < kJobLooks && is_known && info.type != VIR_DOMAIN_JOB_NONE; ++i) {
    std::this_thread::sleep_for(kJobPause);
    is_known = libvirt_->DomainGetJobInfo(domain_, &info) == 0;
  }
  if (is_known && info.type == VIR_DOMAIN_JOB_NONE) return {};
  // Seen with libvirt 9.0: its status file names the job, and nothing else knows it.
  if (!is_known && TextOf(*libvirt_).find("job data missing") != std::string::npos) {
    return Fail(MakeError(ErrorKind::kBusy, ErrorCode::kVmBusy,
                          "libvirt believes that a backup job has the VM, and knows nothing of it")
                    .WithCause("libvirtd was killed just when a backup job began or ended")
                    .WithAction(fmt::format(
                        "shut the VM down and start it; or, while it runs: stop libvirtd, remove "
                        "the line with async='backup' from /run/libvirt/qemu/{}.xml, start "
                        "libvirtd",
                        name()))
                    .WithContext(fmt::format("VM {}", name()))
                    .Retryable());
  }
  if (!is_known) return Fail(LastError("cannot ask for its jobs"));
  return Fail(MakeError(ErrorKind::kBusy, ErrorCode::kVmBusy, "another job has the VM")
                  .WithCause("a backup, a migration, a dump or a save of the VM")
                  .WithAction(fmt::format("wait until it has ended (virsh domjobinfo {}), then run "
                                          "the same command again",
                                          name()))
                  .WithContext(fmt::format("VM {}", name()))
                  .Retryable());
}

Status LibvirtDomain::BeginBackup(const std::string& backup_xml,
                                  const std::string& checkpoint_xml) {
  const char* checkpoint = checkpoint_xml.empty() ? nullptr : checkpoint_xml.c_str();
  if (libvirt_->DomainBackupBegin(domain_, backup_xml.c_str(), checkpoint, 0) == 0) return {};
  return Fail(LastError("its backup job cannot begin"));
}

Status LibvirtDomain::EndBackup() {
  if (libvirt_->DomainAbortJob(domain_) == 0) return {};
  return Fail(LastError("its backup job cannot be ended"));
}

Result<bool> LibvirtDomain::HasBackupOf(const std::string& target) const {
  virDomainBlockJobInfo info{};
  const int found = libvirt_->DomainGetBlockJobInfo(domain_, target.c_str(), &info, 0);
  if (found < 0) return Fail(LastError(fmt::format("cannot ask for jobs of disk {}", target)));
  return found == 1 && info.type == VIR_DOMAIN_BLOCK_JOB_TYPE_BACKUP;
}

Status LibvirtDomain::EndBackupOf(const std::string& target) {
  if (libvirt_->DomainBlockJobAbort(domain_, target.c_str(), 0) == 0) return {};
  return Fail(LastError(fmt::format("the backup of its disk {} cannot be ended", target)));
}

Result<std::string> LibvirtDomain::AskQemu(const std::string& command) const {
  char* answer = nullptr;
  if (libvirt_->DomainQemuMonitorCommand(domain_, command.c_str(), &answer, 0) != 0) {
    return Fail(LastError("cannot ask its QEMU"));
  }
  std::string text = answer;
  std::free(answer);
  return text;
}

Result<std::vector<std::string>> LibvirtDomain::ListCheckpoints() const {
  virDomainCheckpointPtr* checkpoints = nullptr;
  const int count = libvirt_->DomainListAllCheckpoints(domain_, &checkpoints, 0);
  if (count < 0) return Fail(LastError("cannot list its checkpoints"));
  std::vector<std::string> names;
  for (int i = 0; i < count; ++i) {
    const char* name = libvirt_->DomainCheckpointGetName(checkpoints[i]);
    if (name != nullptr) names.emplace_back(name);
    libvirt_->DomainCheckpointFree(checkpoints[i]);
  }
  std::free(static_cast<void*>(checkpoints));
  return names;
}

Status LibvirtDomain::DeleteCheckpoint(const std::string& name) {
  return DeleteCheckpoint(name, 0);
}

Status LibvirtDomain::ForgetCheckpoint(const std::string& name) {
  return DeleteCheckpoint(name, VIR_DOMAIN_CHECKPOINT_DELETE_METADATA_ONLY);
}

Status LibvirtDomain::DeleteCheckpoint(const std::string& name, unsigned int flags) {
  virDomainCheckpointPtr checkpoint =
      libvirt_->DomainCheckpointLookupByName(domain_, name.c_str(), 0);
  if (checkpoint == nullptr) {
    if (CodeOf(*libvirt_) == VIR_ERR_NO_DOMAIN_CHECKPOINT) return {};
    return Fail(LastError(fmt::format("cannot look for checkpoint {}", name)));
  }
  const auto remove = [&](unsigned int how) {
    return libvirt_->DomainCheckpointDelete(checkpoint, how) == 0;
  };
  Status deleted;
  bool done = remove(flags);
  // Of a bitmap that died with QEMU, only what libvirt knows of it can be deleted. For any other
  // reason that would leave the bitmap in the image for ever.
  if (!done && TextOf(*libvirt_).find("not found") != std::string::npos) {
    done = remove(VIR_DOMAIN_CHECKPOINT_DELETE_METADATA_ONLY);
  }
  if (!done) deleted = Fail(LastError(fmt::format("cannot delete checkpoint {}", name)));
  libvirt_->DomainCheckpointFree(checkpoint);
  return deleted;
}

Result<std::vector<std::string>> LibvirtDomain::ListInternalSnapshots() const {
  virDomainSnapshotPtr* snapshots = nullptr;
  const int count =
      libvirt_->DomainListAllSnapshots(domain_, &snapshots, VIR_DOMAIN_SNAPSHOT_LIST_INTERNAL);
  if (count < 0) return Fail(LastError("cannot list its snapshots"));
  std::vector<std::string> names;
  for (int i = 0; i < count; ++i) {
    const char* name = libvirt_->DomainSnapshotGetName(snapshots[i]);
    if (name != nullptr) names.emplace_back(name);
    libvirt_->DomainSnapshotFree(snapshots[i]);
  }
  std::free(static_cast<void*>(snapshots));
  return names;
}

}  // namespace asr
