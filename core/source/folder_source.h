// VMs whose disks lie in a folder: each sub-directory that holds disk images is one.
#pragma once

#include <string>
#include <vector>

#include "core/model/virtual_machine.h"
#include "storage/base/result.h"
#include "storage/fs/file_system.h"

namespace asr {

struct FolderHost {
  std::string name;
  std::string path;  // absolute
};

// All VMs of the host, in the order of their folders' names. A folder VM is a sub-directory that
// holds a file named .vhd .vhdx .avhd .avhdx .qcow2 .raw .img (in any case), or a vm.json. What
// cannot be read makes a VM unprotectable (`reasons`), never absent, nor hides the other VMs. Disks
// come as vm.json lists them, others after them by natural order ("disk2" before "disk10"). Of a
// chain (checkpoints), the leaf is the disk, and the stem of the base is its name. Images outside
// of the VM's folder, by a link, are refused.
//
// Fails only if `host.path` itself cannot be listed.
[[nodiscard]] Result<std::vector<VirtualMachine>> ListFolderVms(FileSystem& fs,
                                                                const FolderHost& host);

// Their names, in that order. No image is opened.
[[nodiscard]] Result<std::vector<std::string>> ListFolderVmNames(FileSystem& fs,
                                                                 const FolderHost& host);

struct NamedVms {
  std::vector<VirtualMachine> vms;  // one, unless several share the name or none has it
  std::vector<std::string> names;   // of all VMs of the host
};

// The VMs of that name, as ListFolderVms gives them. Of the others no image is opened.
[[nodiscard]] Result<NamedVms> FindFolderVms(FileSystem& fs, const FolderHost& host,
                                             const std::string& name);

}  // namespace asr
