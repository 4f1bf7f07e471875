// VMs of a libvirt host: what can be protected.
#pragma once

#include <string>
#include <vector>

#include "core/model/virtual_machine.h"
#include "core/source/folder_source.h"
#include "storage/base/result.h"

namespace asr {

struct LibvirtSource {
  std::string name;  // of the host, on this machine
  std::string uri;
};

// All VMs of the host, by name. Errors are those of LibvirtHost::Connect.
[[nodiscard]] Result<std::vector<VirtualMachine>> ListLibvirtVms(const LibvirtSource& host);

[[nodiscard]] Result<std::vector<std::string>> ListLibvirtVmNames(const LibvirtSource& host);

// The VM of that name, if there is one, and the names of all.
[[nodiscard]] Result<NamedVms> FindLibvirtVms(const LibvirtSource& host, const std::string& name);

// kBusy (kVmStateChanged, retryable) if the VM runs, or its host does not say that it does not.
[[nodiscard]] Status RequireVmIsOff(const std::string& uri, const std::string& uuid,
                                    const std::string& name);

}  // namespace asr
