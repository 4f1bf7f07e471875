#include "core/source/release_tracking.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "core/source/domain_xml.h"
#include "core/source/libvirt_host.h"
#include "core/source/ssh_line.h"
#include "storage/base/child_process.h"
#include "storage/base/text.h"
#include "storage/image/nbd_server.h"

namespace asr {
namespace {

constexpr std::size_t kIdDigits = 8;

constexpr const char* kQemuImg = "qemu-img";

struct Removal {
  int exit_code = 0;
  std::string said;
};

Result<Removal> RemoveBitmap(const LibvirtUri& place, const std::vector<std::string>& words) {
  constexpr std::chrono::seconds kLimit{60};
  if (place.ssh) {
    ASR_TRY(const auto line, SshLine::Start(*place.ssh, ""));
    ASR_CHECK(line->WaitUntilReady());
    std::string command = kQemuImg;
    for (const std::string& word : words) command += " " + ShellQuote(word);
    ASR_TRY(SshLine::Answer answer, line->Run(command + " 2>&1"));
    return Removal{answer.exit_code, std::move(answer.output)};
  }
  ASR_TRY(const std::string program, FindQemuTool(kQemuImg));
  std::vector<std::string> arguments = {program};
  arguments.insert(arguments.end(), words.begin(), words.end());
  ASR_TRY(ChildProcess process, ChildProcess::Start(arguments, {}));
  const int exit_code = process.Wait(kLimit);
  return Removal{exit_code, process.ErrorText()};
}

// libvirt deletes checkpoints of VMs that run; of one that is off, QEMU's tool has the images.
Status RemoveBitmaps(const LibvirtUri& place, const LibvirtDomain& domain,
                     const std::string& name) {
  ASR_TRY(const std::string xml, domain.Xml());
  ASR_TRY(const DomainDescription description, ParseDomainXml(xml));
  for (const VmDisk& disk : description.disks) {
    if (disk.format != "qcow2") continue;
    ASR_TRY(const Removal removal,
            RemoveBitmap(place, {"bitmap", "--remove", "-f", "qcow2", disk.path, name}));
    // Of a shell, for a program that is not there; it says "not found", too.
    const bool has_tool = removal.exit_code != kNoSuchProgram;
    const bool is_gone = has_tool && removal.said.find("not found") != std::string::npos;
    if (removal.exit_code == 0 || is_gone) continue;
    if (!has_tool) {
      return Fail(MakeError(ErrorKind::kUnsupported, ErrorCode::kHostUnreachable,
                            fmt::format("qemu-img, which takes bitmap {} out of {}, is not there",
                                        name, disk.path))
                      .WithAction("install it on the host (apt install qemu-utils), or start the "
                                  "VM; then run the same command again"));
    }
    return Fail(
        MakeError(ErrorKind::kIo, ErrorCode::kSnapshotFailed,
                  fmt::format("cannot remove bitmap {} from {}: {}", name, disk.path, removal.said))
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
  ASR_TRY(const LibvirtUri place, ParseLibvirtUri(uri));
  ASR_TRY(const LibvirtHost host, LibvirtHost::Connect(uri));
  auto domain = host.FindDomain(uuid);
  if (!domain && IsNotFound(domain.error())) return {};
  ASR_CHECK(domain);
  ASR_TRY(const auto checkpoints, domain->ListCheckpoints());
  for (const std::string& name : checkpoints) {
    if (!name.starts_with(CheckpointPrefix(item))) continue;
    ASR_TRY(const VmPowerState state, domain->State());
    if (state == VmPowerState::kOff) {
      ASR_CHECK(RemoveBitmaps(place, *domain, name));
      ASR_CHECK(domain->ForgetCheckpoint(name));
    } else {
      ASR_CHECK(domain->DeleteCheckpoint(name));
    }
  }
  return {};
}

}  // namespace asr
