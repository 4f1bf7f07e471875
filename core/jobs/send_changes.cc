#include "core/jobs/send_changes.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/changes/change_log.h"
#include "core/jobs/replica_target.h"
#include "core/transfer/apply_log.h"

namespace asr {
namespace {

Error OutOfOrder(std::string what) {
  return MakeError(ErrorKind::kCorrupt, ErrorCode::kLogOutOfOrder, std::move(what))
      .WithCause(
          "another machine replicated the VM meanwhile, or this machine's state was "
          "brought back from a copy")
      .WithAction("nothing: the disks are compared by digests");
}

// The set is of the disks that the item has.
Status CheckDisks(const LogSender& sender, const LogSet& set) {
  const auto& replicas = sender.replicas;
  bool fits = set.disks.size() == replicas.size() && set.point.disks.size() == replicas.size() &&
              set.point.generation == sender.lease.item().generation;
  for (std::size_t i = 0; fits && i < replicas.size(); ++i) {
    fits = set.point.disks[i].name == replicas[i]->disk().name &&
           set.point.disks[i].size_bytes == replicas[i]->disk().size_bytes;
  }
  if (fits) return {};
  return Fail(OutOfOrder(fmt::format("the change logs of {} are of other disks than VM {} has now",
                                     set.point.id.value, sender.lease.item().name)));
}

// The point that the set builds on is the newest one.
Result<RecoveryPoint> ParentOfSet(const LogSender& sender, const LogSet& set) {
  const Item& item = sender.lease.item();
  auto found = sender.vault.NewestPoint(item.id);
  if (!found && found.error().kind == ErrorKind::kCorrupt) {
    return Fail(OutOfOrder("nobody knows what they follow: " + found.error().Line()));
  }
  ASR_CHECK(found);
  std::optional<RecoveryPoint> newest = *std::move(found);
  if (!newest) {
    // Not for the logs to answer: a vault that lost all points would lose these changes too.
    return Fail(MakeError(ErrorKind::kIo, ErrorCode::kVaultUnreachable,
                          fmt::format("the vault shows no recovery point of VM {}", item.name))
                    .WithCause("its file system is not mounted any more")
                    .WithAction("mount it and replicate again; look at it: asr vault show")
                    .Retryable());
  }
  if (newest->id == set.point.parent) return *std::move(newest);
  return Fail(OutOfOrder(fmt::format(
      "the change logs of {} build on recovery point {}, and the newest one is {}",
      set.point.id.value, set.point.parent ? set.point.parent->value : "none", newest->id.value)));
}

// The log follows the one that brought the disk to where it is.
Status CheckOrder(const PointDisk& disk, const RecoveryPoint& parent, const HrlHeader& header) {
  const auto last = std::ranges::find(parent.disks, disk.name, &PointDisk::name);
  const Bits128 expected = last == parent.disks.end() ? Bits128{} : last->log;
  if (header.id == disk.log && header.previous_id == expected) return {};
  return Fail(OutOfOrder(
      fmt::format("the change log {} of disk {} follows log {}, and log {} was sent last",
                  ToHex(header.id), disk.name.value, ToHex(header.previous_id), ToHex(expected))));
}

std::uint64_t LoggedBytes(const HrlHeader& header) {
  return header.end_bytes - std::min<std::uint64_t>(header.end_bytes, kHrlHeaderBytes);
}

Status SendLog(const LogSender& sender, const LogSet& set, std::size_t index,
               const RecoveryPoint& parent, ReplicaTarget& target) {
  const PointDisk& disk = set.point.disks[index];
  const DigestAlgorithm algorithm = sender.vault.identity().algorithm;
  ASR_TRY(const ChangeLog log,
          ChangeLog::Open(sender.environment.fs, set.disks[index].log_path, algorithm));
  const HrlHeader& header = log.entries().header();
  ASR_CHECK(CheckOrder(disk, parent, header));
  const auto send = [&](TaskProgress& progress) -> Status {
    const auto follow = sender.run.Follow(progress);
    const TransferOptions options{
        .algorithm = algorithm,
        .on_progress =
            [&](const TransferStats& stats) {
              follow(stats);
              progress.Advance(stats.bytes_sent + stats.bytes_cleared + stats.bytes_resumed);
            },
        .stop = sender.environment.stop};
    ASR_CHECK(ApplyLog(log, disk.size_bytes, target, options));
    return {};
  };
  return sender.run.RunTask(fmt::format("Send changes of disk {}", disk.name.value),
                            LoggedBytes(header), send);
}

Status SendDisk(const LogSender& sender, const LogSet& set, std::size_t index,
                const RecoveryPoint& parent) {
  const PointDisk& disk = set.point.disks[index];
  ReplicaTarget target(*sender.replicas[index]);
  if (!set.disks[index].log_path.empty()) {
    ASR_CHECK(SendLog(sender, set, index, parent, target));
  }
  const auto& expected = set.disks[index].disk_digest;
  if (!expected) return {};
  ASR_TRY(const DiskDigest digest, ReadDiskDigest(target, disk.size_bytes));
  if (digest.bits() == *expected) return {};
  return Fail(OutOfOrder(fmt::format("with its change log, disk {} is not what the VM had at {}",
                                     disk.name.value, FormatTime(set.point.time))));
}

// Without digests of its disks nothing would show that they were not what the logs build on.
Status Begin(const LogSender& sender, const LogSet& set, const RecoveryPoint& parent) {
  const bool has_digests = std::ranges::all_of(
      set.disks, [](const LoggedDisk& disk) { return disk.disk_digest.has_value(); });
  if (has_digests) return sender.lease.NoteApplying(std::nullopt);
  if (sender.lease.item().applying == set.point.id) return {};
  ASR_TRY(const bool holds, HoldPoint(sender.replicas, parent.id));
  if (holds) return sender.lease.NoteApplying(set.point.id);
  return Fail(
      OutOfOrder(fmt::format("the replica of VM {} is not what recovery point {} holds, on "
                             "which the change logs of {} build",
                             sender.lease.item().name, parent.id.value, set.point.id.value)));
}

void WarnOfRecovered(Environment& environment, const LogSets::Recovered& recovered) {
  for (const std::string& document : recovered.damaged) {
    environment.progress.Warn(fmt::format(
        "change logs are not used, the disks are compared instead: {} was damaged", document));
  }
  for (const Error& error : recovered.left) {
    environment.progress.Warn(fmt::format("old change logs cannot be removed: {}", error.Line()));
  }
}

}  // namespace

std::string ChangesDirectoryOf(const Environment& environment, const std::string& vault_id) {
  return JoinPath(JoinPath(environment.state_directory, "changes"), vault_id);
}

LogSets LogSetsOf(Environment& environment, const std::string& vault_id, const ItemId& item) {
  return LogSets(environment.fs, JoinPath(ChangesDirectoryOf(environment, vault_id), item.value));
}

bool IsOfChangeLogs(const Error& error) {
  return error.code == ErrorCode::kLogCorrupt || error.code == ErrorCode::kLogNotClosed ||
         error.code == ErrorCode::kLogUnsupported || error.code == ErrorCode::kLogOutOfOrder;
}

Result<std::optional<RecoveryPoint>> SendLogSet(const LogSender& sender, const LogSet& set) {
  ASR_CHECK(CheckDisks(sender, set));
  ASR_TRY(const RecoveryPoint parent, ParentOfSet(sender, set));
  ASR_CHECK(Begin(sender, set, parent));
  for (std::size_t i = 0; i < set.disks.size(); ++i) ASR_CHECK(SendDisk(sender, set, i, parent));
  std::optional<RecoveryPoint> sealed;
  ASR_CHECK(sender.run.RunTask("Seal recovery point", 0, [&](TaskProgress&) -> Status {
    if (set.point.checkpoint.empty()) {
      ASR_TRY(sealed, SealIfNew(sender.vault, sender.lease, sender.replicas, set.point));
      return {};
    }
    // The source has no other checkpoint any more: the newest point has to name it.
    ASR_CHECK(SealPoint(sender.vault, sender.lease, sender.replicas, set.point));
    sealed = set.point;
    return {};
  }));
  return sealed;
}

void RemoveLogSet(Environment& environment, LogSets& sets, const LogSet& set) {
  const Status removed = sets.Remove(set);
  if (removed) return;
  environment.progress.Warn(fmt::format("change logs stay behind until the next replication: {}",
                                        removed.error().Line()));
}

void RemoveUnusable(Environment& environment, LogSets& sets, const LogSet& set,
                    const Error& reason) {
  environment.progress.Warn(
      fmt::format("the change logs of {} are not used, the disks are compared instead: {}",
                  FormatTime(set.point.time), reason.Line()));
  RemoveLogSet(environment, sets, set);
}

Result<bool> SendWaitingChanges(const LogSender& sender) {
  Environment& environment = sender.environment;
  Vault& vault = sender.vault;
  const ItemId& item = sender.lease.item().id;
  LogSets sets = LogSetsOf(environment, vault.identity().id, item);
  ASR_TRY(const auto recovered, sets.Recover());
  WarnOfRecovered(environment, recovered);
  bool any_sealed = false;
  for (const LogSet& set : recovered.sets) {
    ASR_TRY(const auto points, vault.ListPointIds(item));
    if (std::ranges::find(points, set.point.id) != points.end()) {
      ASR_CHECK(vault.MakePointDurable(item, set.point.id));
      ASR_CHECK(sets.NotePoint(set.point));
      RemoveLogSet(environment, sets, set);
      continue;
    }
    const auto sent = SendLogSet(sender, set);
    if (!sent && !IsOfChangeLogs(sent.error())) return Fail(sent.error());
    if (!sent) {
      RemoveUnusable(environment, sets, set, sent.error());
      continue;
    }
    any_sealed |= sent->has_value();
    if (*sent) ASR_CHECK(sets.NotePoint(**sent));
    RemoveLogSet(environment, sets, set);
  }
  return any_sealed;
}

Status DropWaitingChanges(Environment& environment, const std::string& vault_id, const Item& item) {
  LogSets sets = LogSetsOf(environment, vault_id, item.id);
  ASR_TRY(const auto recovered, sets.Recover());
  WarnOfRecovered(environment, recovered);
  for (const LogSet& set : recovered.sets) {
    environment.progress.Warn(
        fmt::format("VM {}: changes up to {} were not sent yet and are "
                    "dropped",
                    item.name, FormatTime(set.point.time)));
    RemoveLogSet(environment, sets, set);
  }
  if (const Status removed = sets.RemoveNotes(); !removed) {
    environment.progress.Warn(removed.error().Line());
  }
  // Each only while nothing is in it.
  std::string directory = sets.directory();
  for (int level = 0; level < 3; ++level) {
    if (!environment.fs.RemoveEmptyDirectory(directory)) break;
    directory = ParentOf(directory);
  }
  return {};
}

}  // namespace asr
