#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/failover/boot_disk.h"
#include "core/failover/qemu_machine.h"
#include "core/failover/restore_disk.h"
#include "core/jobs/job_run.h"
#include "core/jobs/point_pin.h"
#include "core/jobs/recover.h"

namespace asr {
namespace {

std::string DirectoryOf(const Environment& environment, const Item& item) {
  return JoinPath(JoinPath(environment.state_directory, "test-failovers"), item.id.value);
}

// Held while a test failover starts or is cleaned up, so that two commands do not meet.
Result<std::unique_ptr<FileLock>> LockTestFailover(Environment& environment, const Item& item) {
  const std::string directory = JoinPath(environment.state_directory, "locks");
  ASR_CHECK(environment.fs.CreateDirectories(directory));
  auto lock = environment.fs.Lock(JoinPath(directory, "test-failover-" + item.id.value));
  if (lock || lock.error().kind != ErrorKind::kBusy) return lock;
  return Fail(
      MakeError(ErrorKind::kState, ErrorCode::kTestFailoverExists,
                fmt::format("another command works on the test failover of VM {}", item.name))
          .WithAction("wait until it has ended: asr jobs list --item " + item.name));
}

// By its directory, for the process that started the guest may have died before it could note it.
Status StopGuest(Environment& environment, const TestFailover& test) {
  const auto machine = FindMachine(environment.fs, test.directory);
  return machine ? StopMachine(environment.clock, *machine) : Status();
}

Status RemoveTest(Environment& environment, const TestFailover& test) {
  ASR_CHECK(StopGuest(environment, test));
  ASR_CHECK(environment.fs.RemoveTree(test.directory));
  return environment.state.RemoveTestFailover(test.vault_id, test.item);
}

// The caller holds the lock: what is still InProgress was left by a process that died, and goes.
Status RequireNone(Environment& environment, Vault& vault, const Item& item) {
  ASR_TRY(const auto test, environment.state.FindTestFailover(vault.identity().id, item.id));
  if (!test) return {};
  if (test->state == TestFailoverStateName(TestFailoverState::kInProgress)) {
    return RemoveTest(environment, *test);
  }
  return Fail(MakeError(ErrorKind::kState, ErrorCode::kTestFailoverExists,
                        fmt::format("there is a test failover of VM {} already, of point {}",
                                    item.name, test->point.value))
                  .WithAction("clean it up first: asr test-failover-cleanup " + item.name));
}

// One test failover while it comes up.
class TestFailoverRun {
 public:
  TestFailoverRun(Environment& environment, Vault& vault, const Item& item,
                  const RecoveryPoint& point, JobRun& run)
      : environment_(environment), vault_(vault), item_(item), point_(point), run_(run) {
    row_ = {.vault_id = vault.identity().id,
            .item = item.id,
            .point = point.id,
            .job = run.job().id,
            .state = std::string(TestFailoverStateName(TestFailoverState::kInProgress)),
            .directory = DirectoryOf(environment, item),
            .machine_json = "",
            .started = environment.clock.Now()};
  }

  Status Run(const SignOfLife& sign_of_life, TestFailoverOutcome& outcome) {
    // The row comes first, so that whatever is left after a crash can be found and cleaned up.
    ASR_CHECK(environment_.state.PutTestFailover(row_));
    Status status = Boot(sign_of_life, outcome);
    if (status) {
      row_.state = TestFailoverStateName(TestFailoverState::kWaitingForCleanup);
      status = environment_.state.PutTestFailover(row_);
    }
    if (!status) {
      const Status cleaned = RemoveTest(environment_, row_);
      if (!cleaned) {
        environment_.progress.Warn(
            fmt::format("VM {}: the failed test failover could not be cleaned up ({}); try asr "
                        "test-failover-cleanup {}",
                        item_.name, cleaned.error().Line(), item_.name));
      }
    }
    return status;
  }

 private:
  Status Boot(const SignOfLife& sign_of_life, TestFailoverOutcome& outcome) {
    ASR_TRY(MachineSpec spec, RestoreDisks());
    double started_seconds = 0;
    std::optional<RunningMachine> machine;
    ASR_CHECK(run_.RunTask("Start guest", 0, [&](TaskProgress&) -> Status {
      started_seconds = environment_.clock.MonotonicSeconds();
      ASR_TRY(machine, StartMachine(environment_.fs, environment_.clock, spec));
      row_.machine_json = MachineToJson(*machine).dump();
      return environment_.state.PutTestFailover(row_);
    }));
    Status lives = run_.RunTask("Wait for sign of life", 0, [&](TaskProgress&) -> Status {
      ASR_TRY(const LifeSign sign, WaitForLife(environment_.fs, environment_.clock, *machine,
                                               sign_of_life, environment_.stop));
      outcome.sign_of_life = sign.sign;
      outcome.boot_seconds = environment_.clock.MonotonicSeconds() - started_seconds;
      return {};
    });
    if (!lives && lives.error().kind == ErrorKind::kCancelled) return lives;
    outcome.serial_log = machine->SerialLog();
    outcome.process_id = machine->process.pid;
    const Status recorded = RecordProof(lives.has_value(), outcome);
    if (!recorded) {
      environment_.progress.Warn("the proof cannot be kept in the vault: " +
                                 recorded.error().Line());
    }
    return lives;
  }

  Result<MachineSpec> RestoreDisks() {
    MachineSpec spec{.name = item_.name,
                     .directory = row_.directory,
                     .settings = point_.settings,
                     .generation = point_.settings.generation,
                     .disks = {}};
    ASR_TRY(const auto pin,
            PointPin::Take(environment_, vault_, item_.id, point_.id, "test-failover"));
    ASR_CHECK(environment_.fs.RemoveTree(row_.directory));
    ASR_CHECK(environment_.fs.CreateDirectories(row_.directory));
    for (std::size_t i = 0; i < point_.disks.size(); ++i) {
      const PointDisk& disk = point_.disks[i];
      const std::string path = JoinPath(row_.directory, fmt::format("disk{}.raw", i));
      ASR_TRY(const std::uint64_t bytes, BytesToRestore(vault_, point_, disk));
      ASR_CHECK(
          run_.RunTask(fmt::format("Restore disk {}", disk.name.value), bytes,
                       [&](TaskProgress& progress) { return RestoreOne(disk, path, progress); }));
      spec.disks.push_back({.path = path, .logical_sector_bytes = disk.logical_sector_bytes});
    }
    if (spec.generation == 0) {
      ASR_TRY(const auto boot, OpenDisk(environment_.fs, spec.disks.front().path, "raw"));
      ASR_TRY(const BootDisk found, DetectBootDisk(*boot));
      // A disk without any sign of a boot loader gets the older firmware, which says so.
      spec.generation = found.generation == 0 ? 1 : found.generation;
    }
    return spec;
  }

  Status RestoreOne(const PointDisk& disk, const std::string& path, TaskProgress& progress) {
    return RestoreDisk(environment_.fs, vault_, point_, disk, {.path = path, .format = "raw"},
                       {.on_progress = run_.Follow(progress), .stop = environment_.stop});
  }

  Status RecordProof(bool lives, const TestFailoverOutcome& outcome) {
    const Timestamp now = environment_.clock.Now();
    Proof proof{.booted = lives, .sign_of_life = outcome.sign_of_life, .tested_at = now};
    if (lives) proof.boot_seconds = outcome.boot_seconds;
    return vault_.AddProof(item_.id, point_.id, proof, now);
  }

  Environment& environment_;
  Vault& vault_;
  const Item& item_;
  const RecoveryPoint& point_;
  JobRun& run_;
  TestFailover row_;
};

}  // namespace

Result<TestFailoverOutcome> StartTestFailover(Environment& environment, Vault& vault,
                                              const Item& item,
                                              const TestFailoverRequest& request) {
  ASR_TRY(const auto lock, LockTestFailover(environment, item));
  ASR_CHECK(RequireNone(environment, vault, item));
  ASR_TRY(const RecoveryPoint point, vault.FindPoint(item, request.point));
  ASR_TRY(JobRun run, JobRun::Start(environment, "TestFailover", item.name, vault.name()));
  TestFailoverOutcome outcome;
  const SignOfLife sign_of_life = request.sign_of_life.value_or(point.settings.sign_of_life);
  TestFailoverRun test(environment, vault, item, point, run);
  const Status status = test.Run(sign_of_life, outcome);
  ASR_TRY(outcome.job, run.End(status));
  return outcome;
}

Result<Job> CleanUpTestFailover(Environment& environment, Vault& vault, const Item& item,
                                const std::string& notes) {
  ASR_TRY(const auto lock, LockTestFailover(environment, item));
  ASR_TRY(auto test, environment.state.FindTestFailover(vault.identity().id, item.id));
  if (!test) {
    return Fail(MakeError(ErrorKind::kState, ErrorCode::kTestFailoverNone,
                          fmt::format("there is no test failover of VM {}", item.name))
                    .WithAction("start one: asr test-failover " + item.name));
  }
  ASR_TRY(JobRun run, JobRun::Start(environment, "TestFailoverCleanup", item.name, vault.name()));
  const auto clean_up = [&]() -> Status {
    ASR_CHECK(run.RunTask("Stop guest", 0, [&](TaskProgress&) -> Status {
      test->state = TestFailoverStateName(TestFailoverState::kCleaningUp);
      ASR_CHECK(environment.state.PutTestFailover(*test));
      return StopGuest(environment, *test);
    }));
    ASR_CHECK(run.RunTask("Remove disks", 0, [&](TaskProgress&) {
      return environment.fs.RemoveTree(test->directory);
    }));
    if (!notes.empty()) {
      ASR_CHECK(vault.AddProof(item.id, test->point, {.notes = notes}, environment.clock.Now()));
    }
    return environment.state.RemoveTestFailover(test->vault_id, test->item);
  };
  return run.End(clean_up());
}

}  // namespace asr
