#include "core/jobs/change_spool.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <utility>

#include <fmt/format.h>

#include "core/changes/change_log.h"
#include "core/jobs/replica_target.h"
#include "core/jobs/replication.h"
#include "core/jobs/send_changes.h"
#include "core/source/backup_guard.h"
#include "core/transfer/apply_log.h"
#include "core/transfer/make_equal.h"
#include "core/transfer/spool_target.h"
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

// What stays free of a file system, as of those that a guard watches.
std::uint64_t ReserveOf(const std::string& folder) {
  std::error_code error;
  const auto space = std::filesystem::space(folder, error);
  return error ? 0 : ReserveBytes(space.capacity);
}

// A replica that nobody can ask: any chunk may differ from it.
class UnknownTarget : public TransferTarget {
 public:
  Status ReadGroups(std::uint64_t, std::span<Digest> out) override {
    std::ranges::fill(out, Digest::Unknown());
    return {};
  }
  Status ReadChunks(std::uint64_t, ChunkRow& out) override {
    out.fill(Digest::Unknown());
    return {};
  }
  Status Prepare(std::span<const ChangedChunks>) override { return {}; }
  Status Write(std::uint64_t, ByteSpan) override { return {}; }
  Status Clear(Extent) override { return {}; }
  Status Commit(std::span<const GroupDigests>) override { return {}; }
};

class Spool {
 public:
  explicit Spool(const SpoolWork& work) : work_(work), sets_(work.sets) {}

  Result<SpooledChanges> Write();

 private:
  Status WriteLogs();
  Status WriteDisk(std::size_t index, const Bits128& last);
  Status NoteUnread(std::size_t index, const Bits128& last);
  Status WriteLog(std::size_t index, const Bits128& last, TaskProgress& progress);
  Status FillLog(std::size_t index, ChangeLogWriter& writer, TaskProgress& progress);
  Result<std::unique_ptr<ChangeLogWriter>> CreateLog(std::size_t index, const Bits128& last);
  Result<std::unique_ptr<ChangeLogWriter>> CreateLogIn(const std::string& folder,
                                                       const std::string& image, std::size_t index,
                                                       const Bits128& last);
  Result<std::uint64_t> MostLogBytes(std::size_t index) const;

  const SpoolWork& work_;
  LogSets sets_;
  LogSet set_;
  std::optional<Error> reason_;
  std::optional<std::size_t> reason_disk_;
  std::uint64_t entry_count_ = 0;
};

Result<SpooledChanges> Spool::Write() {
  using Outcome = SpooledChanges::Outcome;
  const Status written = WriteLogs();
  if (written && !reason_ && entry_count_ > 0) {
    return SpooledChanges{.outcome = Outcome::kLogged, .set = std::move(set_)};
  }
  RemoveLogSet(work_.environment, sets_, set_);
  if (!written) return Fail(written.error());
  return SpooledChanges{.outcome = reason_ ? Outcome::kNoLog : Outcome::kNothing,
                        .reason = std::move(reason_),
                        .reason_disk = reason_disk_};
}

Status Spool::WriteLogs() {
  set_.point = DescribePoint(work_.item, work_.source, work_.parent, 0);
  set_.disks.resize(set_.point.disks.size());
  const auto& last = work_.parent_point;
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
  ASR_CHECK(work_.source.Verify());
  work_.source.WillBeNamed();
  const Status committed = sets_.Commit(set_);
  if (!committed) reason_ = committed.error();
  return {};
}

Result<std::uint64_t> Spool::MostLogBytes(std::size_t index) const {
  ASR_TRY(const auto setting, work_.environment.state.FindSetting(kLogLimitSetting));
  int percent = kDefaultLogLimitPercent;
  if (setting) std::from_chars(setting->data(), setting->data() + setting->size(), percent);
  const std::uint64_t size_bytes = set_.point.disks[index].size_bytes;
  const std::uint64_t most_bytes = size_bytes / 100 * static_cast<std::uint64_t>(percent);
  const std::uint64_t waiting = work_.waiting_bytes.empty() ? 0 : work_.waiting_bytes[index];
  return most_bytes - std::min(most_bytes, waiting);
}

// A log takes at most half of what is free: the guests whose disks lie beside it need the rest.
Result<std::unique_ptr<ChangeLogWriter>> Spool::CreateLogIn(const std::string& folder,
                                                            const std::string& image,
                                                            std::size_t index,
                                                            const Bits128& last) {
  Environment& environment = work_.environment;
  const PointDisk& disk = set_.point.disks[index];
  std::string& path = set_.disks[index].log_path;
  path = JoinPath(folder, LogName(image, disk.log));
  ASR_CHECK(sets_.Announce(set_));
  ASR_TRY(const std::uint64_t most_bytes, MostLogBytes(index));
  ASR_TRY(const std::uint64_t free_bytes, environment.fs.FreeBytes(folder));
  // Those that wait stay for as long as the vault is away, beside disks that grow.
  const std::uint64_t reserve_bytes = work_.replicas == nullptr ? ReserveOf(folder) : 0;
  const std::uint64_t space_bytes = (free_bytes - std::min(free_bytes, reserve_bytes)) / 2;
  return ChangeLogWriter::Create(
      environment.fs, path,
      {.id = disk.log, .previous_id = last, .created = environment.clock.Now()}, work_.algorithm,
      {.most_bytes = most_bytes, .space_bytes = space_bytes});
}

// Beside the image; where that cannot be, on this machine's own place.
Result<std::unique_ptr<ChangeLogWriter>> Spool::CreateLog(std::size_t index, const Bits128& last) {
  const SourceSnapshot::OpenedDisk& source = work_.source.disks()[index];
  const std::string image = BaseName(source.image_path);
  set_.point.disks[index].log = RandomBits();
  if (!source.log_directory.empty()) {
    auto beside = CreateLogIn(source.log_directory, image, index, last);
    if (beside) return beside;
    // Only once nothing is left of it may its place be forgotten.
    ASR_CHECK(RemoveChangeLog(work_.environment.fs, set_.disks[index].log_path));
  }
  return CreateLogIn(sets_.directory(), layout::EscapeSegment(image), index, last);
}

Status Spool::NoteUnread(std::size_t index, const Bits128& last) {
  PointDisk& disk = set_.point.disks[index];
  work_.run.AddStats({.bytes_skipped = disk.size_bytes});
  disk.log = last;
  if (work_.replicas == nullptr) return {};
  ReplicaTarget replica(*(*work_.replicas)[index]);
  ASR_TRY(const DiskDigest digest, ReadDiskDigest(replica, disk.size_bytes));
  set_.disks[index].disk_digest = digest.bits();
  return {};
}

Status Spool::WriteDisk(std::size_t index, const Bits128& last) {
  std::uint64_t total_bytes = 0;
  if (work_.was_read[index]) {
    ASR_TRY(total_bytes, BytesToRead(work_.source.disks()[index]));
  }
  const auto write = [&](TaskProgress& progress) -> Status {
    if (work_.was_read[index]) return WriteLog(index, last, progress);
    return NoteUnread(index, last);
  };
  const std::string& name = set_.point.disks[index].name.value;
  const std::string_view task =
      work_.replicas != nullptr ? "Replicate disk" : "Log changes of disk";
  return work_.run.RunTask(fmt::format("{} {}", task, name), total_bytes, write);
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
    const Guid guid = DataWriteGuidOf(*work_.source.disks()[index].disk);
    const Status closed = (*writer)->Close(guid, work_.environment.clock.Now());
    if (!closed) reason_ = closed.error();
    return {};
  }
  LoggedDisk& logged = set_.disks[index];
  if (const Status removed = RemoveChangeLog(work_.environment.fs, logged.log_path); !removed) {
    reason_ = removed.error();
    return {};
  }
  logged.log_path.clear();
  set_.point.disks[index].log = last;
  return {};
}

Status Spool::FillLog(std::size_t index, ChangeLogWriter& writer, TaskProgress& progress) {
  UnknownTarget unknown;
  std::optional<ReplicaTarget> replica;
  if (work_.replicas != nullptr) replica.emplace(*(*work_.replicas)[index]);
  TransferTarget& base = replica ? static_cast<TransferTarget&>(*replica) : unknown;
  SpoolTarget target(base, writer, work_.environment.clock);
  const auto follow = work_.run.Follow(progress);
  const TransferOptions options{.algorithm = work_.algorithm,
                                .on_progress =
                                    [&](TransferStats stats) {
                                      // What is logged is not sent yet.
                                      stats.bytes_sent = stats.bytes_cleared = 0;
                                      follow(stats);
                                    },
                                .stop = work_.environment.stop,
                                .changed = work_.source.disks()[index].changed};
  const auto stats = MakeEqual(*work_.source.disks()[index].disk, target, options);
  if (target.log_error()) {
    reason_ = target.log_error();
    reason_->WithContext(fmt::format("disk {}", work_.item.disks[index].name.value));
    return {};
  }
  if (!stats) return Fail(stats.error());
  if (replica) set_.disks[index].disk_digest = target.TakeDiskDigest().bits();
  set_.point.changed_bytes += stats->bytes_sent + stats->bytes_cleared;
  return {};
}

}  // namespace

Result<SpooledChanges> SpoolChanges(const SpoolWork& work) { return Spool(work).Write(); }

}  // namespace asr
