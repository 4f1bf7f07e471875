// The end of a backup job, which libvirt reports before it has come.
#pragma once

#include <chrono>
#include <string>

#include "core/source/libvirt_host.h"

namespace asr {

// libvirt 9.0 has one thread for the events of all its QEMUs. That a guest opens or closes a
// channel, as its agent does when it starts or stops, is an event that may not be looked at beside
// a backup job (VIR_JOB_MODIFY_MIGRATION_SAFE): the thread waits for half a minute, then forgets
// the event, and hears of the job's end only after that. Two channels were seen behind each other.
inline constexpr std::chrono::seconds kEndOfBackupLimit{120};

// Ends the job of this socket; true once libvirt knows of it no more, also if there never was one.
// False if that takes longer than `limit`: its end has been asked for, and QEMU has ended it, and
// asking again does no harm. Errors are libvirt's.
[[nodiscard]] Result<bool> EndBackupOfSocket(LibvirtDomain& domain, const std::string& socket_path,
                                             std::chrono::milliseconds limit);

// The same, with an error if it takes longer than any end should: kBusy (kVmBusy).
[[nodiscard]] Status EndBackupOfSocket(LibvirtDomain& domain, const std::string& socket_path);

}  // namespace asr
