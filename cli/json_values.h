// The engine's values as JSON: the contract with scripts (asr(1), JSON).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/render.h"
#include "core/changes/log_report.h"
#include "core/jobs/check.h"
#include "core/jobs/health.h"
#include "core/model/item.h"
#include "core/model/job.h"
#include "core/model/plan.h"
#include "core/model/point.h"
#include "core/model/policy.h"
#include "core/model/virtual_machine.h"
#include "core/source/disk_report.h"
#include "core/state/state_database.h"

namespace asr {

// What is known of a point beside its document.
struct PointFacts {
  std::string vm_name;
  bool is_new = false;  // sealed by this very command
  bool held = false;
  std::optional<Proof> proof;
};

// null where there is none.
[[nodiscard]] Json SecondsJson(const std::optional<std::chrono::milliseconds>& duration);
[[nodiscard]] Json TimeJson(const std::optional<Timestamp>& time);
[[nodiscard]] Json TextJson(const std::string& text);

[[nodiscard]] Json PointJson(const RecoveryPoint& point, const PointFacts& facts);
[[nodiscard]] Json ItemJson(const Item& item, const ItemStatus& status,
                            const std::string& vault_name);
// null if its last scheduled cycle did not fail.
[[nodiscard]] Json RetryJson(const std::optional<RetryState>& retry);
[[nodiscard]] Json VmJson(const VirtualMachine& vm);
[[nodiscard]] Json DiskReportJson(const DiskReport& report);
[[nodiscard]] Json LogReportJson(const LogReport& report, const std::string& path);
[[nodiscard]] Json JobJson(const Job& job);
[[nodiscard]] Json PlanJson(const Plan& plan);
[[nodiscard]] Json PolicyJson(const Policy& policy);
[[nodiscard]] Json VaultJson(const VaultRegistration& vault);
[[nodiscard]] Json HostJson(const HostRegistration& host);
[[nodiscard]] Json CheckJson(const std::vector<CheckResult>& results);

// What can be done with an item in this state: "Replicate", "Restore", "TestFailover", ...
[[nodiscard]] std::vector<std::string> AllowedOperations(const Item& item,
                                                         const ItemStatus& status);

}  // namespace asr
