#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/failover/boot_disk.h"
#include "core/failover/guest_life.h"
#include "core/failover/guest_seal.h"
#include "core/failover/qemu_machine.h"
#include "core/failover/restore_disk.h"
#include "core/failover/screenshot.h"
#include "core/jobs/job_run.h"
#include "core/jobs/point_pin.h"
#include "core/jobs/test_failover.h"
#include "core/jobs/test_failover_traces.h"
#include "core/model/duration.h"
#include "core/source/domain_xml.h"
#include "storage/base/subprocess.h"
#include "storage/base/text.h"
#include "storage/fs/private_directory.h"

namespace asr {
namespace {

// Of the process that cleans up; goes with the rest.
constexpr const char* kCleanerLogName = "cleanup.log";

// The row of an earlier one, or what is left of it; none if it was cleaned up.
Result<std::optional<TestFailoverStatus>> FindLeftOver(Environment& environment, Vault& vault,
                                                       const Item& item) {
  ASR_TRY(auto status, FindTestFailover(environment, vault.identity().id, item.id));
  if (!status) return status;
  const bool was_started =
      !status->is_recorded ||
      status->test.state == TestFailoverStateName(TestFailoverState::kWaitingForCleanup);
  if (!was_started || !status->guest_runs || status->is_overdue) return status;
  const std::string point =
      status->is_recorded ? fmt::format(", of point {}", status->test.point.value) : "";
  return Fail(
      MakeError(ErrorKind::kState, ErrorCode::kTestFailoverExists,
                fmt::format("there is a test failover of VM {} already{}", item.name, point))
          .WithAction("clean it up first: asr test-failover-cleanup " + ShellQuote(item.name)));
}

// The caller holds the lock: what is there and does not live was left by a process that died.
Status RemoveLeftOverTest(Environment& environment, const Item& item,
                          const std::optional<TestFailoverStatus>& left) {
  if (!left) return {};
  if (left->test.state == TestFailoverStateName(TestFailoverState::kWaitingForCleanup)) {
    environment.progress.Warn(
        fmt::format("VM {}: the test failover of {} is over, and is cleaned up now", item.name,
                    FormatTime(left->test.started)));
  }
  return RemoveTestFailover(environment, left->test);
}

// What the disks of a test take, by the point's digests.
struct TestSpace {
  std::vector<std::uint64_t> bytes_of_disks;
  std::uint64_t bytes = 0;
  std::uint64_t free_bytes = 0;
  [[nodiscard]] bool suffices() const { return bytes <= free_bytes; }
};

Result<TestSpace> SpaceOfTest(Environment& environment, Vault& vault, const RecoveryPoint& point) {
  TestSpace space;
  for (const PointDisk& disk : point.disks) {
    ASR_TRY(const std::uint64_t bytes, BytesToRestore(vault, point, disk));
    space.bytes_of_disks.push_back(bytes);
    space.bytes += bytes;
  }
  ASR_TRY(space.free_bytes, environment.fs.FreeBytes(environment.state_directory));
  return space;
}

std::string MebibytesRoundedUp(std::uint64_t bytes) {
  return fmt::format("{} MiB", DivideRoundingUp<std::uint64_t>(bytes, kMiB));
}

std::string DescribeSpace(const Environment& environment, const TestSpace& space) {
  return fmt::format("the disks need {} in {}, where {} are free", MebibytesRoundedUp(space.bytes),
                     environment.state_directory, MebibytesRoundedUp(space.free_bytes));
}

// One test failover while it comes up.
class TestFailoverRun {
 public:
  TestFailoverRun(Environment& environment, Vault& vault, const Item& item,
                  const RecoveryPoint& point, const MachineSettings& settings, JobRun& run)
      : environment_(environment),
        vault_(vault),
        item_(item),
        point_(point),
        settings_(settings),
        run_(run) {
    row_ = {.vault_id = vault.identity().id,
            .item = item.id,
            .point = point.id,
            .job = run.job().id,
            .state = std::string(TestFailoverStateName(TestFailoverState::kInProgress)),
            .directory = TestFailoverDirectory(environment, item.id),
            .machine_json = "",
            .started = environment.clock.Now(),
            .vm = item.name};
  }

  Status Run(const TestFailoverRequest& request, TestFailoverOutcome& outcome) {
    // The row comes first, so that whatever is left after a crash can be found and cleaned up.
    ASR_CHECK(environment_.state.PutTestFailover(row_));
    Status status = Boot(outcome);
    if (status) status = LeaveRunning(request, outcome);
    if (!status) {
      const Status cleaned = RemoveTestFailover(environment_, row_);
      if (!cleaned) {
        environment_.progress.Warn(
            fmt::format("VM {}: the failed test failover could not be cleaned up ({}); try asr "
                        "test-failover-cleanup {}",
                        item_.name, cleaned.error().Line(), ShellQuote(item_.name)));
      }
    }
    return status;
  }

 private:
  Status Boot(TestFailoverOutcome& outcome) {
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
                                               settings_.sign_of_life, environment_.stop));
      outcome.sign_of_life = sign.sign;
      outcome.boot_seconds = environment_.clock.MonotonicSeconds() - started_seconds;
      return {};
    });
    if (!lives && lives.error().kind == ErrorKind::kCancelled) return lives;
    Seal(*machine, lives.has_value());
    outcome.serial_log = machine->SerialLog();
    outcome.process_id = machine->process.pid;
    const Status recorded = RecordProof(lives.has_value(), outcome, Picture(*machine));
    if (!recorded) {
      environment_.progress.Warn("the proof cannot be kept in the vault: " +
                                 recorded.error().Line());
    }
    return lives;
  }

  Result<MachineSpec> RestoreDisks() {
    MachineSpec spec{.name = item_.name,
                     .directory = row_.directory,
                     .settings = settings_,
                     .generation = settings_.generation,
                     .disks = {}};
    ASR_TRY(const auto pin,
            PointPin::Take(environment_, vault_, item_.id, point_.id, "test-failover"));
    ASR_CHECK(environment_.fs.RemoveTree(row_.directory));
    // Whatever the mode of the state directory: they hold what a production machine has.
    ASR_CHECK(CreatePrivateDirectory(environment_.fs, ParentOf(row_.directory)));
    ASR_CHECK(CreatePrivateDirectory(environment_.fs, row_.directory));
    const DomainDescription domain = Domain();
    spec.hardware = domain.hardware;
    for (std::size_t i = 0; i < point_.disks.size(); ++i) {
      const PointDisk& disk = point_.disks[i];
      const std::string path = JoinPath(row_.directory, fmt::format("disk{}.raw", i));
      ASR_TRY(const std::uint64_t bytes, BytesToRestore(vault_, point_, disk));
      ASR_CHECK(
          run_.RunTask(fmt::format("Restore disk {}", disk.name.value), bytes,
                       [&](TaskProgress& progress) { return RestoreOne(disk, path, progress); }));
      spec.disks.push_back({.path = path,
                            .logical_sector_bytes = disk.logical_sector_bytes,
                            .bus = BusOf(domain, disk.name)});
    }
    // A test without them tells nearly as much as one with them.
    if (point_.firmware && point_.firmware->format == "raw") {
      auto variables = vault_.ReadFirmware(point_);
      if (!variables) {
        environment_.progress.Warn(variables.error().Line());
      } else {
        spec.firmware_variables = *std::move(variables);
      }
    }
    if (spec.generation == 0) {
      ASR_TRY(const auto boot, OpenDisk(environment_.fs, spec.disks.front().path, "raw"));
      ASR_TRY(const BootDisk found, DetectBootDisk(*boot));
      // A disk without any sign of a boot loader gets the older firmware, which says so.
      spec.generation = found.generation == 0 ? 1 : found.generation;
    }
    return spec;
  }

  // What libvirt knows of the machine; empty for a VM of another host.
  DomainDescription Domain() {
    if (settings_.domain_xml.empty()) return {};
    auto domain = ParseDomainXml(settings_.domain_xml);
    if (domain) return *std::move(domain);
    environment_.progress.Warn("the guest's devices are chosen anew: " + domain.error().Line());
    return {};
  }

  static std::string BusOf(const DomainDescription& domain, const DiskName& name) {
    const auto disk = std::ranges::find(domain.disks, name, &VmDisk::name);
    return disk == domain.disks.end() ? "" : disk->bus;
  }

  Status RestoreOne(const PointDisk& disk, const std::string& path, TaskProgress& progress) {
    return RestoreDisk(environment_.fs, vault_, point_, disk, {.path = path, .format = "raw"},
                       {.on_progress = run_.Follow(progress), .stop = environment_.stop});
  }

  // A guest that stays, for a month maybe, is reached by nobody and fills no disk.
  void Seal(const RunningMachine& machine, bool stays) {
    const Status sealed = SealGuest(environment_.clock, machine);
    if (sealed || !stays || !IsRunning(machine)) return;
    environment_.progress.Warn(fmt::format(
        "VM {}: its guest may still be reached from this machine, or go on to write its serial "
        "log: {}",
        item_.name, sealed.error().Line()));
  }

  // Empty if there is none: what it would show is no part of the test's outcome.
  std::string Picture(const RunningMachine& machine) {
    auto picture = TakeScreenshot(environment_.fs, environment_.clock, machine);
    if (picture) return *std::move(picture);
    if (IsRunning(machine)) {
      environment_.progress.Warn("the guest's screen cannot be kept: " + picture.error().Line());
    }
    return {};
  }

  Status RecordProof(bool lives, const TestFailoverOutcome& outcome, const std::string& picture) {
    const Timestamp now = environment_.clock.Now();
    Proof proof{.booted = lives, .sign_of_life = outcome.sign_of_life, .tested_at = now};
    if (lives) proof.boot_seconds = outcome.boot_seconds;
    Status added = vault_.AddProof(item_.id, point_.id, proof, now, picture);
    // Where a picture does not fit any more, its proof may.
    if (!added && !picture.empty()) added = vault_.AddProof(item_.id, point_.id, proof, now);
    return added;
  }

  Status LeaveRunning(const TestFailoverRequest& request, TestFailoverOutcome& outcome) {
    row_.state = TestFailoverStateName(TestFailoverState::kWaitingForCleanup);
    if (request.cleanup_after) {
      row_.cleanup_due = environment_.clock.Now() + *request.cleanup_after;
      outcome.cleanup_due = row_.cleanup_due;
    }
    ASR_CHECK(environment_.state.PutTestFailover(row_));
    if (!request.cleanup_after) return {};
    const auto cleaner = SpawnDetached(request.cleanup_command,
                                       {.directory = environment_.state_directory,
                                        .stderr_path = JoinPath(row_.directory, kCleanerLogName)});
    if (!cleaner) {
      environment_.progress.Warn(fmt::format(
          "VM {}: nobody cleans the test failover up when its time has come ({}); do it by hand: "
          "asr test-failover-cleanup {}",
          item_.name, cleaner.error().Line(), ShellQuote(item_.name)));
    }
    return {};
  }

  Environment& environment_;
  Vault& vault_;
  const Item& item_;
  const RecoveryPoint& point_;
  const MachineSettings& settings_;
  JobRun& run_;
  TestFailover row_;
};

}  // namespace

Result<MachineSettings> SettingsOfTest(const Item& item, const MachineSettings& of_point,
                                       const TargetSettings& request) {
  TargetSettings target = item.target;
  target.Take(request);
  const MachineSettings settings = target.AppliedTo(of_point);
  if (settings.sign_of_life.tcp_port == 0 || target.network != GuestNetwork::kNone) return settings;
  return Fail(MakeError(ErrorKind::kState, ErrorCode::kItemState,
                        fmt::format("VM {} cannot be asked on TCP port {}: its network is set to "
                                    "none",
                                    item.name, settings.sign_of_life.tcp_port))
                  .WithAction("add --network isolated, or choose another sign of life"));
}

Result<Plan> PlanTestFailover(Environment& environment, Vault& vault, const Item& item,
                              const TestFailoverRequest& request) {
  ASR_TRY(const auto left, FindLeftOver(environment, vault, item));
  ASR_TRY(const RecoveryPoint point, vault.FindPoint(item, request.point));
  ASR_TRY(const MachineSettings settings, SettingsOfTest(item, point.settings, request.settings));
  ASR_TRY(const TestSpace space, SpaceOfTest(environment, vault, point));
  Plan plan;
  const auto add = [&](std::string step, const std::string& disk = "", std::uint64_t bytes = 0) {
    plan.steps.push_back(
        {.step = std::move(step), .item = item.name, .disk = disk, .bytes = bytes});
  };
  if (left) add(fmt::format("Remove what is left in {}", left->test.directory));
  add(fmt::format("Take {} of space in {}", MebibytesRoundedUp(space.bytes),
                  environment.state_directory));
  for (std::size_t i = 0; i < point.disks.size(); ++i) {
    add(fmt::format("Restore from point {}", point.id.value), point.disks[i].name.value,
        space.bytes_of_disks[i]);
  }
  add(fmt::format("Start guest: {} CPU(s), {} of memory, {}", settings.cpu_count,
                  MebibytesRoundedUp(settings.memory_bytes),
                  settings.has_network() ? "an isolated network" : "no network"));
  add(fmt::format("Wait for sign of life, at most {}", FormatDuration(settings.sign_of_life.wait)));
  if (request.cleanup_after) {
    add(fmt::format("Clean up after {}", FormatDuration(*request.cleanup_after)));
  }
  if (!space.suffices()) plan.warnings.push_back(DescribeSpace(environment, space));
  return plan;
}

Result<TestFailoverOutcome> StartTestFailover(Environment& environment, Vault& vault,
                                              const Item& item,
                                              const TestFailoverRequest& request) {
  ASR_TRY(const auto lock, LockTestFailover(environment, item.id, item.name));
  ASR_TRY(const auto left, FindLeftOver(environment, vault, item));
  ASR_TRY(const RecoveryPoint point, vault.FindPoint(item, request.point));
  ASR_TRY(const MachineSettings settings, SettingsOfTest(item, point.settings, request.settings));
  ASR_CHECK(RemoveLeftOverTest(environment, item, left));
  ASR_TRY(const TestSpace space, SpaceOfTest(environment, vault, point));
  if (!space.suffices()) {
    return Fail(MakeError(ErrorKind::kNoSpace, ErrorCode::kNoSpace,
                          fmt::format("VM {}: {}", item.name, DescribeSpace(environment, space)))
                    .WithAction("free space there, or choose another place with --state-dir"));
  }
  ASR_TRY(JobRun run, JobRun::Start(environment, "TestFailover", item.name, vault.name()));
  TestFailoverOutcome outcome;
  TestFailoverRun test(environment, vault, item, point, settings, run);
  const Status status = test.Run(request, outcome);
  ASR_TRY(outcome.job, run.End(status));
  return outcome;
}

}  // namespace asr
