// Hosts and their VMs: what can be protected.
#pragma once

#include <string>
#include <vector>

#include "core/jobs/environment.h"
#include "core/model/virtual_machine.h"

namespace asr {

// HostRegistration::kind of hosts that libvirt manages.
inline constexpr const char* kLibvirtKind = "libvirt";

struct VmName {
  std::string host;
  std::string name;
};

// Registers a folder host. kNotFound if there is no such directory; kState if the name is taken by
// another path; again with the same: fine.
[[nodiscard]] Result<HostRegistration> AddFolderHost(Environment& environment,
                                                     const std::string& name,
                                                     const std::string& path);

// Registers a libvirt host, once it answers. Errors are those of LibvirtHost::Connect, and kState
// if the name is taken by another one.
[[nodiscard]] Result<HostRegistration> AddLibvirtHost(Environment& environment,
                                                      const std::string& name,
                                                      const std::string& uri);

// VMs of `host`, or of all hosts if it is empty. A host that cannot be listed becomes a warning of
// the progress sink when all are asked for.
[[nodiscard]] Result<std::vector<VirtualMachine>> ListVms(Environment& environment,
                                                          const std::string& host);

// Of all hosts that can be looked at, without a look at the disks.
[[nodiscard]] Result<std::vector<VmName>> ListVmNames(Environment& environment);

// `name` is "NAME" or "HOST/NAME"; no image of another VM is opened. kNotFound (with the nearest
// names) or kState (kVmAmbiguous, with the candidates).
[[nodiscard]] Result<VirtualMachine> FindVm(Environment& environment, const std::string& name);

}  // namespace asr
