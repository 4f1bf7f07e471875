#include "core/jobs/item_snapshot.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/jobs/hosts.h"
#include "core/source/firmware_variables.h"
#include "core/source/folder_snapshot.h"
#include "core/source/libvirt_source.h"
#include "core/source/live_snapshot.h"
#include "core/source/release_tracking.h"
#include "core/source/remote_images.h"
#include "storage/base/stop.h"
#include "storage/base/text.h"

namespace asr {
namespace {

Error DiskSetChanged(const Item& item, const std::string& what) {
  return MakeError(ErrorKind::kState, ErrorCode::kDiskSetChanged,
                   fmt::format("VM {}: {}", item.name, what))
      .WithCause("disks were removed, renamed or made smaller since the VM was protected")
      .WithAction(
          fmt::format("bring the old disks back; or keep the old points and start anew: asr "
                      "disable {0} --keep-data, then asr enable {0} --policy {1}",
                      ShellQuote(item.name), item.policy));
}

Error AnotherVm(const Item& item, const VirtualMachine& vm) {
  return MakeError(ErrorKind::kState, ErrorCode::kDiskSetChanged,
                   fmt::format("host {} has another VM {} now: its UUID is {}, and {} is protected",
                               item.host, vm.name, vm.uuid, item.uuid))
      .WithCause("the VM was undefined, and another one was given its name")
      .WithAction(fmt::format("if it is meant to be protected, keep the old points and start anew: "
                              "asr disable {0} --keep-data, then asr enable {0} --policy {1}",
                              ShellQuote(item.name), item.policy));
}

// In the item's order.
Result<std::vector<VmDisk>> DisksOf(const Item& item, const VirtualMachine& vm) {
  std::vector<VmDisk> disks;
  for (const ItemDisk& wanted : item.disks) {
    const auto found = std::ranges::find(vm.disks, wanted.name, &VmDisk::name);
    if (found == vm.disks.end()) {
      return Fail(DiskSetChanged(item, fmt::format("disk {} is gone", wanted.name.value)));
    }
    if (found->size_bytes != wanted.size_bytes ||
        found->logical_sector_bytes != wanted.logical_sector_bytes) {
      return Fail(DiskSetChanged(
          item, fmt::format("disk {} has {} bytes in sectors of {}, it had {} in sectors of {}",
                            wanted.name.value, found->size_bytes, found->logical_sector_bytes,
                            wanted.size_bytes, wanted.logical_sector_bytes)));
    }
    disks.push_back(*found);
  }
  return disks;
}

// A file of that name on this machine is none of the VM's images.
Result<std::unique_ptr<SourceSnapshot>> OpenRemoteImages(Environment& environment,
                                                         const std::string& uri,
                                                         const VirtualMachine& vm,
                                                         const std::vector<VmDisk>& disks) {
  ASR_TRY(auto images, RemoteImages::Open(environment.clock.Now(),
                                          {.uri = uri, .uuid = vm.uuid, .name = vm.name}, disks));
  images->TakeFirmware(FirmwareOrWarning(environment.fs, images->line(), vm.settings.domain_xml,
                                         vm.name,
                                         [&](auto& why) { environment.progress.Warn(why); }));
  return images;
}

// `uri` of its libvirt; empty: nobody but its images tells whether it runs.
Result<std::unique_ptr<SourceSnapshot>> OpenImages(Environment& environment, const Item& item,
                                                   const std::string& uri, const std::string& uuid,
                                                   const std::vector<VmDisk>& disks) {
  // A pass of hours is not lost because libvirtd is being started anew.
  const auto require_off = [=, &environment, name = item.name]() -> Status {
    constexpr int kMostTries = 30;
    constexpr double kPauseSeconds = 2;
    for (int i = 1; !uri.empty(); ++i) {
      Status off = RequireVmIsOff(uri, uuid, name);
      const bool may_come = !off && off.error().code == ErrorCode::kHostUnreachable;
      if (!may_come || i == kMostTries) return off;
      ASR_CHECK(CheckStop(environment.stop));
      environment.clock.SleepSeconds(kPauseSeconds);
    }
    return {};
  };
  ASR_TRY(auto snapshot, FolderSnapshot::Open(environment.fs, environment.clock.Now(), item.name,
                                              disks, require_off));
  return snapshot;
}

Result<std::unique_ptr<SourceSnapshot>> BeginJob(Environment& environment, const Item& item,
                                                 const VirtualMachine& vm,
                                                 std::vector<VmDisk> disks,
                                                 const SnapshotWish& wish) {
  ASR_TRY(const HostRegistration host, environment.state.FindHost(vm.host));
  ASR_TRY(const auto scratch_directory, environment.state.FindSetting(kScratchDirectorySetting));
  LiveSnapshotRequest request{
      .uri = host.path,
      .uuid = vm.uuid,
      .vm_name = vm.name,
      .item = item.id,
      .disks = std::move(disks),
      .base_checkpoint = wish.base_checkpoint,
      .reads_all = wish.reads_all,
      .requires_base = wish.requires_base,
      .app_consistent = wish.app_consistent,
      .scratch_directory = scratch_directory.value_or(""),
      .program = environment.program,
      .state_directory = environment.state_directory,
      .warn = [&environment](const std::string& text) { environment.progress.Warn(text); }};
  ASR_TRY(auto snapshot,
          LiveSnapshot::Begin(environment.fs, environment.clock, std::move(request)));
  return snapshot;
}

}  // namespace

Result<VirtualMachine> FindSource(Environment& environment, const Item& item) {
  ASR_TRY(VirtualMachine found, FindVm(environment, item.host + "/" + item.name));
  if (!item.uuid.empty() && !found.uuid.empty() && item.uuid != found.uuid) {
    return Fail(AnotherVm(item, found));
  }
  std::vector<DiskName> others;
  for (const VmDisk& disk : found.disks) {
    const bool is_replicated =
        std::ranges::find(item.disks, disk.name, &ItemDisk::name) != item.disks.end();
    if (!is_replicated && !disk.refusal.empty()) others.push_back(disk.name);
  }
  others.insert(others.end(), item.excluded_disks.begin(), item.excluded_disks.end());
  VirtualMachine vm = WithoutDisks(std::move(found), others);
  if (vm.protectable()) return vm;
  // In use comes first: what else is wrong may come from that.
  if (vm.in_use) return Fail(Error(*vm.in_use).WithContext(fmt::format("VM {}", item.name)));
  Error error = MakeError(ErrorKind::kState, ErrorCode::kVmNotProtectable,
                          fmt::format("the disks of VM {} cannot be read now", item.name));
  error.causes = vm.reasons;
  error.action = "mend this, then replicate again; the recovery points are safe";
  return Fail(std::move(error));
}

bool HasImagesOf(const RecoveryPoint& point, const VirtualMachine& vm) {
  return std::ranges::all_of(point.disks, [&](const PointDisk& disk) {
    const auto found = std::ranges::find(vm.disks, disk.name, &VmDisk::name);
    return found != vm.disks.end() && found->path == disk.image;
  });
}

Result<std::unique_ptr<SourceSnapshot>> SnapshotOf(Environment& environment, const Item& item,
                                                   const VirtualMachine& vm,
                                                   const SnapshotWish& wish) {
  ASR_TRY(auto disks, DisksOf(item, vm));
  if (vm.is_live()) return BeginJob(environment, item, vm, std::move(disks), wish);
  std::string uri;
  if (!vm.uuid.empty()) {
    ASR_TRY(const HostRegistration host, environment.state.FindHost(vm.host));
    ASR_TRY(const LibvirtUri place, ParseLibvirtUri(host.path));
    if (place.ssh) return OpenRemoteImages(environment, host.path, vm, disks);
    uri = host.path;
  }
  ASR_TRY(auto images, OpenImages(environment, item, uri, vm.uuid, disks));
  images->TakeFirmware(FirmwareOrWarning(environment.fs, nullptr, vm.settings.domain_xml, vm.name,
                                         [&](auto& why) { environment.progress.Warn(why); }));
  return images;
}

Status ReleaseTracking(Environment& environment, const Item& item) {
  if (item.uuid.empty()) return {};
  const auto host = environment.state.FindHost(item.host);
  if (!host && IsNotFound(host.error())) return {};
  ASR_CHECK(host);
  return ReleaseTracking(host->path, item.uuid, item.id);
}

Result<std::vector<std::uint64_t>> EstimateReads(Environment& environment, const Item& item,
                                                 const VirtualMachine& vm) {
  ASR_TRY(const auto disks, DisksOf(item, vm));
  std::vector<std::uint64_t> bytes;
  // A hypervisor tells.
  if (!vm.uuid.empty()) {
    for (const VmDisk& disk : disks) bytes.push_back(disk.allocated_bytes);
    return bytes;
  }
  ASR_TRY(const auto snapshot, OpenImages(environment, item, "", "", disks));
  for (const SourceSnapshot::OpenedDisk& disk : snapshot->disks()) {
    ASR_TRY(const std::uint64_t allocated_bytes, AllocatedBytes(*disk.disk));
    bytes.push_back(allocated_bytes);
  }
  return bytes;
}

}  // namespace asr
