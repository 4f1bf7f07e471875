// The command line of a guest in QEMU. Pure: what it says depends on nothing but its arguments.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/model/virtual_machine.h"

namespace asr {

struct MachineDisk {
  std::string path;  // a raw file, absolute
  std::uint32_t logical_sector_bytes = 512;
  std::string bus = {};  // as in VmDisk; empty: as the VM's generation has it
};

// A restored VM, ready to be started.
struct MachineSpec {
  std::string name;
  std::string directory;  // absolute; exists; what the machine needs and writes goes there
  MachineSettings settings;
  int generation = 1;                   // 1 = BIOS, 2 = UEFI; decided, unlike settings.generation
  std::vector<MachineDisk> disks;       // the first is booted
  MachineHardware hardware = {};        // followed as far as QEMU has it
  std::string firmware_variables = {};  // raw content; empty: those of a new machine
};

// What stands in a machine's directory. The names are relative: QEMU runs in there, which keeps
// commas out of its options and its socket's path short.
inline constexpr const char* kQmpSocketName = "qmp.sock";
inline constexpr const char* kAgentSocketName = "agent.sock";
inline constexpr const char* kScreenshotName = "screen.png";
inline constexpr const char* kSerialLogName = "serial.log";
inline constexpr const char* kQemuLogName = "qemu.log";
inline constexpr const char* kPidFileName = "qemu.pid";
inline constexpr const char* kFirmwareVariablesName = "firmware-variables.fd";

// What QEMU's network and its log of the first serial port are called.
inline constexpr const char* kNetworkId = "net0";
inline constexpr const char* kSerialId = "serial0";

// Names of the disks in QEMU's statistics begin with this.
inline constexpr const char* kDiskNodePrefix = "disk";

struct QemuHost {
  std::string program;        // path of qemu-system-x86_64
  bool hardware = false;      // run the guest by KVM, not by emulation
  std::string firmware_code;  // path of UEFI's code; generation 2 only
};

// Program and arguments. QEMU 6.0 or newer understands them.
[[nodiscard]] std::vector<std::string> QemuCommand(const MachineSpec& spec, const QemuHost& host);

}  // namespace asr
