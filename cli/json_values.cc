#include "cli/json_values.h"

#include <chrono>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "cli/errors.h"
#include "cli/test_failover_json.h"
#include "core/jobs/hosts.h"

namespace asr {
namespace {

Json ErrorOrNull(const std::optional<Error>& error) {
  return error ? ErrorJson(*error) : Json(nullptr);
}

Json ScreenshotJson(const std::optional<Screenshot>& screenshot) {
  if (!screenshot) return nullptr;
  Json json;
  json["path"] = screenshot->path;
  json["sizeBytes"] = screenshot->size_bytes;
  json["sha256"] = screenshot->sha256;
  return json;
}

Json ProofJson(const std::optional<Proof>& proof) {
  if (!proof) return nullptr;
  Json json;
  json["verifiedAt"] = TimeJson(proof->verified_at);
  json["booted"] = proof->booted ? Json(*proof->booted) : Json(nullptr);
  json["bootSeconds"] = proof->boot_seconds ? Json(*proof->boot_seconds) : Json(nullptr);
  json["signOfLife"] = TextJson(proof->sign_of_life);
  json["testedAt"] = TimeJson(proof->tested_at);
  json["notes"] = TextJson(proof->notes);
  json["screenshot"] = ScreenshotJson(proof->screenshot);
  return json;
}

Json HealthErrorsJson(const std::vector<Error>& errors) {
  Json json = Json::array();
  for (const Error& error : errors) {
    Json entry;
    entry["code"] = error.CodeText();
    entry["message"] = error.Line();
    entry["action"] = error.action;
    json.push_back(std::move(entry));
  }
  return json;
}

std::string_view PowerStateName(VmPowerState state) {
  switch (state) {
    case VmPowerState::kOff:
      return "Off";
    case VmPowerState::kRunning:
      return "Running";
    case VmPowerState::kPaused:
      return "Paused";
    case VmPowerState::kUnknown:
      return "Unknown";
  }
  return "Unknown";
}

std::string_view VerdictName(CheckResult::Verdict verdict) {
  switch (verdict) {
    case CheckResult::Verdict::kPassed:
      return "passed";
    case CheckResult::Verdict::kWarning:
      return "warning";
    case CheckResult::Verdict::kFailed:
      return "failed";
  }
  return "failed";
}

Json ItemDisksJson(const Item& item) {
  Json disks = Json::array();
  for (const ItemDisk& disk : item.disks) {
    Json entry;
    entry["name"] = disk.name.value;
    entry["path"] = disk.path;
    entry["sizeBytes"] = disk.size_bytes;
    disks.push_back(std::move(entry));
  }
  return disks;
}

Json LatestPointJson(const Item& item, const ItemStatus& status) {
  if (!status.latest_point) return nullptr;
  return PointJson(*status.latest_point, {.vm_name = item.name,
                                          .is_new = false,
                                          .held = status.latest_held,
                                          .proof = status.latest_proof});
}

}  // namespace

Json SecondsJson(const std::optional<std::chrono::milliseconds>& duration) {
  if (!duration) return nullptr;
  return std::chrono::duration_cast<std::chrono::seconds>(*duration).count();
}

Json TimeJson(const std::optional<Timestamp>& time) {
  return time ? Json(FormatTime(*time)) : Json(nullptr);
}

Json TextJson(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

Json PointJson(const RecoveryPoint& point, const PointFacts& facts) {
  Json json;
  json["id"] = point.id.value;
  json["time"] = FormatTime(point.time);
  json["consistency"] = ConsistencyName(point.consistency);
  json["item"] = facts.vm_name;
  json["new"] = facts.is_new;
  json["disks"] = Json::array();
  for (const PointDisk& disk : point.disks) {
    Json entry;
    entry["name"] = disk.name.value;
    entry["sizeBytes"] = disk.size_bytes;
    json["disks"].push_back(std::move(entry));
  }
  json["nvram"] = nullptr;
  if (point.firmware) {
    json["nvram"] = Json();
    json["nvram"]["bytes"] = point.firmware->size_bytes;
    json["nvram"]["format"] = point.firmware->format;
  }
  json["frozenMilliseconds"] = point.frozen ? Json(point.frozen->count()) : Json(nullptr);
  json["changedBytes"] = point.changed_bytes;
  // A point without its document, which seals it, does not exist.
  json["sealed"] = true;
  json["held"] = facts.held;
  json["proof"] = ProofJson(facts.proof);
  return json;
}

std::vector<std::string> AllowedOperations(const Item& item, const ItemStatus& status) {
  std::vector<std::string> operations;
  const bool has_points = status.latest_point.has_value();
  switch (item.state) {
    case ProtectionState::kEnablingProtection:
    case ProtectionState::kInitialReplicationInProgress:
    case ProtectionState::kFinalizingProtection:
      operations = {"EnableProtection", "DisableProtection"};
      break;
    case ProtectionState::kProtected:
      operations = {"Replicate", "Resync", "DisableProtection"};
      break;
    case ProtectionState::kUnprotected:
      operations = {"EnableProtection", "DeleteItem"};
      break;
    case ProtectionState::kDisablingProtection:
      return {"DisableProtection"};
    case ProtectionState::kPlannedFailoverInProgress:
    case ProtectionState::kUnplannedFailoverInProgress:
    case ProtectionState::kFailoverCommitPending:
    case ProtectionState::kFailedOver:
    case ProtectionState::kReverseReplicating:
      break;
  }
  if (has_points) operations.emplace_back("Restore");
  if (status.test && !status.test->is_busy) operations.emplace_back("TestFailoverCleanup");
  if (has_points && !status.test) operations.emplace_back("TestFailover");
  return operations;
}

Json ItemJson(const Item& item, const ItemStatus& status, const std::string& vault_name) {
  Json json;
  json["id"] = item.id.value;
  json["name"] = item.name;
  json["host"] = item.host;
  json["vault"] = vault_name;
  json["policy"] = item.policy;
  json["protectionState"] = ProtectionStateName(item.state);
  json["replicationHealth"] = ReplicationHealthName(status.health.health);
  json["resyncState"] = ResyncStateName(item.resync);
  json["testFailoverState"] = TestFailoverStateName(status.test_failover);
  json["activeLocation"] = "Primary";
  json["allowedOperations"] = AllowedOperations(item, status);
  json["healthErrors"] = HealthErrorsJson(status.health.errors);
  json["disks"] = ItemDisksJson(item);
  json["latestPoint"] = LatestPointJson(item, status);
  json["rpoSeconds"] = SecondsJson(status.health.rpo);
  json["backlogBytes"] = status.backlog ? Json(status.backlog->bytes) : Json(nullptr);
  json["backlogPoints"] = status.backlog ? status.backlog->point_count : 0;
  const auto growth = status.backlog ? status.backlog->bytes_per_second : std::nullopt;
  json["backlogBytesPerSecond"] = growth ? Json(std::llround(*growth)) : Json(nullptr);
  json["targetSettings"] = TargetSettingsJson(item.target.AppliedTo(item.settings));
  json["testFailover"] = TestFailoverJson(status.test);
  json["pausedSince"] = TimeJson(status.schedule.paused_since);
  json["missedCycles"] = status.schedule.missed_cycles;
  json["retry"] = RetryJson(status.schedule.retry);
  return json;
}

Json RetryJson(const std::optional<RetryState>& retry) {
  if (!retry) return nullptr;
  Json json;
  json["attempt"] = retry->attempt;
  json["nextTry"] = TimeJson(retry->next_try);
  json["since"] = FormatTime(retry->since);
  json["recoverable"] = retry->next_try.has_value();
  json["error"] = ErrorJson(retry->error);
  return json;
}

Json VmJson(const VirtualMachine& vm) {
  Json json;
  json["name"] = vm.name;
  json["host"] = vm.host;
  json["state"] = PowerStateName(vm.power_state);
  json["protectable"] = vm.protectable();
  json["reasons"] = vm.reasons;
  json["generation"] = vm.settings.generation == 0 ? Json(nullptr) : Json(vm.settings.generation);
  json["cpuCount"] = vm.settings.cpu_count;
  json["memoryBytes"] = vm.settings.memory_bytes;
  json["machineType"] = TextJson(vm.hardware.machine_type);
  json["networkCards"] = Json::array();
  for (const NetworkCard& card : vm.hardware.cards) {
    Json entry;
    entry["mac"] = TextJson(card.mac);
    entry["model"] = TextJson(card.model);
    entry["network"] = card.network;
    json["networkCards"].push_back(std::move(entry));
  }
  json["disks"] = Json::array();
  for (const VmDisk& disk : vm.disks) {
    Json entry;
    entry["name"] = disk.name.value;
    entry["path"] = disk.path;
    entry["format"] = TextJson(disk.format);
    entry["sizeBytes"] = disk.size_bytes;
    entry["bus"] = TextJson(disk.bus);
    json["disks"].push_back(std::move(entry));
  }
  return json;
}

Json JobJson(const Job& job) {
  Json json;
  json["id"] = job.id.value;
  json["type"] = job.type;
  json["item"] = TextJson(job.item);
  json["state"] = JobStateName(job.state);
  json["retryable"] = job.retryable;
  json["startTime"] = FormatTime(job.start_time);
  json["endTime"] = TimeJson(job.end_time);
  json["tasks"] = Json::array();
  for (const Task& task : job.tasks) {
    Json entry;
    entry["name"] = task.name;
    entry["state"] = JobStateName(task.state);
    entry["bytesDone"] = task.bytes_done;
    entry["bytesTotal"] = task.bytes_total;
    entry["error"] = ErrorOrNull(task.error);
    json["tasks"].push_back(std::move(entry));
  }
  json["error"] = ErrorOrNull(job.error);
  json["stats"]["bytesRead"] = job.stats.bytes_read;
  json["stats"]["bytesSent"] = job.stats.bytes_sent;
  json["stats"]["bytesSkipped"] = job.stats.bytes_skipped;
  json["stats"]["bytesZero"] = job.stats.bytes_zero;
  json["stats"]["bytesCleared"] = job.stats.bytes_cleared;
  json["stats"]["bytesResumed"] = job.stats.bytes_resumed;
  json["stats"]["bytesSeeded"] = job.stats.bytes_seeded;
  return json;
}

Json PlanJson(const Plan& plan) {
  Json json;
  json["plan"] = Json::array();
  for (const PlanStep& step : plan.steps) {
    Json entry;
    entry["step"] = step.step;
    entry["item"] = TextJson(step.item);
    entry["disk"] = TextJson(step.disk);
    entry["bytes"] = step.bytes;
    entry["seconds"] = step.seconds;
    json["plan"].push_back(std::move(entry));
  }
  json["warnings"] = plan.warnings;
  return json;
}

Json PolicyJson(const Policy& policy) {
  Json json;
  json["name"] = policy.name;
  json["frequencySeconds"] = policy.frequency.count();
  json["retention"] = FormatRetention(policy.retention);
  json["appConsistentSeconds"] = policy.app_consistent.count();
  json["start"] = policy.start;
  json["retryDelays"] = FormatRetryDelays(policy.retry_delays);
  return json;
}

Json VaultJson(const VaultRegistration& vault) {
  Json json;
  json["name"] = vault.name;
  json["target"] = vault.target;
  json["id"] = vault.id;
  json["isDefault"] = vault.is_default;
  json["credential"] = TextJson(vault.credential);
  json["caFile"] = TextJson(vault.ca_file);
  return json;
}

Json HostJson(const HostRegistration& host) {
  Json json;
  json["name"] = host.name;
  json["kind"] = host.kind;
  const bool is_folder = host.kind != kLibvirtKind;
  json["path"] = TextJson(is_folder ? host.path : "");
  json["uri"] = TextJson(is_folder ? "" : host.path);
  return json;
}

Json CheckJson(const std::vector<CheckResult>& results) {
  Json json = Json::array();
  for (const CheckResult& result : results) {
    Json entry;
    entry["name"] = result.name;
    entry["verdict"] = VerdictName(result.verdict);
    entry["detail"] = result.detail;
    json.push_back(std::move(entry));
  }
  return json;
}

}  // namespace asr
