// Bring a point back: as files, or as a guest that runs for a test.
#pragma once

#include <string>
#include <vector>

#include "core/jobs/environment.h"
#include "core/model/item.h"
#include "core/model/plan.h"
#include "core/model/point.h"
#include "core/vault/vault.h"

namespace asr {

struct RestoreRequest {
  PointSelector point;
  std::string directory;                // created if missing
  std::string format = {};              // "raw", "vhd", "vhd-dynamic", "vhdx"; empty: the source's
  std::vector<std::string> disks = {};  // empty: all
  bool overwrite = false;               // else kState if a file exists already
};

[[nodiscard]] Result<Plan> PlanRestore(Environment& environment, Vault& vault, const Item& item,
                                       const RestoreRequest& request);
// Writes DIRECTORY/DISK.EXT, each exactly as large as the source, checked against its digests.
[[nodiscard]] Result<Job> RestorePoint(Environment& environment, Vault& vault, const Item& item,
                                       const RestoreRequest& request);

struct TestFailoverRequest {
  PointSelector point;
  std::optional<SignOfLife> sign_of_life;  // in place of the item's own
};

struct TestFailoverOutcome {
  Job job;  // Failed: the guest did not live, and all is cleaned up
  // Of the guest that now runs:
  std::string serial_log;    // path of what it wrote to its serial port
  std::string sign_of_life;  // the line or sign that was seen
  double boot_seconds = 0;
  int process_id = 0;
};

// kState (kTestFailoverExists) if one is there already.
[[nodiscard]] Result<TestFailoverOutcome> StartTestFailover(Environment& environment, Vault& vault,
                                                            const Item& item,
                                                            const TestFailoverRequest& request);
// Stops the guest and removes its disks. kState (kTestFailoverNone) if there is none.
[[nodiscard]] Result<Job> CleanUpTestFailover(Environment& environment, Vault& vault,
                                              const Item& item, const std::string& notes);

}  // namespace asr
