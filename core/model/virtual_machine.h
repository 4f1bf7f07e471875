// A virtual machine as its host describes it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/model/ids.h"
#include "storage/base/error.h"

namespace asr {

struct VmDisk {
  DiskName name;
  std::string path;      // absolute, of the image (of a chain: its leaf)
  std::string folder{};  // all files of the chain lie below it
  std::string format;    // "raw", "vhd", "vhdx", "qcow2"; empty if unreadable
  std::uint64_t size_bytes = 0;
  std::uint64_t allocated_bytes = 0;  // of a hypervisor's disk, on its host; about what is read
  std::uint32_t logical_sector_bytes = 512;
  std::string bus{};  // by which the guest sees it, in libvirt's words ("virtio", "scsi", "sata",
                      // "ide", "usb"); empty: its host does not say
  std::string refusal{};  // why it cannot be replicated; empty: it can
  bool operator==(const VmDisk&) const = default;
};

struct NetworkCard {
  std::string mac;      // "52:54:00:12:34:56"
  std::string model;    // "virtio", "e1000"; empty: the hypervisor's default
  std::string network;  // what it is connected to: "network default", "bridge br0", "user"
  bool operator==(const NetworkCard&) const = default;
};

// What a hypervisor says of the machine, in libvirt's words; all of it is empty for a VM that is
// only a folder of images.
struct MachineHardware {
  std::string machine_type;  // "pc-q35-7.2"
  std::string scsi_model;    // of the controller of its SCSI disks: "virtio-scsi", "lsilogic"
  std::vector<NetworkCard> cards;
  bool operator==(const MachineHardware&) const = default;
};

inline constexpr std::uint64_t kHighestTcpPort = 65535;

// How a boot of the VM proves that it lives: one of these, or none of them, then it must still run
// and have read its disk after `wait`.
struct SignOfLife {
  std::string serial_text;  // looked for in what the guest writes to its first serial port
  std::chrono::seconds wait{120};
  std::uint16_t tcp_port = 0;  // of the guest; it answers there
  bool guest_agent = false;    // the QEMU guest agent answers

  enum class Kind : std::uint8_t { kDisk, kSerialText, kTcpPort, kGuestAgent };
  [[nodiscard]] Kind kind() const {
    if (!serial_text.empty()) return Kind::kSerialText;
    if (tcp_port != 0) return Kind::kTcpPort;
    return guest_agent ? Kind::kGuestAgent : Kind::kDisk;
  }
  bool operator==(const SignOfLife&) const = default;
};

// What a test's guest is connected to: nothing, or a network that ends in QEMU.
enum class GuestNetwork : std::uint8_t { kNone, kIsolated };
// "none", "isolated". Parse returns nullopt for any other word.
[[nodiscard]] std::string_view GuestNetworkName(GuestNetwork network);
[[nodiscard]] std::optional<GuestNetwork> ParseGuestNetwork(std::string_view name);

// What is needed to start the VM elsewhere; kept with every recovery point.
struct MachineSettings {
  int generation = 0;  // 1 = BIOS, 2 = UEFI, 0 = by the boot disk's partitions
  int cpu_count = 1;
  std::uint64_t memory_bytes = 1ULL << 30;
  SignOfLife sign_of_life;
  GuestNetwork network = GuestNetwork::kNone;
  // All that libvirt knows of the VM, as it would start it; empty: another host's VM.
  std::string domain_xml = {};
  // Whatever `network` says, a TCP port can only be reached over one.
  [[nodiscard]] bool has_network() const {
    return network == GuestNetwork::kIsolated || sign_of_life.tcp_port != 0;
  }
  bool operator==(const MachineSettings&) const = default;
};

inline constexpr int kMostCpus = 240;  // of a Hyper-V VM of generation 2
inline constexpr std::uint64_t kLeastMemoryBytes = std::uint64_t{32} << 20;
inline constexpr std::uint64_t kMostMemoryBytes = std::uint64_t{16} << 40;

enum class TargetSetting : std::uint8_t { kCpus, kMemory, kNetwork, kSignOfLife, kSignOfLifeWait };

// What was set for the VM at the target, in place of what its host says. Parts that were not set
// follow the host.
struct TargetSettings {
  std::optional<int> cpu_count = {};
  std::optional<std::uint64_t> memory_bytes = {};
  std::optional<GuestNetwork> network = {};
  std::optional<SignOfLife> sign_of_life = {};  // without its wait
  std::optional<std::chrono::seconds> sign_of_life_wait = {};
  bool operator==(const TargetSettings&) const = default;

  // The parts that `other` sets replace those here.
  void Take(const TargetSettings& other);
  // It follows the host again.
  void Unset(TargetSetting setting);
  [[nodiscard]] MachineSettings AppliedTo(MachineSettings settings) const;
};

enum class VmPowerState : std::uint8_t { kOff, kRunning, kPaused, kUnknown };

struct VirtualMachine {
  std::string name;
  std::string host;
  std::string uuid{};  // by which its hypervisor knows it; empty: its images are all there is
  VmPowerState power_state = VmPowerState::kOff;
  MachineSettings settings;
  MachineHardware hardware{};
  bool has_guest_agent = false;       // a channel for it; of a VM that runs: the agent has it open
  std::vector<VmDisk> disks;          // ordered; the first is the boot disk
  std::vector<std::string> reasons;   // why it cannot be protected; empty: it can
  std::optional<Error> in_use;        // the reason that passes by itself: somebody writes to a disk
  std::vector<std::string> warnings;  // what was odd in its description, and went without
  [[nodiscard]] bool protectable() const { return reasons.empty(); }
  // A hypervisor has its disks open.
  [[nodiscard]] bool is_live() const { return !uuid.empty() && power_state != VmPowerState::kOff; }
};

// The VM without these disks, and without what they alone are the reason for.
[[nodiscard]] VirtualMachine WithoutDisks(VirtualMachine vm, const std::vector<DiskName>& disks);
// How a disk that cannot be replicated is named in VirtualMachine::reasons.
[[nodiscard]] std::string RefusalReason(const VmDisk& disk);

}  // namespace asr
