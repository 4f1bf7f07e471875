#include "core/jobs/delta.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/changes/change_log.h"
#include "core/jobs/replica_target.h"
#include "core/jobs/resync.h"
#include "core/jobs/send_changes.h"
#include "core/transfer/apply_log.h"
#include "core/transfer/make_equal.h"
#include "core/transfer/spool_target.h"
#include "core/vault/item_documents.h"
#include "core/vault/layout.h"

namespace asr {
namespace {

// What a file system surely takes as a name, with the log's own endings.
constexpr std::size_t kMostNameBytes = 180;

std::string LogName(std::string_view image, const Bits128& id) {
  return fmt::format("{}.{}.hrl", image.substr(0, kMostNameBytes), ToHex(id));
}

// By which a VHDX tells that it was written to; zeros for other formats.
Guid DataWriteGuidOf(const Disk& disk) {
  const ImageDescription leaf = disk.Describe().front();
  const bool has_one = FormatName(leaf.format) == "vhdx" && !leaf.id.empty();
  return has_one ? GuidFromText(leaf.id) : Guid{};
}

// Finds and logs what changed.
class Spool {
 public:
  // `newest` as it was read, if there is one.
  Spool(ReplicationPass& pass, std::optional<PointId> newest,
        std::optional<Result<RecoveryPoint>> newest_point)
      : pass_(pass),
        sets_(LogSetsOf(pass.environment, pass.vault, pass.item.id)),
        newest_(std::move(newest)),
        newest_point_(std::move(newest_point)) {}

  enum class Outcome : std::uint8_t {
    kLogged,   // the set exists
    kNothing,  // nothing changed
    kNoLog,    // the changes cannot be logged: reason() says why
  };
  // Unless it is kLogged, nothing is left.
  Result<Outcome> Write();
  [[nodiscard]] const LogSet& set() const { return set_; }
  [[nodiscard]] const Error& reason() const { return *reason_; }
  // The disk whose changes cannot be logged; none if it is about none alone.
  [[nodiscard]] std::optional<std::size_t> reason_disk() const { return reason_disk_; }

 private:
  Status WriteLogs();
  Status WriteDisk(std::size_t index, const Bits128& last);
  Status WriteLog(std::size_t index, const Bits128& last, TaskProgress& progress);
  Status FillLog(std::size_t index, ChangeLogWriter& writer, TaskProgress& progress);
  Result<std::unique_ptr<ChangeLogWriter>> CreateLog(std::size_t index, const Bits128& last);
  Result<std::unique_ptr<ChangeLogWriter>> CreateLogIn(const std::string& folder,
                                                       const std::string& image, std::size_t index,
                                                       const Bits128& last);
  Status Describe();

  ReplicationPass& pass_;
  LogSets sets_;
  std::optional<PointId> newest_;
  std::optional<Result<RecoveryPoint>> newest_point_;
  LogSet set_;
  std::optional<Error> reason_;
  std::optional<std::size_t> reason_disk_;
  std::uint64_t entry_count_ = 0;
};

Result<Spool::Outcome> Spool::Write() {
  const Status written = WriteLogs();
  if (written && !reason_ && entry_count_ > 0) return Outcome::kLogged;
  RemoveLogSet(pass_.environment, sets_, set_);
  if (!written) return Fail(written.error());
  return reason_ ? Outcome::kNoLog : Outcome::kNothing;
}

Status Spool::WriteLogs() {
  ASR_CHECK(Describe());
  const auto& last = newest_point_;
  // A log cannot follow one that nobody can name.
  if (last && !*last && last->error().kind == ErrorKind::kCorrupt) {
    reason_ = last->error();
    return {};
  }
  if (last) ASR_CHECK(*last);
  for (std::size_t i = 0; i < set_.disks.size() && !reason_; ++i) {
    Bits128 before{};
    if (last) {
      const auto& disks = (*last)->disks;
      const auto disk = std::ranges::find(disks, set_.point.disks[i].name, &PointDisk::name);
      if (disk != disks.end()) before = disk->log;
    }
    ASR_CHECK(WriteDisk(i, before));
    if (reason_) reason_disk_ = i;
  }
  if (entry_count_ == 0 || reason_) return {};
  ASR_CHECK(pass_.source.Verify());
  pass_.source.WillBeNamed();
  const Status committed = sets_.Commit(set_);
  if (!committed) reason_ = committed.error();
  return {};
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

// A log takes at most half of what is free: the guests whose disks lie beside it need the rest.
Result<std::unique_ptr<ChangeLogWriter>> Spool::CreateLogIn(const std::string& folder,
                                                            const std::string& image,
                                                            std::size_t index,
                                                            const Bits128& last) {
  Environment& environment = pass_.environment;
  PointDisk& disk = set_.point.disks[index];
  std::string& path = set_.disks[index].log_path;
  path = JoinPath(folder, LogName(image, disk.log));
  ASR_CHECK(sets_.Announce(set_));
  ASR_TRY(const std::uint64_t free_bytes, environment.fs.FreeBytes(folder));
  return ChangeLogWriter::Create(
      environment.fs, path,
      {.id = disk.log, .previous_id = last, .created = environment.clock.Now()},
      pass_.vault.identity().algorithm,
      {.most_bytes = disk.size_bytes / 2, .space_bytes = free_bytes / 2});
}

// Beside the image; where that cannot be, on this machine's own place.
Result<std::unique_ptr<ChangeLogWriter>> Spool::CreateLog(std::size_t index, const Bits128& last) {
  const SourceSnapshot::OpenedDisk& source = pass_.source.disks()[index];
  const std::string image = BaseName(source.image_path);
  set_.point.disks[index].log = RandomBits();
  if (!source.log_directory.empty()) {
    auto beside = CreateLogIn(source.log_directory, image, index, last);
    if (beside) return beside;
    // Only once nothing is left of it may its place be forgotten.
    ASR_CHECK(RemoveChangeLog(pass_.environment.fs, set_.disks[index].log_path));
  }
  return CreateLogIn(sets_.directory(), layout::EscapeSegment(image), index, last);
}

Status Spool::WriteDisk(std::size_t index, const Bits128& last) {
  PointDisk& disk = set_.point.disks[index];
  std::uint64_t total_bytes = 0;
  if (pass_.was_read[index]) {
    ASR_TRY(total_bytes, BytesToRead(pass_.source.disks()[index]));
  }
  const auto write = [&](TaskProgress& progress) -> Status {
    if (pass_.was_read[index]) return WriteLog(index, last, progress);
    pass_.run.AddStats({.bytes_skipped = disk.size_bytes});
    ReplicaTarget replica(*pass_.replicas[index]);
    ASR_TRY(const DiskDigest digest, ReadDiskDigest(replica, disk.size_bytes));
    set_.disks[index].disk_digest = digest.bits();
    disk.log = last;
    return {};
  };
  return pass_.run.RunTask(fmt::format("Replicate disk {}", disk.name.value), total_bytes, write);
}

// What goes wrong with the log alone is a reason to do without it, not an error.
Status Spool::WriteLog(std::size_t index, const Bits128& last, TaskProgress& progress) {
  const auto writer = CreateLog(index, last);
  if (!writer) {
    reason_ = writer.error();
    return {};
  }
  ASR_CHECK(FillLog(index, **writer, progress));
  if (reason_) return {};
  if ((*writer)->entry_count() > 0) {
    entry_count_ += (*writer)->entry_count();
    const Guid guid = DataWriteGuidOf(*pass_.source.disks()[index].disk);
    const Status closed = (*writer)->Close(guid, pass_.environment.clock.Now());
    if (!closed) reason_ = closed.error();
    return {};
  }
  LoggedDisk& logged = set_.disks[index];
  if (const Status removed = RemoveChangeLog(pass_.environment.fs, logged.log_path); !removed) {
    reason_ = removed.error();
    return {};
  }
  logged.log_path.clear();
  set_.point.disks[index].log = last;
  return {};
}

Status Spool::FillLog(std::size_t index, ChangeLogWriter& writer, TaskProgress& progress) {
  ReplicaTarget replica(*pass_.replicas[index]);
  SpoolTarget target(replica, writer, pass_.environment.clock);
  const auto follow = pass_.run.Follow(progress);
  const TransferOptions options{.algorithm = pass_.vault.identity().algorithm,
                                .on_progress =
                                    [&](TransferStats stats) {
                                      // What is logged is not sent yet.
                                      stats.bytes_sent = stats.bytes_cleared = 0;
                                      follow(stats);
                                    },
                                .stop = pass_.environment.stop,
                                .changed = pass_.source.disks()[index].changed};
  const auto stats = MakeEqual(*pass_.source.disks()[index].disk, target, options);
  if (target.log_error()) {
    reason_ = target.log_error();
    reason_->WithContext(fmt::format("disk {}", pass_.item.disks[index].name.value));
    return {};
  }
  ASR_CHECK(stats);
  set_.disks[index].disk_digest = target.TakeDiskDigest().bits();
  set_.point.changed_bytes += stats->bytes_sent + stats->bytes_cleared;
  return {};
}

Result<std::optional<RecoveryPoint>> SendDirectly(ReplicationPass& pass) {
  pass.was_read.clear();
  ASR_TRY(const std::uint64_t changed_bytes, ReplicateDisks(pass, "Replicate disk"));
  return SealPass(pass, changed_bytes);
}

Result<std::optional<RecoveryPoint>> SendWithoutLog(ReplicationPass& pass, const Spool& spool) {
  const Error& reason = spool.reason();
  if (reason.code == ErrorCode::kLogTooLarge) {
    return RunResync(
        pass,
        {.state = ResyncState::kRequired, .cause = reason.Line(), .disk = spool.reason_disk()});
  }
  pass.environment.progress.Warn(fmt::format("VM {}: the changes are sent without a change log: {}",
                                             pass.item.name, reason.Line()));
  return SendDirectly(pass);
}

}  // namespace

Result<std::optional<RecoveryPoint>> ReplicateDelta(ReplicationPass& pass) {
  ASR_TRY(auto documents, pass.vault.Documents(pass.item.id));
  ASR_TRY(const auto ids, documents.ListPointIds());
  std::optional<PointId> newest;
  std::optional<Result<RecoveryPoint>> newest_point;
  if (!ids.empty()) {
    newest = ids.front();
    newest_point.emplace(std::move(documents.ReadPoints({ids.front()}).front()));
  }
  Spool spool(pass, newest, std::move(newest_point));
  ASR_TRY(const Spool::Outcome outcome, spool.Write());
  if (outcome == Spool::Outcome::kNoLog) return SendWithoutLog(pass, spool);
  if (outcome == Spool::Outcome::kNothing) return SealPass(pass, 0);
  // The set has all that is needed: however long the network takes, the VM is done with.
  pass.source.Keep();
  LogSets sets = LogSetsOf(pass.environment, pass.vault, pass.item.id);
  const LogSender sender{pass.environment, pass.vault, pass.lease, pass.replicas, pass.run};
  auto sealed = SendLogSet(sender, spool.set());
  if (!sealed && !IsOfChangeLogs(sealed.error())) return Fail(sealed.error());
  if (!sealed) {
    RemoveUnusable(pass.environment, sets, spool.set(), sealed.error());
    if (!pass.source.is_open()) return Fail(Error(sealed.error()).Retryable());
    return SendDirectly(pass);
  }
  ASR_CHECK(NoteCursors(pass, *sealed ? (*sealed)->id : *newest));
  RemoveLogSet(pass.environment, sets, spool.set());
  return sealed;
}

}  // namespace asr
