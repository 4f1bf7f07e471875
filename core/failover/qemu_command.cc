#include "core/failover/qemu_command.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "storage/base/bytes.h"

namespace asr {
namespace {

// A comma ends an option's value, two are one comma.
std::string Escaped(const std::string& text) {
  std::string escaped;
  for (const char byte : text) {
    escaped += byte;
    if (byte == ',') escaped += byte;
  }
  return escaped;
}

std::string Json(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::ignore);
}

// The format is said, never guessed: a guest may write any header to its raw disk. The copy is
// thrown away after the test, so that its writes need not survive a power cut (no-flush).
std::string DiskBackend(const MachineDisk& disk, std::size_t index) {
  const nlohmann::json cache = {{"direct", false}, {"no-flush", true}};
  return Json(
      {{"driver", "raw"},
       {"node-name", fmt::format("{}{}", kDiskNodePrefix, index)},
       {"discard", "unmap"},
       {"cache", cache},
       {"file",
        {{"driver", "file"}, {"filename", disk.path}, {"discard", "unmap"}, {"cache", cache}}}});
}

// Generation 1 has its first four disks on IDE, as on its host. IDE knows no 4 KiB sectors.
// Generation 2 has SCSI on Hyper-V; here its disks are virtio-blk and not AHCI, because kernels
// made for clouds (Debian's linux-image-cloud) have a driver for the one and none for the other.
std::string DiskDevice(const MachineSpec& spec, std::size_t index) {
  constexpr std::size_t kIdePlaces = 4;
  const MachineDisk& disk = spec.disks[index];
  std::string device;
  if (spec.generation == 1 && index < kIdePlaces && disk.logical_sector_bytes == 512) {
    device = fmt::format("ide-hd,bus=ide.{},unit={}", index / 2, index % 2);
  } else {
    device = fmt::format("virtio-blk-pci,logical_block_size={0},physical_block_size={1}",
                         disk.logical_sector_bytes, std::max(disk.logical_sector_bytes, 4096U));
  }
  // A failing disk of this host must stop the guest, where we see it: the guest cannot be blamed.
  device += fmt::format(",drive={}{},rerror=stop,werror=stop", kDiskNodePrefix, index);
  if (index == 0) device += ",bootindex=1";
  return device;
}

// A test must never meet the original on a network. The isolated one is QEMU's own, with its own
// DHCP server and a guest that reaches nothing beyond it; only the port that is asked for sign of
// life can be reached, from this machine alone, by a port that the kernel chooses, until SealGuest
// closes it.
void AddNetwork(std::vector<std::string>& arguments, const MachineSpec& spec) {
  if (!spec.settings.has_network()) {
    arguments.insert(arguments.end(), {"-nic", "none"});
    return;
  }
  std::string backend = fmt::format("user,id={},restrict=on", kNetworkId);
  if (const auto port = spec.settings.sign_of_life.tcp_port; port != 0) {
    backend += fmt::format(",hostfwd=tcp:127.0.0.1:0-:{}", port);
  }
  // As with disks: generation 1 has what systems of its time know, generation 2 virtio.
  const char* card = spec.generation == 1 ? "e1000" : "virtio-net-pci";
  arguments.insert(arguments.end(), {"-netdev", backend, "-device",
                                     fmt::format("{},netdev={},romfile=", card, kNetworkId)});
}

void AddGuestAgent(std::vector<std::string>& arguments, const MachineSpec& spec) {
  if (!spec.settings.sign_of_life.guest_agent) return;
  arguments.insert(arguments.end(),
                   {"-device", "virtio-serial-pci", "-chardev",
                    fmt::format("socket,id=agent0,path={},server=on,wait=off", kAgentSocketName),
                    "-device", "virtserialport,chardev=agent0,name=org.qemu.guest_agent.0"});
}

void AddFirmware(std::vector<std::string>& arguments, const QemuHost& host) {
  const auto add = [&arguments](const char* name, const std::string& path, bool read_only) {
    arguments.emplace_back("-blockdev");
    arguments.push_back(Json({{"driver", "raw"},
                              {"node-name", name},
                              {"read-only", read_only},
                              {"file", {{"driver", "file"}, {"filename", path}}}}));
  };
  add("firmware-code", host.firmware_code, true);
  add("firmware-variables", kFirmwareVariablesName, false);
}

}  // namespace

std::vector<std::string> QemuCommand(const MachineSpec& spec, const QemuHost& host) {
  const bool uefi = spec.generation == 2;
  const std::uint64_t memory_mib =
      DivideRoundingUp<std::uint64_t>(spec.settings.memory_bytes, kMiB);
  std::vector<std::string> arguments = {
      host.program,
      "-name",
      fmt::format("guest={}", Escaped(spec.name)),
      "-machine",
      uefi ? "q35,pflash0=firmware-code,pflash1=firmware-variables" : "pc",
      "-accel",
      host.hardware ? "kvm" : "tcg",
      "-cpu",
      "max",
      "-smp",
      fmt::format("{}", spec.settings.cpu_count),
      "-m",
      fmt::format("{}M", memory_mib),
      "-no-user-config",
      "-nodefaults",
      "-sandbox",
      "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
      "-display",
      "none",
      "-device",
      "VGA",  // Windows does not start without a screen
      // A panic of the guest's kernel stops the machine with a state of its own. A restart is
      // allowed (Windows and some firmware do one), but counted: see WaitForLife.
      "-device",
      "pvpanic",
      "-action",
      "panic=pause,reboot=reset,shutdown=poweroff",
      "-chardev",
      fmt::format("file,id={},path={}", kSerialId, kSerialLogName),
      "-serial",
      fmt::format("chardev:{}", kSerialId),
      "-qmp",
      fmt::format("unix:{},server=on,wait=off", kQmpSocketName),
      "-pidfile",
      kPidFileName,
  };
  AddNetwork(arguments, spec);
  AddGuestAgent(arguments, spec);
  if (uefi) AddFirmware(arguments, host);
  for (std::size_t i = 0; i < spec.disks.size(); ++i) {
    arguments.insert(arguments.end(),
                     {"-blockdev", DiskBackend(spec.disks[i], i), "-device", DiskDevice(spec, i)});
  }
  return arguments;
}

}  // namespace asr
