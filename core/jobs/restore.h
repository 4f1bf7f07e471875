// Bring a point back as files. As a guest that runs for a test: core/jobs/test_failover.h.
#pragma once

#include <string>
#include <vector>

#include "core/jobs/environment.h"
#include "core/model/item.h"
#include "core/model/plan.h"
#include "core/model/point.h"
#include "core/vault/vault.h"

namespace asr {

// The variables of a UEFI firmware, where the VM's hypervisor kept them raw.
inline constexpr const char* kRestoredFirmwareName = "firmware-variables.fd";

struct RestoreRequest {
  PointSelector point;
  std::string directory;                // created if missing
  std::string format = {};              // "raw", "vhd", "vhd-dynamic", "vhdx"; empty: the source's
  std::vector<std::string> disks = {};  // empty: all
  bool overwrite = false;               // else kState if a file exists already
};

[[nodiscard]] Result<Plan> PlanRestore(Environment& environment, Vault& vault, const Item& item,
                                       const RestoreRequest& request);
// Writes DIRECTORY/DISK.EXT, each exactly as large as the source, checked against its digests, and
// with all disks the firmware's variables, if the point has some. Run
// again after it was interrupted, it goes on: disks that it finished count as done as long as
// nobody has written them, and of the one that it was at what is right in the partial file stays.
[[nodiscard]] Result<Job> RestorePoint(Environment& environment, Vault& vault, const Item& item,
                                       const RestoreRequest& request);

}  // namespace asr
