#include "core/jobs/log_while_away.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include <fmt/format.h>

#include "core/jobs/change_spool.h"
#include "core/jobs/item_snapshot.h"
#include "core/jobs/send_changes.h"
#include "core/source/backup_guard.h"
#include "storage/base/text.h"

namespace asr {
namespace {

Error CannotLog(const std::string& why) {
  return MakeError(ErrorKind::kState, ErrorCode::kLogUnsupported, why);
}

// What the next set builds on: the last one that waits, or the newest point.
Result<RecoveryPoint> FindParent(const LogSets& sets, const std::vector<LogSet>& waiting,
                                 const Item& item) {
  RecoveryPoint parent;
  if (!waiting.empty()) {
    parent = waiting.back().point;
  } else {
    ASR_TRY(const auto noted, sets.NotedPoint());
    if (!noted) {
      return Fail(CannotLog("no cycle of this machine has succeeded since the VM was protected"));
    }
    parent = *noted;
  }
  if (parent.checkpoint.empty()) return Fail(CannotLog("no checkpoint tells what changed"));
  if (parent.generation != item.generation) return Fail(CannotLog("a failover came in between"));
  return parent;
}

std::vector<std::uint64_t> WaitingBytesOfDisks(const LogSets& sets,
                                               const std::vector<LogSet>& waiting,
                                               const Item& item) {
  std::vector<std::uint64_t> bytes(item.disks.size());
  for (const LogSet& set : waiting) {
    for (std::size_t i = 0; i < set.disks.size(); ++i) {
      const auto disk = std::ranges::find(item.disks, set.point.disks[i].name, &ItemDisk::name);
      if (disk == item.disks.end()) continue;
      bytes[static_cast<std::size_t>(disk - item.disks.begin())] += sets.LogBytes(set.disks[i]);
    }
  }
  return bytes;
}

Result<std::unique_ptr<SourceSnapshot>> SnapshotToLog(Environment& environment, Item& item,
                                                      const RecoveryPoint& parent,
                                                      const ReplicateRequest& request) {
  ASR_TRY(const VirtualMachine vm, FindSource(environment, item));
  if (!vm.is_live()) return Fail(CannotLog("the VM does not run"));
  if (!HasImagesOf(parent, vm)) return Fail(CannotLog("its images were moved"));
  item.settings = vm.settings;
  ASR_TRY(auto source, SnapshotOf(environment, item, vm,
                                  {.base_checkpoint = parent.checkpoint,
                                   .requires_base = true,
                                   .app_consistent = request.app_consistent}));
  for (const SourceSnapshot::OpenedDisk& disk : source->disks()) {
    if (disk.changed) continue;
    return Fail(CannotLog(
        fmt::format("nothing tells what changed on disk {} since then", disk.name.value)));
  }
  return source;
}

// The disks of the guests grow where the logs lie.
bool IsShortOfSpace(const std::vector<LogSet>& waiting) {
  return std::ranges::any_of(waiting, [](const LogSet& set) {
    return std::ranges::any_of(set.disks, [](const LoggedDisk& disk) {
      if (disk.log_path.empty()) return false;
      std::error_code error;
      const auto space = std::filesystem::space(ParentOf(disk.log_path), error);
      return !error && space.available < ReserveBytes(space.capacity);
    });
  });
}

// True if there was something to log.
Result<bool> LogChanges(Environment& environment, const VaultIdentity& vault, Item item,
                        const ReplicateRequest& request, JobRun& run) {
  ASR_TRY(const auto lock, LockSpool(environment, vault.id, item));
  LogSets sets = LogSetsOf(environment, vault.id, item.id);
  ASR_TRY(const auto recovered, sets.Recover());
  // Those of damaged ones may be missing in between; that is told when they are sent.
  const std::vector<LogSet>& waiting = recovered.sets;
  if (IsShortOfSpace(waiting)) {
    ASR_CHECK(DropWaitingChanges(environment, vault.id, item));
    return Fail(CannotLog("the file system of the change logs has less than its reserve left"));
  }
  ASR_TRY(const RecoveryPoint parent, FindParent(sets, waiting, item));
  std::unique_ptr<SourceSnapshot> source;
  ASR_CHECK(run.RunTask("Take snapshot", 0, [&](TaskProgress&) -> Status {
    ASR_TRY(source, SnapshotToLog(environment, item, parent, request));
    return {};
  }));
  const SpoolWork work{.environment = environment,
                       .item = item,
                       .source = *source,
                       .run = run,
                       .sets = sets,
                       .algorithm = vault.algorithm,
                       .was_read = std::vector<bool>(item.disks.size(), true),
                       .parent = parent.id,
                       .parent_point = Result<RecoveryPoint>(parent),
                       .waiting_bytes = WaitingBytesOfDisks(sets, waiting, item)};
  auto spooled = SpoolChanges(work);
  if (!spooled) return Fail(source->Explain(std::move(spooled).error()));
  if (spooled->outcome == SpooledChanges::Outcome::kNoLog) return Fail(*spooled->reason);
  if (spooled->outcome == SpooledChanges::Outcome::kNothing) return false;
  source->Keep();
  return true;
}

void WarnOfNotLogged(Environment& environment, const Item& item, const Error& why) {
  environment.progress.Warn(
      fmt::format("VM {}: what changed is not logged while the vault cannot be reached; it is "
                  "found and sent once it is back: {}",
                  item.name, why.Line()));
}

std::string DescribeWaiting(const LogSets& sets) {
  const auto waiting = sets.ReadWaiting();
  if (!waiting || waiting->empty()) return "";
  const auto bytes = sets.WaitingBytes();
  return fmt::format(
      "changes of {} recovery points, the last of {}, wait on this machine ({:.1f} "
      "MiB) and are sent once the vault is back",
      waiting->size(), FormatTime(waiting->back().point.time),
      static_cast<double>(bytes.value_or(0)) / kMiB);
}

}  // namespace

std::string SpoolLockOf(const Environment& environment, const std::string& vault_id,
                        const ItemId& item) {
  return JoinPath(ChangesDirectoryOf(environment, vault_id), item.value + ".lock");
}

Result<std::unique_ptr<FileLock>> LockSpool(Environment& environment, const std::string& vault_id,
                                            const Item& item) {
  ASR_CHECK(environment.fs.CreateDirectories(ChangesDirectoryOf(environment, vault_id)));
  auto lock = environment.fs.Lock(SpoolLockOf(environment, vault_id, item.id));
  if (lock) {
    // Another one may have removed it meanwhile, with the item's protection.
    ASR_TRY(const bool is_in_place, (*lock)->IsInPlace());
    if (is_in_place) return lock;
  } else if (lock.error().kind != ErrorKind::kBusy) {
    return lock;
  }
  return Fail(
      MakeError(ErrorKind::kBusy, ErrorCode::kItemBusy,
                fmt::format("another process of this machine logs changes of VM {}", item.name))
          .WithCause("the agent, which goes on while the vault cannot be reached")
          .WithAction("wait until it has ended: asr jobs list")
          .Retryable());
}

bool IsOfAway(const Error& error) {
  switch (error.code) {
    case ErrorCode::kUnreachable:
    case ErrorCode::kServerError:
    case ErrorCode::kServerBusy:
    case ErrorCode::kBadReply:
    case ErrorCode::kTlsUntrusted:
    case ErrorCode::kSignInFailed:
    case ErrorCode::kNotAuthorized:
    case ErrorCode::kCredentialNotFound:
    case ErrorCode::kCredentialExpired:
    case ErrorCode::kCredentialInvalid:
    case ErrorCode::kVaultNotFound:
    case ErrorCode::kVaultUnreachable:
      return true;
    default:
      return false;
  }
}

namespace {

// Only just now, by the cycle that failed.
bool HasLogged(Environment& environment, const VaultIdentity& vault, const Item& item,
               const JobRun& run) {
  const auto waiting = LogSetsOf(environment, vault.id, item.id).ReadWaiting();
  return waiting && !waiting->empty() && waiting->back().point.time >= run.job().start_time;
}

}  // namespace

Error LogWhileAway(Environment& environment, const VaultIdentity& vault, const Item& item,
                   const ReplicateRequest& request, JobRun& run, const Error& reason) {
  if (item.uuid.empty() || environment.stop.stop_requested() || !IsOfAway(reason)) return reason;
  Error error = reason;
  const auto logged = HasLogged(environment, vault, item, run)
                          ? Result<bool>(true)
                          : LogChanges(environment, vault, item, request, run);
  if (!logged) WarnOfNotLogged(environment, item, logged.error());
  const std::string waiting = DescribeWaiting(LogSetsOf(environment, vault.id, item.id));
  if (!waiting.empty()) error.causes.push_back(waiting);
  return error;
}

Result<Job> LogChangesAsJob(Environment& environment, const VaultIdentity& vault,
                            const std::string& vault_name, const Item& item,
                            const ReplicateRequest& request) {
  ASR_TRY(JobRun run,
          JobRun::Start(environment, std::string(kLogChangesJob), item.name, vault_name));
  const auto logged = LogChanges(environment, vault, item, request, run);
  if (logged) return run.End({});
  if (!environment.stop.stop_requested()) WarnOfNotLogged(environment, item, logged.error());
  return run.End(Fail(logged.error()));
}

}  // namespace asr
