// vm.json: what an administrator writes beside a VM's images, where they cannot say it themselves.
//
//   {"name": "web", "generation": 1, "cpuCount": 2, "memory": "2GiB",
//    "disks": [{"path": "root.img", "format": "raw"}],
//    "signOfLife": {"serialText": "login:", "waitSeconds": 60}, "network": "isolated"}
//
// In place of "serialText" may stand "tcpPort": 22, or "guestAgent": true.
// Everything is optional. "memoryBytes" may stand in place of "memory". The disks come in boot
// order; a path is relative to the VM's folder and stays inside it.
#pragma once

#include <string>
#include <vector>

#include "core/model/virtual_machine.h"
#include "storage/base/result.h"

namespace asr {

inline constexpr const char* kVmDescriptionFile = "vm.json";

struct DescribedDisk {
  std::string path;    // relative to the VM's folder
  std::string format;  // "raw", "vhd", "vhdx", "qcow2"; empty: by the name's ending
};

struct VmDescription {
  std::string name;  // empty: the folder's
  MachineSettings settings;
  std::vector<DescribedDisk> disks;
  std::vector<std::string> warnings;  // keys that this version does not know
};

// kVmDescription, naming the key, for anything known that has the wrong type or is out of range.
[[nodiscard]] Result<VmDescription> ParseVmDescription(const std::string& text);

}  // namespace asr
