#include "core/source/live_snapshot.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include <fmt/format.h>

#include "core/source/domain_xml.h"
#include "core/source/end_backup.h"
#include "core/source/firmware_variables.h"
#include "core/source/lost_backup.h"
#include "core/source/release_tracking.h"
#include "storage/base/checksum.h"
#include "storage/base/text.h"
#include "storage/image/nbd_disk.h"
#include "storage/image/nbd_library.h"

namespace asr {
namespace {

constexpr std::size_t kSocketDigits = 8;

Error IsOff(const std::string& vm_name) {
  return MakeError(ErrorKind::kBusy, ErrorCode::kVmStateChanged,
                   fmt::format("VM {} is off, or goes off right now", vm_name))
      .WithAction("nothing: the next try reads its images")
      .Retryable();
}

Error JobIsGone(const std::string& vm_name) {
  return MakeError(ErrorKind::kBusy, ErrorCode::kImageChanged,
                   fmt::format("the backup job of VM {} ended before all was read", vm_name))
      .WithCause("the VM was shut off or started anew")
      .WithCause(
          "the scratch file's file system had less than its reserve left, so that the guard "
          "ended the job")
      .WithCause("somebody ended it: virsh domjobabort")
      .WithAction(
          "make room beside the VM's images, if it is that; then run the same command again")
      .Retryable();
}

bool IsTransient(const Error& error) {
  return error.code == ErrorCode::kVmBusy || error.code == ErrorCode::kHostUnreachable ||
         error.kind == ErrorKind::kNotFound;
}

// AppArmor lets QEMU bind a socket in the directory of its own run, and nowhere else.
constexpr const char* kRunsOfSystem = "/var/lib/libvirt/qemu";

std::string RunsOf(const std::string& uri) {
  if (uri.find("/session") == std::string::npos) return kRunsOfSystem;
  const char* config = std::getenv("XDG_CONFIG_HOME");
  if (config != nullptr && *config != '\0') return std::string(config) + "/libvirt/qemu/lib";
  const char* home = std::getenv("HOME");
  return std::string(home != nullptr ? home : "") + "/.config/libvirt/qemu/lib";
}

bool IsDevice(const VmDisk& disk) { return disk.path.starts_with("/dev/"); }

bool HasCheckpoints(const VmDisk& disk) { return disk.format == "qcow2"; }

}  // namespace

LiveSnapshot::LiveSnapshot(FileSystem& fs, Clock& clock, LiveSnapshotRequest request,
                           LibvirtDomain domain)
    : fs_(fs), clock_(clock), request_(std::move(request)), domain_(std::move(domain)) {
  is_live_ = true;
}

Result<std::unique_ptr<LiveSnapshot>> LiveSnapshot::Begin(FileSystem& fs, Clock& clock,
                                                          LiveSnapshotRequest request) {
  ASR_TRY(const LibvirtHost host, LibvirtHost::Connect(request.uri));
  ASR_TRY(LibvirtDomain domain, host.FindDomain(request.uuid));
  std::unique_ptr<LiveSnapshot> snapshot(
      new LiveSnapshot(fs, clock, std::move(request), std::move(domain)));
  ASR_CHECK(snapshot->Start());
  return snapshot;
}

Status LiveSnapshot::Start() {
  ASR_TRY(const VmPowerState state, domain_.State());
  if (state == VmPowerState::kOff) return Fail(IsOff(request_.vm_name));
  ASR_CHECK(LoadNbdLibrary());
  ASR_CHECK(ChoosePlaces());
  ASR_CHECK(OpenLine());
  ASR_CHECK(StartGuard());
  ASR_CHECK(EndOldFreeze());
  ASR_CHECK(EndOldJob());
  ASR_CHECK(ChooseBase());
  ASR_CHECK(guard_->WaitUntilReady());
  ASR_CHECK(BeginJob());
  TakeFirmware(FirmwareOrWarning(fs_, line_.get(), domain_.Xml().value_or(""), request_.vm_name,
                                 request_.warn));
  Status opened = OpenDisks();
  if (opened) return {};
  Error error = Explain(std::move(opened).error());
  // Whether that user may connect to QEMU's socket over there, ssh alone knows.
  if (line_ != nullptr && !line_->Said().empty()) {
    error = std::move(error).WithCause("ssh says: " + line_->Said());
  }
  return Fail(std::move(error));
}

Status LiveSnapshot::OpenLine() {
  ASR_TRY(const LibvirtUri place, ParseLibvirtUri(request_.uri));
  if (!place.ssh) return {};
  ASR_TRY(line_, SshLine::Start(*place.ssh, socket_path_));
  return {};
}

Status LiveSnapshot::StartGuard() {
  GuardOrders orders{.uri = request_.uri,
                     .uuid = request_.uuid,
                     .socket_path = socket_path_,
                     .directories = {},
                     .own_directories = {},
                     .stall_limit = request_.stall_limit,
                     .freeze_limit = request_.freeze_limit};
  for (const VmDisk& disk : request_.disks) {
    orders.directories.push_back(ParentOf(ScratchPathOf(disk)));
    if (!IsDevice(disk)) orders.directories.push_back(ParentOf(disk.path));
    // Its change logs go into the state directory.
    if (LogDirectoryOf(disk).empty()) orders.own_directories = {request_.state_directory};
  }
  // It finds its way to the VM while we look after what an earlier run left.
  ASR_TRY(BackupGuard guard, BackupGuard::Start(request_.program, orders));
  guard_.emplace(std::move(guard));
  return {};
}

Status LiveSnapshot::ChoosePlaces() {
  ASR_TRY(const LibvirtUri place, ParseLibvirtUri(request_.uri));
  const std::string runs = RunsOf(request_.uri);
  const std::string prefix = fmt::format("domain-{}-", domain_.run_id());
  if (place.ssh) directory_ = JoinPath(runs, prefix + ShortDomainName(domain_.name()));
  const auto entries = place.ssh ? std::vector<DirectoryEntry>() : fs_.List(runs);
  if (entries) {
    const auto own = std::ranges::find_if(
        *entries, [&](const DirectoryEntry& entry) { return entry.name.starts_with(prefix); });
    if (own != entries->end()) directory_ = JoinPath(runs, own->name);
  }
  if (directory_.empty()) directory_ = ParentOf(request_.disks.front().path);
  const std::string id = ToHex(RandomBits());
  socket_path_ =
      JoinPath(directory_, CheckpointPrefix(request_.item) + id.substr(0, kSocketDigits));
  if (std::ranges::any_of(request_.disks, HasCheckpoints)) {
    checkpoint_ = CheckpointPrefix(request_.item) + id;
  }
  return {};
}

std::string LiveSnapshot::ScratchPathOf(const VmDisk& disk) const {
  if (!request_.scratch_directory.empty()) {
    return JoinPath(
        request_.scratch_directory,
        fmt::format("{}{}.asr-scratch", CheckpointPrefix(request_.item), disk.name.value));
  }
  if (IsDevice(disk)) return JoinPath(directory_, disk.name.value + ".asr-scratch");
  return disk.path + ".asr-scratch";
}

// Beside its image, where this machine has that.
std::string LiveSnapshot::LogDirectoryOf(const VmDisk& disk) const {
  return IsDevice(disk) || line_ != nullptr ? "" : ParentOf(disk.path);
}

Status LiveSnapshot::EndOldJob() {
  ASR_TRY(const auto job, domain_.BackupXml());
  if (job) {
    const std::string socket = SocketOfBackup(*job);
    if (!BaseName(socket).starts_with(CheckpointPrefix(request_.item))) {
      return Fail(MakeError(ErrorKind::kBusy, ErrorCode::kVmBusy,
                            fmt::format("another backup of VM {} runs", request_.vm_name))
                      .WithCause("another backup program, or another protection of the same VM")
                      .WithAction("wait until it has ended (virsh backup-dumpxml VM); then run the "
                                  "same command again")
                      .Retryable());
    }
    ASR_CHECK(EndBackupOfSocket(domain_, socket));
  }
  ASR_CHECK(domain_.RequireNoJob());
  ASR_CHECK(EndLostJob());
  return RemoveScratchFiles();
}

// Asked of the disks first: libvirt's log names everybody who talks to its QEMU.
Status LiveSnapshot::EndLostJob() {
  ASR_TRY(const bool is_copied, HasBackupCopies(domain_));
  if (!is_copied) return {};
  ASR_TRY(const bool has_ended, EndLostBackup(domain_));
  if (has_ended) {
    request_.warn(
        fmt::format("VM {}: a backup job that libvirt had forgotten, for it was killed "
                    "when the job began, has been ended",
                    request_.vm_name));
  }
  return {};
}

// QEMU that was killed leaves its scratch file; without a job nobody uses it.
Status LiveSnapshot::RemoveScratchFiles() {
  std::string command = "rm -f --";
  for (const VmDisk& disk : request_.disks) {
    const std::string path = ScratchPathOf(disk);
    command += " " + ShellQuote(path);
    if (line_ != nullptr) continue;
    const Status removed = fs_.RemoveFile(path);
    if (!removed && !IsNotFound(removed.error())) return Fail(removed.error());
  }
  if (line_ == nullptr) return {};
  ASR_CHECK(line_->WaitUntilReady());
  ASR_TRY(const SshLine::Answer removed, line_->Run(command + " 2>&1"));
  if (removed.exit_code == 0) return {};
  return Fail(MakeError(ErrorKind::kIo, ErrorCode::kSnapshotFailed,
                        fmt::format("VM {}: old scratch files cannot be removed from its host: {}",
                                    request_.vm_name, removed.output))
                  .WithAction("connect as a user who may, root as a rule: qemu+ssh://root@HOST"
                              "/system")
                  .Retryable());
}

Status LiveSnapshot::ChooseBase() {
  const std::string& wanted = request_.base_checkpoint;
  ASR_TRY(const auto checkpoints, domain_.ListCheckpoints());
  if (std::ranges::find(checkpoints, wanted) != checkpoints.end()) base_ = wanted;
  if (base_.empty() && request_.requires_base) {
    return Fail(ErrorKind::kState, ErrorCode::kCheckpointGone,
                fmt::format("VM {} has no checkpoint {}", request_.vm_name, wanted));
  }
  if (base_.empty() && !wanted.empty()) {
    request_.warn(fmt::format(
        "VM {}: the checkpoint of its newest recovery point is gone, its disks are compared "
        "instead; likely it was deleted, or the VM was defined anew",
        request_.vm_name));
  }
  DeleteCheckpointsBut(base_);
  return {};
}

void LiveSnapshot::DeleteCheckpointsBut(const std::string& kept) {
  const auto checkpoints = domain_.ListCheckpoints();
  if (!checkpoints) return;
  for (const std::string& name : *checkpoints) {
    if (name == kept || !name.starts_with(CheckpointPrefix(request_.item))) continue;
    const Status deleted = domain_.DeleteCheckpoint(name);
    if (deleted) continue;
    request_.warn(fmt::format("VM {}: an old checkpoint stays until the next cycle: {}",
                              request_.vm_name, deleted.error().Line()));
  }
}

Status LiveSnapshot::BeginJob() {
  Status begun;
  if (request_.app_consistent) begun = Freeze();
  if (begun) begun = guard_->Beginning();
  const std::string base = request_.reads_all ? "" : base_;
  if (begun) {
    taken_ = clock_.Now();
    begun = BeginWith(base);
  }
  const bool may_compare = !base.empty() && !request_.requires_base;
  if (!begun && may_compare && !IsTransient(begun.error())) {
    const std::string reason = begun.error().Line();
    taken_ = clock_.Now();
    begun = BeginWith("");
    if (begun) {
      request_.warn(fmt::format(
          "VM {}: the checkpoint of its newest recovery point cannot be used, its disks are "
          "compared instead; likely QEMU was killed, the host lost power, or an image was "
          "replaced ({})",
          request_.vm_name, reason));
      base_.clear();
    }
  }
  is_open_ = begun.has_value();
  starts_tracking_ = !checkpoint_.empty() && base_.empty();
  Status thawed = Thaw();
  if (begun) return thawed;
  const auto state = domain_.State();
  if (state && *state == VmPowerState::kOff) return Fail(IsOff(request_.vm_name));
  return begun;
}

Status LiveSnapshot::BeginWith(const std::string& base) {
  BackupDescription backup{
      .socket_path = socket_path_, .checkpoint = checkpoint_, .disks = {}, .other_targets = {}};
  for (const VmDisk& disk : request_.disks) {
    const bool has_checkpoint = HasCheckpoints(disk);
    backup.disks.push_back({.target = disk.name.value,
                            .scratch_path = ScratchPathOf(disk),
                            .has_checkpoint = has_checkpoint,
                            .base_checkpoint = has_checkpoint ? base : ""});
  }
  const std::string backup_xml = BackupXml(backup);
  const std::string checkpoint_xml = CheckpointXml(backup);
  Status begun = domain_.BeginBackup(backup_xml, checkpoint_xml);
  const bool is_served =
      !begun && begun.error().message.find("NBD server already running") != std::string::npos;
  if (!is_served) return begun;
  // The rest of a job that was lost, and whose copying has ended.
  ASR_TRY(const bool has_ended, EndLostBackup(domain_));
  return has_ended ? domain_.BeginBackup(backup_xml, checkpoint_xml) : begun;
}

Status LiveSnapshot::OpenDisks() {
  for (const VmDisk& wanted : request_.disks) ASR_CHECK(OpenDisk(wanted));
  if (line_ != nullptr) line_->HideSocket();
  return {};
}

Status LiveSnapshot::OpenDisk(const VmDisk& wanted) {
  const bool has_base = !base_.empty() && !request_.reads_all && HasCheckpoints(wanted);
  const NbdDiskOptions options{
      .socket_path = line_ != nullptr ? line_->socket_path() : socket_path_,
      .export_name = wanted.name.value,
      .bitmap = has_base ? kExportBitmap : "",
      .image_path = wanted.path,
      .format = wanted.format == "qcow2" ? ImageFormat::kQcow2 : ImageFormat::kRaw,
      .logical_sector_bytes = wanted.logical_sector_bytes,
      .on_read = [this] { guard_->Moved(); },
      .on_connect = [this](int connection) { return guard_->Reading(connection); }};
  ASR_TRY(auto disk, NbdDisk::Open(options));
  if (disk->size_bytes() != wanted.size_bytes) {
    return Fail(MakeError(ErrorKind::kBusy, ErrorCode::kVmStateChanged,
                          fmt::format("VM {}, disk {} has {} bytes and had {} a moment ago",
                                      request_.vm_name, wanted.name.value, disk->size_bytes(),
                                      wanted.size_bytes))
                    .WithCause("it was resized just now")
                    .Retryable());
  }
  OpenedDisk opened{.name = wanted.name,
                    .disk = nullptr,
                    .image_path = wanted.path,
                    .log_directory = LogDirectoryOf(wanted)};
  if (has_base) {
    opened.changed = [nbd = disk.get()](Extent window) { return nbd->DirtyExtents(window); };
  }
  opened.disk = std::move(disk);
  disks_.push_back(std::move(opened));
  return {};
}

// libvirtd may have been started anew since: the job outlives that, our connection does not.
Result<std::optional<std::string>> LiveSnapshot::JobXml() const {
  auto job = domain_.BackupXml();
  if (job || job.error().code != ErrorCode::kHostUnreachable) return job;
  ASR_TRY(const LibvirtHost host, LibvirtHost::Connect(request_.uri));
  ASR_TRY(domain_, host.FindDomain(request_.uuid));
  return domain_.BackupXml();
}

Status LiveSnapshot::Verify() const {
  ASR_CHECK(guard_->Check());
  if (line_ != nullptr) ASR_CHECK(line_->Check());
  ASR_TRY(const auto job, JobXml());
  if (job && SocketOfBackup(*job) == socket_path_) return {};
  return Fail(JobIsGone(request_.vm_name));
}

Status LiveSnapshot::EndJob() {
  for (OpenedDisk& disk : disks_) {
    disk.changed = {};
    disk.disk.reset();
  }
  if (!is_open_) return {};
  // A job of which nobody knows whether it ended is the guard's.
  ASR_TRY(const auto job, JobXml());
  if (job) ASR_CHECK(EndBackupOfSocket(domain_, socket_path_));
  is_open_ = false;
  return {};
}

void LiveSnapshot::Keep() {
  if (!EndJob()) return;
  DeleteCheckpointsBut(checkpoint_);
  guard_->Dismiss();
}

LiveSnapshot::~LiveSnapshot() {
  if (freeze_began_) static_cast<void>(Thaw());
  if (!is_open_ || !EndJob()) return;
  if (!checkpoint_.empty() && !is_named_) {
    static_cast<void>(domain_.DeleteCheckpoint(checkpoint_));
  }
  guard_->Dismiss();
}

}  // namespace asr
