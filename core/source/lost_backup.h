// What is left of a backup job that libvirt has forgotten.
#pragma once

#include "core/source/libvirt_host.h"

namespace asr {

// QEMU copies what the guest overwrites on one of the VM's disks for a backup.
[[nodiscard]] Result<bool> HasBackupCopies(const LibvirtDomain& domain);

// If libvirtd (9.0) is killed just when a backup job begins, QEMU goes on copying what the guest
// overwrites into the scratch files, until these are full and the guest is paused, and serves NBD;
// and libvirt, started anew, knows of no job that it could end. Ends both. Does nothing where
// libvirt knows a job of the VM, whatever it is, or QEMU serves what others than libvirt asked for.
// True if there was something to end.
[[nodiscard]] Result<bool> EndLostBackup(LibvirtDomain& domain);

}  // namespace asr
