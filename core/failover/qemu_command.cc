#include "core/failover/qemu_command.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>
#include <utility>

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

bool IsQ35(const MachineSpec& spec) {
  const std::string& type = spec.hardware.machine_type;
  if (type.find("q35") != std::string::npos) return true;
  return spec.generation == 2 && !type.starts_with("pc");
}

// libvirt's names of them (https://libvirt.org/formatdomain.html#controllers).
std::string_view ScsiController(std::string_view model) {
  if (model == "lsilogic") return "lsi53c895a";
  if (model == "lsisas1068") return "mptsas1068";
  if (model == "lsisas1078") return "megasas";
  if (model == "vmpvscsi") return "pvscsi";
  if (model == "am53c974" || model == "dc390") return "am53c974";
  return "virtio-scsi-pci";
}

// The VM's disks, each on the bus that its guest knows it by: its drivers, and the names in its
// boot loader, may know no other. Where the host says nothing of the machine, generation 1 has its
// first four on IDE, as Hyper-V has them; generation 2 has SCSI there, and virtio-blk here and not
// AHCI, because kernels made for clouds (Debian's linux-image-cloud) have a driver for the one and
// none for the other.
class DiskPlaces {
 public:
  explicit DiskPlaces(const MachineSpec& spec) : spec_(spec) {}

  // Devices in the order in which QEMU has to be told of them.
  std::vector<std::string> Devices() {
    for (std::size_t i = 0; i < spec_.disks.size(); ++i) {
      // A failing disk of this host must stop the guest, where we see it: the guest cannot be
      // blamed.
      std::string device =
          fmt::format("{},drive={}{},rerror=stop,werror=stop", Place(i), kDiskNodePrefix, i);
      if (i == 0) device += ",bootindex=1";
      devices_.push_back(std::move(device));
    }
    return std::move(devices_);
  }

 private:
  static constexpr std::size_t kIdePlaces = 4;
  static constexpr std::size_t kPlacesOfController = 6;  // AHCI's; an old SCSI has 7

  std::string Place(std::size_t index) {
    const MachineDisk& disk = spec_.disks[index];
    const std::string sectors =
        fmt::format("logical_block_size={0},physical_block_size={1}", disk.logical_sector_bytes,
                    std::max(disk.logical_sector_bytes, 4096U));
    if (IsLikeHyperV(index)) return fmt::format("ide-hd,bus=ide.{},unit={}", index / 2, index % 2);
    if (disk.bus == "scsi") {
      const std::size_t place = NextOn("scsi", ScsiController(spec_.hardware.scsi_model), scsi_);
      return fmt::format("scsi-hd,bus=scsi{}.0,scsi-id={},{}", place / kPlacesOfController,
                         place % kPlacesOfController, sectors);
    }
    if (disk.bus == "usb") {
      if (!std::exchange(has_usb_, true)) devices_.emplace_back("qemu-xhci,id=usb0");
      return "usb-storage,bus=usb0.0," + sectors;
    }
    // ATA disks have sectors of 512 bytes.
    const bool is_ata = disk.bus == "ide" || disk.bus == "sata";
    if (!is_ata || disk.logical_sector_bytes != 512) return "virtio-blk-pci," + sectors;
    // A q35 has no IDE.
    if (disk.bus == "sata" || IsQ35(spec_) || ide_ == kIdePlaces) {
      const std::size_t place = NextOn("sata", "ich9-ahci", sata_);
      return fmt::format("ide-hd,bus=sata{}.{}", place / kPlacesOfController,
                         place % kPlacesOfController);
    }
    const std::size_t place = ide_++;
    return fmt::format("ide-hd,bus=ide.{},unit={}", place / 2, place % 2);
  }

  // A disk of which the host says nothing, in a machine of which it says something, was plugged in
  // while the VM ran, and is no such disk.
  [[nodiscard]] bool IsLikeHyperV(std::size_t index) const {
    const MachineDisk& disk = spec_.disks[index];
    return spec_.hardware.machine_type.empty() && disk.bus.empty() && spec_.generation == 1 &&
           index < kIdePlaces && disk.logical_sector_bytes == 512;
  }

  std::size_t NextOn(std::string_view id, std::string_view controller, std::size_t& count) {
    if (count % kPlacesOfController == 0) {
      devices_.push_back(fmt::format("{},id={}{}", controller, id, count / kPlacesOfController));
    }
    return count++;
  }

  const MachineSpec& spec_;
  std::vector<std::string> devices_;
  std::size_t ide_ = 0;
  std::size_t scsi_ = 0;
  std::size_t sata_ = 0;
  bool has_usb_ = false;
};

// As with disks: without a word of the host, generation 1 has what systems of its time know,
// generation 2 virtio. A model that QEMU has not goes without, too.
std::string CardDevice(const MachineSpec& spec, const NetworkCard& card, const std::string& id) {
  constexpr std::array<std::string_view, 6> kModels = {"e1000",   "e1000e", "rtl8139",
                                                       "vmxnet3", "pcnet",  "ne2k_pci"};
  std::string device = spec.generation == 1 ? "e1000" : "virtio-net-pci";
  if (card.model.starts_with("virtio")) device = "virtio-net-pci";
  if (std::ranges::find(kModels, card.model) != kModels.end()) device = card.model;
  device += fmt::format(",netdev={},romfile=", id);
  // A guest may know its card by it. No other machine meets it: each card has a network of its own.
  constexpr std::size_t kMacLetters = 17;
  const bool is_mac = card.mac.size() == kMacLetters &&
                      card.mac.find_first_not_of("0123456789abcdefABCDEF:") == std::string::npos;
  if (is_mac) device += ",mac=" + card.mac;
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
  constexpr std::size_t kMostCards = 8;
  std::vector<NetworkCard> cards = spec.hardware.cards;
  // The VM may have none, and the test was asked for one.
  cards.resize(std::clamp<std::size_t>(cards.size(), 1, kMostCards));
  for (std::size_t i = 0; i < cards.size(); ++i) {
    const std::string id = i == 0 ? kNetworkId : fmt::format("{}-{}", kNetworkId, i);
    std::string backend = fmt::format("user,id={},restrict=on", id);
    const auto port = spec.settings.sign_of_life.tcp_port;
    if (i == 0 && port != 0) backend += fmt::format(",hostfwd=tcp:127.0.0.1:0-:{}", port);
    arguments.insert(arguments.end(),
                     {"-netdev", backend, "-device", CardDevice(spec, cards[i], id)});
  }
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
      fmt::format("{}{}", IsQ35(spec) ? "q35" : "pc",
                  uefi ? ",pflash0=firmware-code,pflash1=firmware-variables" : ""),
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
    arguments.insert(arguments.end(), {"-blockdev", DiskBackend(spec.disks[i], i)});
  }
  for (std::string& device : DiskPlaces(spec).Devices()) {
    arguments.insert(arguments.end(), {"-device", std::move(device)});
  }
  return arguments;
}

}  // namespace asr
