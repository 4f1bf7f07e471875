#include "core/jobs/check.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/failover/boot_disk.h"
#include "core/model/duration.h"
#include "core/vault/layout.h"
#include "storage/base/text.h"
#include "storage/blob/blob_name.h"

namespace asr {
namespace {

using Verdict = CheckResult::Verdict;

constexpr std::uint64_t kLargestDiskBytes = 64 * kTiB;  // [MS-VHDX] 2.6.2.2
// Azure Site Recovery support matrix for Hyper-V: data disks, and the OS disk of generation 1.
constexpr std::uint64_t kLargestAzureDiskBytes = 4095 * kGiB;
constexpr std::uint64_t kLargestAzureBiosBootBytes = 2048 * kGiB;

// A page blob holds 8 TiB; the replica is the disk in whole MiB, and a footer.
constexpr std::uint64_t kLargestReplicaOnAzureBytes = 8 * kTiB - kMiB;

std::string SizeText(std::uint64_t bytes) {
  if (bytes < kGiB) return fmt::format("{} MiB", DivideRoundingUp(bytes, kMiB));
  if (bytes < kTiB) {
    return fmt::format("{:.1f} GiB", static_cast<double>(bytes) / static_cast<double>(kGiB));
  }
  return fmt::format("{:.1f} TiB", static_cast<double>(bytes) / static_cast<double>(kTiB));
}

CheckResult CheckDiskSize(const VmDisk& disk, bool is_bios_boot, bool is_on_azure) {
  const std::string name = fmt::format("Disk {}: size", disk.name.value);
  if (disk.size_bytes > kLargestDiskBytes) {
    return {
        name, Verdict::kFailed,
        fmt::format("{}; the limit is {}", SizeText(disk.size_bytes), SizeText(kLargestDiskBytes))};
  }
  if (is_on_azure && disk.size_bytes > kLargestReplicaOnAzureBytes) {
    return {name, Verdict::kFailed,
            fmt::format("{}; a vault on Azure holds disks of less than {}",
                        SizeText(disk.size_bytes), SizeText(8 * kTiB))};
  }
  const std::uint64_t azure_limit =
      is_bios_boot ? kLargestAzureBiosBootBytes : kLargestAzureDiskBytes;
  if (disk.size_bytes > azure_limit) {
    return {name, Verdict::kWarning,
            fmt::format("{}; it could not fail over to Azure, whose limit is {}",
                        SizeText(disk.size_bytes), SizeText(azure_limit))};
  }
  return {name, Verdict::kPassed,
          fmt::format("{} (limit {})", SizeText(disk.size_bytes),
                      SizeText(is_on_azure ? 8 * kTiB : kLargestDiskBytes))};
}

CheckResult CheckGuestAgent(const VirtualMachine& vm) {
  const std::string name = "Policy: app-consistent points";
  if (vm.uuid.empty()) {
    return {name, Verdict::kWarning,
            "none will be made: the VMs of a folder are off, and their points are as consistent as "
            "a shut-down VM"};
  }
  if (vm.has_guest_agent) {
    // Of a VM that is off, only the channel can be told.
    return {name, Verdict::kPassed,
            vm.is_live() ? "the guest agent is connected" : "the VM has a channel for its agent"};
  }
  return {name, Verdict::kWarning,
          "no guest agent is connected: points will be crash-consistent until qemu-guest-agent "
          "runs in the guest, on a channel of the VM named org.qemu.guest_agent.0"};
}

void CheckPolicy(const VirtualMachine& vm, const Policy& policy,
                 std::vector<CheckResult>& results) {
  results.push_back(
      {"Policy", Verdict::kPassed,
       fmt::format("{}: every {}, kept {}", policy.name, FormatDuration(policy.frequency),
                   FormatRetention(policy.retention))});
  if (policy.app_consistent.count() > 0) results.push_back(CheckGuestAgent(vm));
  if (policy.start != "now") {
    results.push_back({"Policy: start", Verdict::kWarning,
                       fmt::format("{}, but asr enable begins when it is run", policy.start)});
  }
}

// A vault's blobs are named after disks; a name may be too long for that.
CheckResult CheckName(const VmDisk& disk) {
  const std::string name = fmt::format("Disk {}: name", disk.name.value);
  const ItemId longest{Slug(std::string(100, 'x')) + "-00000000"};
  const Status fits = CheckBlobName(layout::DigestBlob(longest, disk.name));
  if (fits) return {name, Verdict::kPassed, "fits into the vault"};
  return {name, Verdict::kFailed, "too long for the vault: give the image a shorter name"};
}

CheckResult CheckSectors(const VmDisk& disk) {
  const std::string name = fmt::format("Disk {}: sectors", disk.name.value);
  const std::string found = fmt::format("{} bytes", disk.logical_sector_bytes);
  if (disk.logical_sector_bytes == 512) return {name, Verdict::kPassed, found};
  return {name, Verdict::kWarning, found + "; Azure takes disks with 512-byte sectors only"};
}

}  // namespace

Result<std::vector<CheckResult>> CheckVm(Environment& environment, Vault& vault,
                                         const VirtualMachine& vm,
                                         const std::optional<Policy>& policy) {
  std::vector<CheckResult> results;
  for (const std::string& reason : vm.reasons) {
    results.push_back({"Virtual machine", Verdict::kFailed, reason});
  }
  if (vm.protectable()) {
    results.push_back({"Virtual machine", Verdict::kPassed,
                       fmt::format("{} disk(s), all readable", vm.disks.size())});
  }
  for (const std::string& warning : vm.warnings) {
    results.push_back({"Virtual machine", Verdict::kWarning, warning});
  }
  results.push_back({"Vault", Verdict::kPassed, vault.store().Description()});
  if (policy) CheckPolicy(vm, *policy, results);
  const bool is_on_azure = vault.is_on_azure();
  for (const VmDisk& disk : vm.disks) {
    if (disk.size_bytes == 0) continue;  // unreadable: named above
    const bool is_boot = &disk == &vm.disks.front();
    results.push_back(CheckDiskSize(disk, is_boot && vm.settings.generation == 1, is_on_azure));
    results.push_back(CheckSectors(disk));
    results.push_back(CheckName(disk));
  }
  if (vm.protectable() && vm.settings.generation == 0) {
    const VmDisk& boot = vm.disks.front();
    ASR_TRY(const auto disk, OpenDisk(environment.fs, boot.path, boot.format, boot.folder));
    ASR_TRY(const BootDisk found, DetectBootDisk(*disk));
    results.push_back({fmt::format("Disk {}: boot", boot.name.value),
                       found.generation == 0 ? Verdict::kWarning : Verdict::kPassed,
                       found.generation == 0
                           ? found.detail
                           : fmt::format("generation {}: {}", found.generation, found.detail)});
  }
  return results;
}

Status RequirePassed(const VirtualMachine& vm, const std::vector<CheckResult>& results) {
  Error error = MakeError(ErrorKind::kUnsupported, ErrorCode::kVmNotProtectable,
                          fmt::format("VM {} cannot be protected", vm.name));
  for (const CheckResult& result : results) {
    if (result.verdict != Verdict::kFailed) continue;
    error.causes.push_back(fmt::format("{}: {}", result.name, result.detail));
  }
  if (error.causes.empty()) return {};
  error.action = fmt::format("mend this, then look again: asr check {}", ShellQuote(vm.name));
  return Fail(std::move(error));
}

}  // namespace asr
