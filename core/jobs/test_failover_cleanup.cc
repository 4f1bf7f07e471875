#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/failover/qemu_machine.h"
#include "core/jobs/job_run.h"
#include "core/jobs/test_failover.h"
#include "core/jobs/test_failover_traces.h"
#include "storage/base/stop.h"
#include "storage/base/text.h"

namespace asr {
namespace {

constexpr double kPollSeconds = 1;
constexpr double kRetrySeconds = 60;
constexpr int kMostTries = 10;
// A cleanup that is due takes some time itself.
constexpr std::chrono::seconds kOverdue{30};

std::string TestsDirectory(const Environment& environment) {
  return JoinPath(environment.state_directory, "test-failovers");
}

// "web-1a2b3c4d" -> "web": for rows that do not tell the VM.
std::string NameInId(const ItemId& item) { return item.value.substr(0, item.value.rfind('-')); }

std::string VaultName(Environment& environment, const std::string& id) {
  const auto vaults = environment.state.ListVaults();
  if (!vaults) return "";
  const auto found = std::ranges::find(*vaults, id, &VaultRegistration::id);
  return found == vaults->end() ? "" : found->name;
}

// The very process that was noted when it started, if it still runs. It goes on where its directory
// was removed or its files were lost.
std::optional<RunningMachine> NotedGuest(const TestFailover& test) {
  if (test.machine_json.empty()) return std::nullopt;
  const auto json = nlohmann::json::parse(test.machine_json, nullptr, /*allow_exceptions=*/false);
  auto machine = MachineFromJson(json);
  if (!machine || !IsRunning(*machine)) return std::nullopt;
  return *std::move(machine);
}

Result<TestFailoverStatus> StatusOf(Environment& environment, TestFailover test) {
  TestFailoverStatus status{.test = std::move(test)};
  if (status.test.vm.empty()) status.test.vm = NameInId(status.test.item);
  status.guest_runs = FindMachine(environment.fs, status.test.directory) || NotedGuest(status.test);
  status.vault_name = VaultName(environment, status.test.vault_id);
  const auto due = status.test.cleanup_due;
  status.is_overdue = due && *due + kOverdue < environment.clock.Now();
  ASR_TRY(const auto jobs,
          environment.state.ListJobs(
              {.item = status.test.vm, .state = {}, .is_running = true, .since = {}}));
  status.is_busy = std::ranges::any_of(
      jobs, [](const Job& job) { return job.type.starts_with("TestFailover"); });
  return status;
}

Result<TestFailoverStatus> StatusOfDirectory(Environment& environment, const std::string& name) {
  ASR_TRY(TestFailoverStatus status,
          StatusOf(environment, {.vault_id = "",
                                 .item = {name},
                                 .point = {},
                                 .job = {},
                                 .state = "",
                                 .directory = JoinPath(TestsDirectory(environment), name),
                                 .machine_json = ""}));
  status.is_recorded = false;
  return status;
}

Error NoTestFailover(const std::string& vm) {
  return MakeError(ErrorKind::kState, ErrorCode::kTestFailoverNone,
                   fmt::format("there is no test failover of VM {}", vm))
      .WithAction("start one: asr test-failover " + ShellQuote(vm));
}

// The one that `test` was, if it is still there.
Result<TestFailover> FindAgain(Environment& environment, const TestFailover& test) {
  ASR_TRY(auto status, FindTestFailover(environment, test.vault_id, test.item));
  if (status && status->test.job == test.job) return std::move(status->test);
  return Fail(NoTestFailover(test.vm));
}

// Guest and disks are gone by then: the cleanup does not fail for want of a remark.
void KeepNotes(Environment& environment, Vault* vault, const TestFailover& test,
               const std::string& notes) {
  if (notes.empty()) return;
  std::string reason = "its vault or its recovery points cannot be reached";
  if (vault != nullptr) {
    const Status added =
        vault->AddProof(test.item, test.point, {.notes = notes}, environment.clock.Now());
    if (added) return;
    reason = added.error().Line();
  }
  environment.progress.Warn(fmt::format("VM {}: the notes are not kept: {}", test.vm, reason));
}

// False once `path` is gone, or another is in its place than it was when `known` was asked for.
bool IsStill(FileSystem& fs, const std::string& path, const Result<FileStamp>& known) {
  const auto now = fs.Stat(path);
  // A disk that cannot be read for a while has not lost anything.
  if (!now) return !IsNotFound(now.error());
  return !known || (now->device == known->device && now->inode == known->inode);
}

Result<std::optional<TestFailoverStatus>> OnlyOne(std::vector<TestFailoverStatus> list,
                                                  const std::string& name) {
  if (list.empty()) return std::optional<TestFailoverStatus>();
  if (list.size() == 1) return std::optional<TestFailoverStatus>(std::move(list.front()));
  std::vector<std::string> ids;
  for (const TestFailoverStatus& status : list) ids.push_back(status.test.item.value);
  return Fail(MakeError(ErrorKind::kState, ErrorCode::kVmAmbiguous,
                        fmt::format("'{}' may be {}", name, fmt::join(ids, " or ")))
                  .WithAction("give one of these ids"));
}

}  // namespace

std::string TestFailoverDirectory(const Environment& environment, const ItemId& item) {
  return JoinPath(TestsDirectory(environment), item.value);
}

Result<std::unique_ptr<FileLock>> LockTestFailover(Environment& environment, const ItemId& item,
                                                   const std::string& vm) {
  const std::string directory = JoinPath(environment.state_directory, "locks");
  ASR_CHECK(environment.fs.CreateDirectories(directory));
  auto lock = environment.fs.Lock(JoinPath(directory, "test-failover-" + item.value));
  if (lock || lock.error().kind != ErrorKind::kBusy) return lock;
  return Fail(MakeError(ErrorKind::kState, ErrorCode::kTestFailoverExists,
                        fmt::format("another command works on the test failover of VM {}", vm))
                  .WithAction("wait until it has ended: asr jobs list --item " + ShellQuote(vm))
                  .Retryable());
}

Status StopGuest(Environment& environment, const TestFailover& test) {
  if (const auto machine = FindMachine(environment.fs, test.directory)) {
    ASR_CHECK(StopMachine(environment.clock, *machine));
  }
  const auto noted = NotedGuest(test);
  return noted ? KillMachine(environment.clock, *noted) : Status();
}

Status RemoveTestFailover(Environment& environment, const TestFailover& test) {
  ASR_CHECK(StopGuest(environment, test));
  ASR_CHECK(environment.fs.RemoveTree(test.directory));
  return environment.state.RemoveTestFailover(test.vault_id, test.item);
}

Result<std::vector<TestFailoverStatus>> ListTestFailovers(Environment& environment) {
  // The directories first: a row is written before its directory is made.
  std::vector<DirectoryEntry> entries;
  ASR_TRY(const bool any, PathExists(environment.fs, TestsDirectory(environment)));
  if (any) {
    ASR_TRY(entries, environment.fs.List(TestsDirectory(environment)));
  }
  ASR_TRY(auto rows, environment.state.ListTestFailovers());
  std::vector<TestFailoverStatus> list;
  for (TestFailover& row : rows) {
    ASR_TRY(TestFailoverStatus status, StatusOf(environment, std::move(row)));
    list.push_back(std::move(status));
  }
  for (const DirectoryEntry& entry : entries) {
    const bool known = std::ranges::any_of(list, [&](const TestFailoverStatus& status) {
      return status.test.item.value == entry.name;
    });
    if (known || !Exists(environment.fs, JoinPath(TestsDirectory(environment), entry.name)))
      continue;
    ASR_TRY(TestFailoverStatus status, StatusOfDirectory(environment, entry.name));
    list.push_back(std::move(status));
  }
  return list;
}

Result<std::optional<TestFailoverStatus>> FindTestFailover(Environment& environment,
                                                           const std::string& vault_id,
                                                           const ItemId& item) {
  ASR_TRY(auto list, ListTestFailovers(environment));
  for (TestFailoverStatus& status : list) {
    // The directory of an item tells nothing of its vault; ids are never used twice.
    if (status.test.item != item) continue;
    if (status.is_recorded && status.test.vault_id != vault_id) continue;
    return std::optional<TestFailoverStatus>(std::move(status));
  }
  return std::optional<TestFailoverStatus>();
}

Result<std::optional<TestFailoverStatus>> FindTestFailoverByName(Environment& environment,
                                                                 const std::string& vault_id,
                                                                 const std::string& name) {
  ASR_TRY(auto list, ListTestFailovers(environment));
  std::erase_if(list, [&](const TestFailoverStatus& status) {
    const TestFailover& test = status.test;
    const bool is_asked = status.is_recorded && test.vault_id == vault_id;
    if (test.item.value == name) return !is_asked && !status.vault_name.empty();
    return !is_asked || test.vm != name;
  });
  return OnlyOne(std::move(list), name);
}

Result<std::optional<TestFailoverStatus>> FindTestFailoverById(Environment& environment,
                                                               const ItemId& item) {
  ASR_TRY(auto list, ListTestFailovers(environment));
  std::erase_if(list, [&](const TestFailoverStatus& status) { return status.test.item != item; });
  return OnlyOne(std::move(list), item.value);
}

std::optional<std::string> DescribeLeftOver(const TestFailoverStatus& status) {
  if (status.is_busy) return std::nullopt;
  const TestFailover& test = status.test;
  std::string what;
  if (!status.is_recorded) {
    what = fmt::format("{} is left of a test failover that nothing is known of any more{}",
                       test.directory, status.guest_runs ? "; its guest still runs" : "");
  } else if (test.state != TestFailoverStateName(TestFailoverState::kWaitingForCleanup)) {
    what = "its test failover was cut off";
  } else if (!status.guest_runs) {
    what = "the guest of its test failover does not run any more";
  } else if (status.is_overdue) {
    what = fmt::format("its test failover should have been cleaned up at {}",
                       FormatTime(*test.cleanup_due));
  } else {
    return std::nullopt;
  }
  // Its vault need not be the default one, nor need the VM's name be one item's alone.
  return fmt::format("VM {}: {}; remove what is left: asr test-failover-cleanup {}{}", test.vm,
                     what, ShellQuote(test.item.value),
                     status.vault_name.empty() ? "" : " --vault " + ShellQuote(status.vault_name));
}

Result<Job> CleanUpTestFailover(Environment& environment, Vault* vault, const TestFailover& found,
                                const std::string& notes) {
  ASR_TRY(const auto lock, LockTestFailover(environment, found.item, found.vm));
  ASR_TRY(TestFailover test, FindAgain(environment, found));
  ASR_TRY(JobRun run, JobRun::Start(environment, "TestFailoverCleanup", test.vm,
                                    VaultName(environment, test.vault_id)));
  const auto clean_up = [&]() -> Status {
    ASR_CHECK(run.RunTask("Stop guest", 0, [&](TaskProgress&) -> Status {
      test.state = TestFailoverStateName(TestFailoverState::kCleaningUp);
      if (!test.job.value.empty()) ASR_CHECK(environment.state.PutTestFailover(test));
      return StopGuest(environment, test);
    }));
    ASR_CHECK(run.RunTask("Remove disks", 0, [&](TaskProgress&) {
      return environment.fs.RemoveTree(test.directory);
    }));
    KeepNotes(environment, vault, test, notes);
    return environment.state.RemoveTestFailover(test.vault_id, test.item);
  };
  return run.End(clean_up());
}

Result<std::optional<Job>> CleanUpWhenDue(Environment& environment, const TestFailover& test) {
  if (!test.cleanup_due) {
    return Fail(
        MakeError(
            ErrorKind::kState, ErrorCode::kTestFailoverNone,
            fmt::format("the test failover of VM {} is not to be cleaned up by itself", test.vm))
            .WithAction("clean it up now: asr test-failover-cleanup " + ShellQuote(test.vm)));
  }
  const auto state_directory = environment.fs.Stat(environment.state_directory);
  double next_try_at = 0;
  int tries = 0;
  while (true) {
    ASR_CHECK(CheckStop(environment.stop));
    if (!IsStill(environment.fs, environment.state_directory, state_directory)) {
      if (const auto guest = NotedGuest(test)) {
        ASR_CHECK(KillMachine(environment.clock, *guest));
      }
      return std::optional<Job>();
    }
    // Whatever happened meanwhile to the one that was meant: a later one is not touched.
    const auto row = environment.state.FindTestFailover(test.vault_id, test.item);
    if (row && (!*row || (*row)->job != test.job)) return std::optional<Job>();
    const bool is_due = environment.clock.Now() >= *test.cleanup_due;
    // A full or overloaded disk passes by; it must not end what waits for hours.
    if (row && is_due && environment.clock.MonotonicSeconds() >= next_try_at) {
      auto job = CleanUpTestFailover(environment, nullptr, test, "");
      if (job && job->state == JobState::kSucceeded) return std::optional<Job>(*std::move(job));
      const bool busy = !job && job.error().retryable;
      if (!busy && ++tries >= kMostTries) {
        if (!job) return Fail(job.error());
        return std::optional<Job>(*std::move(job));
      }
      next_try_at = environment.clock.MonotonicSeconds() + (busy ? kPollSeconds : kRetrySeconds);
    }
    environment.clock.SleepSeconds(kPollSeconds);
  }
}

}  // namespace asr
