// The file in which a hypervisor keeps what a UEFI firmware remembers.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "core/model/point.h"
#include "core/source/ssh_line.h"
#include "storage/fs/file_system.h"

namespace asr {

// What libvirt's description names, of this machine, or of the one that `line` leads to (null: this
// one). None if the VM has BIOS, or was never started. What cannot be read, is over
// 64 MiB or changes all the time is left out of the point, and `warn` is told why.
[[nodiscard]] std::optional<FirmwareVariables> FirmwareOrWarning(
    FileSystem& fs, SshLine* line, const std::string& domain_xml, const std::string& vm_name,
    const std::function<void(const std::string&)>& warn);

}  // namespace asr
