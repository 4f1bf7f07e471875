#include "core/source/release_tracking.h"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "core/source/domain_xml.h"
#include "core/source/libvirt_host.h"
#include "storage/base/child_process.h"
#include "storage/image/nbd_server.h"

namespace asr {
namespace {

constexpr std::size_t kIdDigits = 8;

// libvirt deletes checkpoints of VMs that run; of one that is off, QEMU's tool has the images.
Status RemoveBitmaps(const LibvirtDomain& domain, const std::string& name) {
  constexpr std::chrono::seconds kLimit{60};
  ASR_TRY(const std::string xml, domain.Xml());
  ASR_TRY(const DomainDescription description, ParseDomainXml(xml));
  ASR_TRY(const std::string program, FindQemuTool("qemu-img"));
  for (const VmDisk& disk : description.disks) {
    if (disk.format != "qcow2") continue;
    ASR_TRY(
        ChildProcess process,
        ChildProcess::Start({program, "bitmap", "--remove", "-f", "qcow2", disk.path, name}, {}));
    if (process.Wait(kLimit) == 0) continue;
    const std::string said = process.ErrorText();
    if (said.find("not found") != std::string::npos) continue;
    return Fail(MakeError(ErrorKind::kIo, ErrorCode::kSnapshotFailed,
                          fmt::format("cannot remove bitmap {} from {}: {}", name, disk.path, said))
                    .WithAction("start the VM, then run the same command again")
                    .Retryable());
  }
  return {};
}

}  // namespace

std::string CheckpointPrefix(const ItemId& item) {
  const std::size_t digits = std::min(kIdDigits, item.value.size());
  return fmt::format("asr-{}-", item.value.substr(item.value.size() - digits));
}

Status ReleaseTracking(const std::string& uri, const std::string& uuid, const ItemId& item) {
  ASR_TRY(const LibvirtHost host, LibvirtHost::Connect(uri));
  auto domain = host.FindDomain(uuid);
  if (!domain && IsNotFound(domain.error())) return {};
  ASR_CHECK(domain);
  ASR_TRY(const auto checkpoints, domain->ListCheckpoints());
  for (const std::string& name : checkpoints) {
    if (!name.starts_with(CheckpointPrefix(item))) continue;
    ASR_TRY(const VmPowerState state, domain->State());
    if (state == VmPowerState::kOff) {
      ASR_CHECK(RemoveBitmaps(*domain, name));
      ASR_CHECK(domain->ForgetCheckpoint(name));
    } else {
      ASR_CHECK(domain->DeleteCheckpoint(name));
    }
  }
  return {};
}

}  // namespace asr
