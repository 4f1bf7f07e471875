#include "core/jobs/delta.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/changes/change_log.h"
#include "core/jobs/log_sets.h"
#include "core/jobs/replica_target.h"
#include "core/transfer/apply_log.h"
#include "core/transfer/make_equal.h"
#include "core/transfer/spool_target.h"

namespace asr {
namespace {

LogSets SetsOf(Environment& environment, Vault& vault, const Item& item) {
  const std::string changes = JoinPath(environment.state_directory, "changes");
  return LogSets(environment.fs, JoinPath(JoinPath(changes, vault.identity().id), item.id.value));
}

std::string LogName(const std::string& image, const Bits128& id) {
  return fmt::format("{}.{}.hrl", BaseName(image), ToHex(id));
}

Error OutOfOrder(std::string what) {
  return MakeError(ErrorKind::kCorrupt, ErrorCode::kLogOutOfOrder, std::move(what))
      .WithCause(
          "another machine replicated the VM meanwhile, or this machine's state was "
          "brought back from a copy")
      .WithAction("nothing: the disks are compared by digests");
}

// Errors of the logs themselves; all others are those of the vault or of this machine.
bool IsOfLogs(const Error& error) {
  return error.code == ErrorCode::kLogCorrupt || error.code == ErrorCode::kLogNotClosed ||
         error.code == ErrorCode::kLogUnsupported || error.code == ErrorCode::kLogOutOfOrder ||
         error.code == ErrorCode::kFileNotFound;
}

// By which a VHDX tells that it was written to; zeros for other formats.
Guid DataWriteGuidOf(const Disk& disk) {
  const ImageDescription leaf = disk.Describe().front();
  const bool has_one = FormatName(leaf.format) == "vhdx" && !leaf.id.empty();
  return has_one ? GuidFromText(leaf.id) : Guid{};
}

// What sending a set needs, whoever logged it.
struct Sender {
  Environment& environment;
  Vault& vault;
  const ItemLease& lease;
  const Item& item;  // the lease's
  const Replicas& replicas;
  JobRun& run;

  Status SendDisk(const LogSet& set, std::size_t index);
  Result<std::optional<RecoveryPoint>> Send(const LogSet& set);
  Status CheckOrder(const LogSet& set, std::size_t index, const HrlHeader& header);
};

// The log follows the one that brought the disk to where it is.
Status Sender::CheckOrder(const LogSet& set, std::size_t index, const HrlHeader& header) {
  const PointDisk& disk = set.point.disks[index];
  ASR_TRY(const auto newest, vault.NewestPoint(item.id));
  if (!newest || newest->id != set.point.parent) {
    return Fail(OutOfOrder(
        fmt::format("the change logs of {} build on recovery point {}, and the newest one is {}",
                    set.point.id.value, set.point.parent ? set.point.parent->value : "none",
                    newest ? newest->id.value : "none")));
  }
  const auto last = std::ranges::find(newest->disks, disk.name, &PointDisk::name);
  const Bits128 expected = last == newest->disks.end() ? Bits128{} : last->log;
  if (header.id == disk.log && header.previous_id == expected) return {};
  return Fail(OutOfOrder(
      fmt::format("the change log {} of disk {} follows log {}, and log {} was sent last",
                  ToHex(header.id), disk.name.value, ToHex(header.previous_id), ToHex(expected))));
}

Status Sender::SendDisk(const LogSet& set, std::size_t index) {
  const PointDisk& disk = set.point.disks[index];
  const LoggedDisk& logged = set.disks[index];
  ReplicaTarget target(*replicas[index]);
  if (!logged.log_path.empty()) {
    ASR_TRY(const ChangeLog log,
            ChangeLog::Open(environment.fs, logged.log_path, vault.identity().algorithm));
    ASR_CHECK(CheckOrder(set, index, log.entries().header()));
    const auto send = [&](TaskProgress& progress) -> Status {
      const TransferOptions options{.algorithm = vault.identity().algorithm,
                                    .on_progress = run.Follow(progress),
                                    .stop = environment.stop};
      ASR_CHECK(ApplyLog(log, disk.size_bytes, target, options));
      return {};
    };
    ASR_CHECK(run.RunTask(fmt::format("Send changes of disk {}", disk.name.value), 0, send));
  }
  ASR_TRY(const DiskDigest digest, ReadDiskDigest(target, disk.size_bytes));
  if (digest.bits() == logged.disk_digest) return {};
  return Fail(OutOfOrder(fmt::format("with its change log, disk {} is not what the VM had at {}",
                                     disk.name.value, FormatTime(set.point.time))));
}

Result<std::optional<RecoveryPoint>> Sender::Send(const LogSet& set) {
  for (std::size_t i = 0; i < set.disks.size(); ++i) ASR_CHECK(SendDisk(set, i));
  std::optional<RecoveryPoint> sealed;
  ASR_CHECK(run.RunTask("Seal recovery point", 0, [&](TaskProgress&) -> Status {
    ASR_TRY(sealed, SealIfNew(vault, lease, replicas, set.point));
    return {};
  }));
  return sealed;
}

// Finds and logs what changed.
class Spool {
 public:
  Spool(ReplicationPass& pass, std::optional<PointId> newest)
      : pass_(pass),
        sets_(SetsOf(pass.environment, pass.vault, pass.item)),
        newest_(std::move(newest)) {}

  // False if nothing changed. After an error, and then too, nothing is left.
  Result<bool> Write();
  [[nodiscard]] const LogSet& set() const { return set_; }

 private:
  Status WriteLogs();
  Status WriteDisk(std::size_t index, const Bits128& last);
  Result<std::unique_ptr<ChangeLogWriter>> CreateLog(std::size_t index, const Bits128& last);
  Status Describe();

  ReplicationPass& pass_;
  LogSets sets_;
  std::optional<PointId> newest_;
  LogSet set_;
  std::vector<bool> unread_;
  std::uint64_t entry_count_ = 0;
};

Result<bool> Spool::Write() {
  const Status written = WriteLogs();
  if (written && entry_count_ > 0) return true;
  const Status removed = sets_.Remove(set_);
  if (!removed) {
    pass_.environment.progress.Warn(fmt::format(
        "change logs stay behind until the next replication ({})", removed.error().Line()));
  }
  if (!written) return Fail(written.error());
  return false;
}

Status Spool::WriteLogs() {
  ASR_CHECK(Describe());
  ASR_TRY(const auto last, pass_.vault.NewestPoint(pass_.item.id));
  for (std::size_t i = 0; i < set_.disks.size(); ++i) {
    Bits128 before{};
    if (last) {
      const auto disk = std::ranges::find(last->disks, set_.point.disks[i].name, &PointDisk::name);
      if (disk != last->disks.end()) before = disk->log;
    }
    ASR_CHECK(WriteDisk(i, before));
  }
  if (entry_count_ == 0) return {};
  ASR_CHECK(pass_.source.Verify());
  return sets_.Commit(set_);
}

Status Spool::Describe() {
  set_.point = DescribePoint(pass_, newest_, 0);
  set_.disks.resize(set_.point.disks.size());
  pass_.was_read.clear();
  for (std::size_t i = 0; i < set_.disks.size(); ++i) {
    ASR_TRY(const bool unread, IsUnread(pass_, i, newest_));
    pass_.was_read.push_back(!unread);
  }
  return {};
}

// Beside the image; where that cannot be, on this machine's own place.
Result<std::unique_ptr<ChangeLogWriter>> Spool::CreateLog(std::size_t index, const Bits128& last) {
  Environment& environment = pass_.environment;
  const std::string& image = pass_.source.disks()[index].stamps.front().path;
  const Bits128 id = RandomBits();
  PointDisk& disk = set_.point.disks[index];
  disk.log = id;
  const HrlWriter::Origin origin{.id = id, .previous_id = last, .created = environment.clock.Now()};
  const auto create = [&](const std::string& folder) -> Result<std::unique_ptr<ChangeLogWriter>> {
    std::string& path = set_.disks[index].log_path;
    path = JoinPath(folder, LogName(image, id));
    ASR_CHECK(sets_.Announce(set_));
    auto writer = ChangeLogWriter::Create(environment.fs, path, origin,
                                          pass_.vault.identity().algorithm, disk.size_bytes / 2);
    if (!writer) ASR_CHECK(RemoveChangeLog(environment.fs, path));
    return writer;
  };
  auto beside = create(ParentOf(image));
  if (beside) return beside;
  return create(sets_.directory());
}

Status Spool::WriteDisk(std::size_t index, const Bits128& last) {
  Environment& environment = pass_.environment;
  const Disk& source = *pass_.source.disks()[index].disk;
  PointDisk& disk = set_.point.disks[index];
  LoggedDisk& logged = set_.disks[index];
  ReplicaTarget replica(*pass_.replicas[index]);
  std::uint64_t total_bytes = 0;
  if (pass_.was_read[index]) {
    ASR_TRY(total_bytes, AllocatedBytes(source));
  }
  const auto write = [&](TaskProgress& progress) -> Status {
    if (!pass_.was_read[index]) {
      pass_.run.AddStats({.bytes_skipped = disk.size_bytes});
      ASR_TRY(const DiskDigest digest, ReadDiskDigest(replica, disk.size_bytes));
      logged.disk_digest = digest.bits();
      disk.log = last;
      return {};
    }
    ASR_TRY(const auto writer, CreateLog(index, last));
    SpoolTarget target(replica, *writer, environment.clock);
    const auto follow = pass_.run.Follow(progress);
    const TransferOptions options{.algorithm = pass_.vault.identity().algorithm,
                                  .on_progress =
                                      [&](TransferStats stats) {
                                        // What is logged is not sent yet.
                                        stats.bytes_sent = stats.bytes_cleared = 0;
                                        follow(stats);
                                      },
                                  .stop = environment.stop};
    ASR_TRY(const TransferStats stats, MakeEqual(source, target, options));
    logged.disk_digest = target.TakeDiskDigest().bits();
    set_.point.changed_bytes += stats.bytes_sent + stats.bytes_cleared;
    entry_count_ += writer->entry_count();
    if (writer->entry_count() > 0) {
      return writer->Close(DataWriteGuidOf(source), environment.clock.Now());
    }
    ASR_CHECK(RemoveChangeLog(environment.fs, logged.log_path));
    logged.log_path.clear();
    disk.log = last;
    return {};
  };
  return pass_.run.RunTask(fmt::format("Replicate disk {}", disk.name.value), total_bytes, write);
}

Result<std::optional<RecoveryPoint>> SendDirectly(ReplicationPass& pass, const Error& reason) {
  pass.environment.progress.Warn(fmt::format(
      "VM {}: the changes are sent without a change log ({})", pass.item.name, reason.Line()));
  pass.was_read.clear();
  ASR_TRY(const std::uint64_t changed_bytes, ReplicateDisks(pass, "Replicate disk"));
  return SealPass(pass, changed_bytes);
}

Status RemoveUnusable(Environment& environment, LogSets& sets, const LogSet& set,
                      const Error& reason) {
  environment.progress.Warn(
      fmt::format("the change logs of {} are not used, the disks are compared instead: {}",
                  FormatTime(set.point.time), reason.Line()));
  return sets.Remove(set);
}

}  // namespace

Result<bool> SendWaitingChanges(Environment& environment, Vault& vault, const ItemLease& lease,
                                const Replicas& replicas, JobRun& run) {
  const Item& item = lease.item();
  LogSets sets = SetsOf(environment, vault, item);
  ASR_TRY(const auto recovered, sets.Recover());
  for (const std::string& document : recovered.damaged) {
    environment.progress.Warn(fmt::format(
        "change logs are not used, the disks are compared instead: {} was damaged", document));
  }
  Sender sender{environment, vault, lease, item, replicas, run};
  bool any_sealed = false;
  for (const LogSet& set : recovered.sets) {
    ASR_TRY(const auto points, vault.ListPointIds(item.id));
    if (std::ranges::find(points, set.point.id) != points.end()) {
      ASR_CHECK(vault.MakePointDurable(item.id, set.point.id));
      ASR_CHECK(sets.Remove(set));
      continue;
    }
    const auto sent = sender.Send(set);
    if (!sent && !IsOfLogs(sent.error())) return Fail(sent.error());
    if (!sent) {
      ASR_CHECK(RemoveUnusable(environment, sets, set, sent.error()));
      continue;
    }
    any_sealed |= sent->has_value();
    ASR_CHECK(sets.Remove(set));
  }
  return any_sealed;
}

Status DropWaitingChanges(Environment& environment, Vault& vault, const Item& item) {
  LogSets sets = SetsOf(environment, vault, item);
  ASR_TRY(const auto recovered, sets.Recover());
  for (const LogSet& set : recovered.sets) ASR_CHECK(sets.Remove(set));
  return {};
}

Result<std::optional<RecoveryPoint>> ReplicateDelta(ReplicationPass& pass) {
  ASR_TRY(const auto newest, NewestId(pass.vault, pass.item.id));
  Spool spool(pass, newest);
  const auto written = spool.Write();
  if (!written) {
    const ErrorKind kind = written.error().kind;
    if (kind == ErrorKind::kCancelled || kind == ErrorKind::kBusy) return Fail(written.error());
    return SendDirectly(pass, written.error());
  }
  if (!*written) return SealPass(pass, 0);
  LogSets sets = SetsOf(pass.environment, pass.vault, pass.item);
  Sender sender{pass.environment, pass.vault, pass.lease, pass.item, pass.replicas, pass.run};
  const auto sealed = sender.Send(spool.set());
  if (!sealed && !IsOfLogs(sealed.error())) return Fail(sealed.error());
  if (!sealed) {
    ASR_CHECK(RemoveUnusable(pass.environment, sets, spool.set(), sealed.error()));
    return SendDirectly(pass, sealed.error());
  }
  ASR_CHECK(NoteCursors(pass, *sealed ? (*sealed)->id : *newest));
  ASR_CHECK(sets.Remove(spool.set()));
  return sealed;
}

}  // namespace asr
