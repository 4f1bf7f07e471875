// A virtual machine as its host describes it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
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
  std::uint32_t logical_sector_bytes = 512;
  bool operator==(const VmDisk&) const = default;
};

// How a boot of the VM proves that it lives. Without a text: still running and reading its disk
// after `wait`.
struct SignOfLife {
  std::string serial_text;  // looked for in what the guest writes to its first serial port
  std::chrono::seconds wait{120};
  bool operator==(const SignOfLife&) const = default;
};

// What is needed to start the VM elsewhere; kept with every recovery point.
struct MachineSettings {
  int generation =
      0;  // 1 = BIOS (pc, IDE), 2 = UEFI (q35, OVMF), 0 = by the boot disk's partitions
  int cpu_count = 1;
  std::uint64_t memory_bytes = 1ULL << 30;
  SignOfLife sign_of_life;
  bool operator==(const MachineSettings&) const = default;
};

enum class VmPowerState : std::uint8_t { kOff, kRunning, kPaused, kUnknown };

struct VirtualMachine {
  std::string name;
  std::string host;
  VmPowerState power_state = VmPowerState::kOff;
  MachineSettings settings;
  std::vector<VmDisk> disks;          // ordered; the first is the boot disk
  std::vector<std::string> reasons;   // why it cannot be protected; empty: it can
  std::optional<Error> in_use;        // the reason that passes by itself: somebody writes to a disk
  std::vector<std::string> warnings;  // what was odd in its description, and went without
  [[nodiscard]] bool protectable() const { return reasons.empty(); }
};

}  // namespace asr
