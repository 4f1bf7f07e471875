// The end of a backup job, which libvirt reports before it has come.
#pragma once

#include <chrono>
#include <string>

#include "core/source/libvirt_host.h"

namespace asr {

// For half a minute libvirt waits with an event of a VM that has a job, as a network card's new
// address of a guest that boots, and the job's end is told by a later event (seen with libvirt 9.0:
// one thread for all events, VIR_JOB_MODIFY_MIGRATION_SAFE is not allowed beside a backup). Two of
// them were seen behind each other.
inline constexpr std::chrono::seconds kEndOfBackupLimit{120};

// Ends the job of this socket; true once libvirt knows of it no more, also if there never was one.
// False if that takes longer than `limit`: its end has been asked for, and QEMU has ended it, and
// asking again does no harm. Errors are libvirt's.
[[nodiscard]] Result<bool> EndBackupOfSocket(LibvirtDomain& domain, const std::string& socket_path,
                                             std::chrono::milliseconds limit);

// The same, with an error if it takes longer than any end should: kBusy (kVmBusy).
[[nodiscard]] Status EndBackupOfSocket(LibvirtDomain& domain, const std::string& socket_path);

}  // namespace asr
