// A point booted as a guest that runs for a test, and its end. This machine's rows and directories
// say what there is: a test failover can be cleaned up when its vault or its item is gone.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "core/jobs/environment.h"
#include "core/model/item.h"
#include "core/model/plan.h"
#include "core/model/point.h"
#include "core/vault/vault.h"

namespace asr {

struct TestFailoverRequest {
  PointSelector point;
  TargetSettings settings{};  // in place of the item's
  // Program and arguments that end in CleanUpWhenDue for this item; started, detached, if the guest
  // shall go by itself.
  std::optional<std::chrono::seconds> cleanup_after{};
  std::vector<std::string> cleanup_command{};
};

struct TestFailoverOutcome {
  Job job;  // Failed: the guest did not live, and all is cleaned up
  // Of the guest that now runs:
  std::string serial_log;    // path of what it wrote to its serial port
  std::string sign_of_life;  // the line or sign that was seen
  double boot_seconds = 0;
  int process_id = 0;
  std::optional<Timestamp> cleanup_due;
};

// What is set for the VM, and `request` in its place, on top of what the point says. kState if a
// port shall be reached while the network was set to none.
[[nodiscard]] Result<MachineSettings> SettingsOfTest(const Item& item,
                                                     const MachineSettings& of_point,
                                                     const TargetSettings& request);

[[nodiscard]] Result<Plan> PlanTestFailover(Environment& environment, Vault& vault,
                                            const Item& item, const TestFailoverRequest& request);

// kState (kTestFailoverExists) if the guest of one runs already; what else is left of an earlier
// one goes first. kNoSpace before anything is written, if the disks would not fit.
[[nodiscard]] Result<TestFailoverOutcome> StartTestFailover(Environment& environment, Vault& vault,
                                                            const Item& item,
                                                            const TestFailoverRequest& request);

// One that is not cleaned up.
struct TestFailoverStatus {
  // Of a directory that no row knows, because the rows were lost: item, directory and vm alone.
  TestFailover test;
  bool is_recorded = true;
  bool is_busy = false;  // a process starts it or cleans it up
  bool guest_runs = false;
  bool is_overdue = false;   // its own cleanup should be over
  std::string vault_name{};  // on this machine; empty if it knows that vault no more
};

// All of this machine.
[[nodiscard]] Result<std::vector<TestFailoverStatus>> ListTestFailovers(Environment& environment);
[[nodiscard]] Result<std::optional<TestFailoverStatus>> FindTestFailover(
    Environment& environment, const std::string& vault_id, const ItemId& item);
// For an item that its vault does not tell. By the VM's name, never with a host, among those of
// `vault_id`; by the item's id also what is of no vault that this machine knows. kVmAmbiguous with
// the ids.
[[nodiscard]] Result<std::optional<TestFailoverStatus>> FindTestFailoverByName(
    Environment& environment, const std::string& vault_id, const std::string& name);
// Whichever vault it is of.
[[nodiscard]] Result<std::optional<TestFailoverStatus>> FindTestFailoverById(
    Environment& environment, const ItemId& item);

// Why it wants to be cleaned up, and how; nothing if all is as it should be.
[[nodiscard]] std::optional<std::string> DescribeLeftOver(const TestFailoverStatus& status);

// Stops the guest and removes its disks. The notes go to the point's proof in `vault`, which may be
// null: then they are not kept, with a warning; nor are they if the vault does not take them.
// kState (kTestFailoverNone) if it is that very one no more.
[[nodiscard]] Result<Job> CleanUpTestFailover(Environment& environment, Vault* vault,
                                              const TestFailover& test, const std::string& notes);

// Waits until the time of `test` has come, then cleans it up, and nothing but it. nullopt if
// somebody did that before, or if the state directory went: then nobody else finds the guest any
// more, and it is stopped at once. kState if it has no such time; kCancelled on a stop.
[[nodiscard]] Result<std::optional<Job>> CleanUpWhenDue(Environment& environment,
                                                        const TestFailover& test);

}  // namespace asr
