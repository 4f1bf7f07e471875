#include "core/model/virtual_machine.h"

#include <algorithm>

#include <fmt/format.h>

namespace asr {

std::string_view GuestNetworkName(GuestNetwork network) {
  return network == GuestNetwork::kIsolated ? "isolated" : "none";
}

std::optional<GuestNetwork> ParseGuestNetwork(std::string_view name) {
  if (name == "none") return GuestNetwork::kNone;
  if (name == "isolated") return GuestNetwork::kIsolated;
  return std::nullopt;
}

void TargetSettings::Take(const TargetSettings& other) {
  if (other.cpu_count) cpu_count = other.cpu_count;
  if (other.memory_bytes) memory_bytes = other.memory_bytes;
  if (other.network) network = other.network;
  if (other.sign_of_life) sign_of_life = other.sign_of_life;
  if (other.sign_of_life_wait) sign_of_life_wait = other.sign_of_life_wait;
}

void TargetSettings::Unset(TargetSetting setting) {
  switch (setting) {
    case TargetSetting::kCpus:
      return cpu_count.reset();
    case TargetSetting::kMemory:
      return memory_bytes.reset();
    case TargetSetting::kNetwork:
      return network.reset();
    case TargetSetting::kSignOfLife:
      return sign_of_life.reset();
    case TargetSetting::kSignOfLifeWait:
      return sign_of_life_wait.reset();
  }
}

MachineSettings TargetSettings::AppliedTo(MachineSettings settings) const {
  if (cpu_count) settings.cpu_count = *cpu_count;
  if (memory_bytes) settings.memory_bytes = *memory_bytes;
  if (network) settings.network = *network;
  const std::chrono::seconds wait = sign_of_life_wait.value_or(settings.sign_of_life.wait);
  if (sign_of_life) settings.sign_of_life = *sign_of_life;
  settings.sign_of_life.wait = wait;
  return settings;
}

std::string RefusalReason(const VmDisk& disk) {
  return fmt::format("disk {} cannot be replicated: {} (leave it out: --exclude-disk {})",
                     disk.name.value, disk.refusal, disk.name.value);
}

VirtualMachine WithoutDisks(VirtualMachine vm, const std::vector<DiskName>& disks) {
  std::erase_if(vm.disks, [&](const VmDisk& disk) {
    if (std::ranges::find(disks, disk.name) == disks.end()) return false;
    std::erase(vm.reasons, RefusalReason(disk));
    return true;
  });
  return vm;
}

}  // namespace asr
