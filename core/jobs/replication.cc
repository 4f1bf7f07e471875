#include "core/jobs/replication.h"

#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "core/jobs/hosts.h"
#include "core/jobs/replica_target.h"
#include "core/transfer/make_equal.h"
#include "core/vault/unsealed.h"
#include "storage/base/text.h"

namespace asr {
namespace {

// Retention never removes the last one. What is left of their snapshots may be all that there is.
Error PointsAreGone(const Item& item) {
  return MakeError(ErrorKind::kCorrupt, ErrorCode::kNoRecoveryPoint,
                   fmt::format("VM {} is protected, and has no recovery point: their documents are "
                               "gone from the vault",
                               item.name))
      .WithCause("the vault is being copied, or was brought back in part")
      .WithCause("somebody removed files of the vault")
      .WithAction(
          fmt::format("bring items/{0}/points back from a copy of the vault; or start anew, "
                      "without what they held: asr disable {1}, then asr enable {1}",
                      item.id.value, ShellQuote(item.name)));
}

// Dropping their snapshots would destroy what they hold.
Error SomePointsAreGone(const Item& item, const std::set<SnapshotId>& unsealed) {
  const std::string name = ShellQuote(item.name);
  return MakeError(
             ErrorKind::kCorrupt, ErrorCode::kVaultDamaged,
             fmt::format("VM {}: {} snapshots, the first {}, have no recovery point: it seems "
                         "that their documents are gone from the vault",
                         item.name, unsealed.size(), unsealed.begin()->value))
      .WithCause("the vault is being copied, or was brought back in part")
      .WithCause("somebody removed files of the vault, or a repair of its file system did")
      .WithAction(
          fmt::format("bring items/{}/points back from a copy of the vault; or, if nobody needs "
                      "what they held: asr points prune {}",
                      item.id.value, name));
}

Status NoteCursor(ReplicationPass& pass, std::size_t index, const PointId& point, bool was_read) {
  Environment& environment = pass.environment;
  const std::string& vault_id = pass.vault.identity().id;
  const DiskName& disk = pass.item.disks[index].name;
  DiskCursor cursor{.vault_id = vault_id,
                    .item = pass.item.id,
                    .disk = disk,
                    .point = point,
                    .stamps_json = StampsToJson(pass.source.disks()[index].stamps),
                    .pass_started = pass.source.taken(),
                    .full_read = pass.source.taken()};
  if (!was_read) {
    ASR_TRY(const auto old, environment.state.FindCursor(vault_id, pass.item.id, disk));
    if (old) {
      cursor.pass_started = old->pass_started;
      cursor.full_read = old->full_read;
    }
  }
  return environment.state.PutCursor(cursor);
}

// Another file under the old name: a disk that was replaced, or brought back from a copy.
void WarnOfReplacement(ReplicationPass& pass, std::size_t index, const DiskStamps& before) {
  const DiskStamps& now = pass.source.disks()[index].stamps;
  if (before.empty() || now.empty() || before.front().path != now.front().path) return;
  const FileStamp& old_file = before.front().stamp;
  const FileStamp& new_file = now.front().stamp;
  // The device's number may be another one after each mount.
  if (old_file.inode == new_file.inode) return;
  if (std::ranges::find(pass.replaced, index) != pass.replaced.end()) return;
  pass.replaced.push_back(index);
  pass.environment.progress.Warn(
      fmt::format("VM {}, disk {}: {} is another file than at the last replication; the whole "
                  "disk is compared",
                  pass.item.name, pass.item.disks[index].name.value, now.front().path));
}

}  // namespace

Result<bool> HoldPoint(const Replicas& replicas, const PointId& point) {
  for (const auto& replica : replicas) {
    ASR_TRY(const bool holds, replica->HoldsPoint(point));
    if (!holds) return false;
  }
  return true;
}

Result<std::uint64_t> BytesToRead(const SourceSnapshot::OpenedDisk& disk) {
  if (!disk.changed) return AllocatedBytes(*disk.disk);
  constexpr std::uint64_t kWindowBytes = 4 * kGiB;
  const std::uint64_t size_bytes = disk.disk->size_bytes();
  std::uint64_t bytes = 0;
  for (std::uint64_t offset = 0; offset < size_bytes; offset += kWindowBytes) {
    ASR_TRY(const auto extents,
            disk.changed({offset, std::min(kWindowBytes, size_bytes - offset)}));
    for (const Extent& extent : extents) bytes += extent.length_bytes;
  }
  return bytes;
}

Result<std::optional<PointId>> NewestId(Vault& vault, const ItemId& item) {
  ASR_TRY(const auto ids, vault.ListPointIds(item));
  if (ids.empty()) return std::nullopt;
  return ids.front();
}

Result<bool> IsUnread(ReplicationPass& pass, std::size_t index,
                      const std::optional<PointId>& newest) {
  if (!newest) return false;
  if (pass.is_resync && pass.resync_disk.value_or(index) == index) return false;
  const ItemDisk& disk = pass.item.disks[index];
  ASR_TRY(const auto cursor,
          pass.environment.state.FindCursor(pass.vault.identity().id, pass.item.id, disk.name));
  if (!cursor) return false;
  auto stamps = ParseStamps(cursor->stamps_json);
  if (!stamps) return false;
  WarnOfReplacement(pass, index, *stamps);
  if (cursor->point != *newest) return false;
  const LastPass last{.stamps = *std::move(stamps),
                      .pass_started = cursor->pass_started,
                      .full_read = cursor->full_read};
  if (!IsUntouched(pass.source.disks()[index].stamps, last, pass.environment.clock.Now())) {
    return false;
  }
  // An interrupted pass over another state of the disk may have changed the replica.
  return pass.replicas[index]->HoldsPoint(*newest);
}

RecoveryPoint DescribePoint(const Item& item, const SourceSnapshot& source,
                            const std::optional<PointId>& newest, std::uint64_t changed_bytes) {
  RecoveryPoint point;
  point.id = NextPointId(source.taken(), newest);
  point.time = source.taken();
  point.consistency = source.consistency();
  point.checkpoint = source.checkpoint();
  point.firmware = source.firmware();
  point.frozen = source.frozen();
  point.item = item.id;
  point.epoch = item.epoch;
  point.generation = item.generation;
  point.parent = newest;
  point.changed_bytes = changed_bytes;
  point.settings = item.settings;
  for (std::size_t i = 0; i < item.disks.size(); ++i) {
    const ItemDisk& disk = item.disks[i];
    point.disks.push_back({.name = disk.name,
                           .format = disk.format,
                           .size_bytes = disk.size_bytes,
                           .logical_sector_bytes = disk.logical_sector_bytes});
    if (!point.checkpoint.empty()) point.disks[i].image = source.disks()[i].image_path;
  }
  return point;
}

Result<Replicas> OpenReplicas(Vault& vault, const ItemLease& lease, bool create, LostPoints lost,
                              ReplicaGrowth growth) {
  const Item& item = lease.item();
  ASR_TRY(const auto points, vault.ListPointIds(item.id));
  if (points.empty() && item.state == ProtectionState::kProtected) {
    return Fail(PointsAreGone(item));
  }
  Replicas replicas;
  std::set<SnapshotId> unsealed;
  for (const ItemDisk& disk : item.disks) {
    auto replica = create ? DiskReplica::OpenOrCreate(vault, lease, disk)
                          : DiskReplica::Open(vault, lease, disk, growth);
    if (!replica) {
      return Fail(std::move(replica).error().WithContext(
          fmt::format("VM {}, disk {}", item.name, disk.name.value)));
    }
    ASR_TRY(auto of_disk, (*replica)->FindUnsealed(points));
    unsealed.merge(of_disk);
    replicas.push_back(*std::move(replica));
  }
  if (lost == LostPoints::kRefuse && MayBeLostPoints(points, unsealed)) {
    return Fail(SomePointsAreGone(item, unsealed));
  }
  // Under the lease no more of them can come.
  if (unsealed.empty()) return replicas;
  for (const auto& replica : replicas) {
    Status dropped = replica->DropUnsealed(points);
    if (!dropped) {
      return Fail(std::move(dropped).error().WithContext(
          fmt::format("VM {}, disk {}", item.name, replica->disk().name.value)));
    }
  }
  return replicas;
}

void WarnOfLeftOvers(Environment& environment, const Item& item, const Replicas& replicas) {
  for (const auto& replica : replicas) {
    for (const Error& error : replica->left_overs()) {
      environment.progress.Warn(fmt::format(
          "VM {}, disk {}: the rest of a recovery point that was removed stays, and does no harm: "
          "{}",
          item.name, replica->disk().name.value, error.Line()));
    }
  }
}

Result<std::uint64_t> ReplicateDisks(ReplicationPass& pass, const std::string& task_prefix) {
  ASR_CHECK(pass.lease.NoteApplying(std::nullopt));
  ASR_TRY(const auto newest, NewestId(pass.vault, pass.item.id));
  std::uint64_t changed_bytes = 0;
  for (std::size_t i = 0; i < pass.item.disks.size(); ++i) {
    const ItemDisk& item_disk = pass.item.disks[i];
    const SourceSnapshot::OpenedDisk& source = pass.source.disks()[i];
    ASR_TRY(const bool unread, IsUnread(pass, i, newest));
    pass.was_read.push_back(!unread);
    std::uint64_t total_bytes = 0;
    if (!unread) {
      ASR_TRY(total_bytes, BytesToRead(source));
    }
    const auto copy = [&](TaskProgress& progress) -> Status {
      if (unread) {
        pass.run.AddStats({.bytes_skipped = item_disk.size_bytes});
        return {};
      }
      ReplicaTarget target(*pass.replicas[i]);
      TransferOptions options{.algorithm = pass.vault.identity().algorithm,
                              .on_progress = pass.run.Follow(progress),
                              .stop = pass.environment.stop,
                              .resumes = !newest,
                              .changed = pass.is_resync ? ChangedExtents() : source.changed};
      ASR_TRY(const TransferStats stats, MakeEqual(*source.disk, target, options));
      changed_bytes += stats.bytes_sent + stats.bytes_cleared;
      return {};
    };
    ASR_CHECK(pass.run.RunTask(fmt::format("{} {}", task_prefix, item_disk.name.value), total_bytes,
                               copy));
  }
  return changed_bytes;
}

Result<std::optional<RecoveryPoint>> SealIfNew(Vault& vault, const ItemLease& lease,
                                               const Replicas& replicas,
                                               const RecoveryPoint& point) {
  ASR_TRY(const auto newest, NewestId(vault, lease.item().id));
  ASR_TRY(const bool same, newest ? HoldPoint(replicas, *newest) : Result<bool>(false));
  if (same) {
    ASR_CHECK(vault.MakePointDurable(lease.item().id, *newest));
    return std::nullopt;
  }
  ASR_CHECK(SealPoint(vault, lease, replicas, point));
  return point;
}

Status NoteCursors(ReplicationPass& pass, const PointId& held) {
  for (std::size_t i = 0; i < pass.item.disks.size(); ++i) {
    ASR_CHECK(NoteCursor(pass, i, held, pass.was_read[i]));
  }
  return {};
}

bool IsWorthAnotherPass(Environment& environment, const std::string& vm, VmPowerState power_state,
                        int passes, const Error& error) {
  constexpr int kMostPasses = 3;
  const bool is_of_power_state = error.code == ErrorCode::kVmStateChanged ||
                                 error.code == ErrorCode::kImageChanged ||
                                 error.code == ErrorCode::kImageInUse;
  if (passes >= kMostPasses || !is_of_power_state) return false;
  const auto now = FindVm(environment, vm);
  if (!now || now->uuid.empty() || now->power_state == power_state) return false;
  environment.progress.Warn(
      fmt::format("VM {}: it was started or stopped, the pass is done again, and sends what is "
                  "missing: {}",
                  now->name, error.Line()));
  return true;
}

Result<std::optional<RecoveryPoint>> SealPass(ReplicationPass& pass, std::uint64_t changed_bytes) {
  std::optional<RecoveryPoint> sealed;
  const auto seal = [&](TaskProgress&) -> Status {
    ASR_CHECK(pass.source.Verify());
    ASR_TRY(const auto newest, NewestId(pass.vault, pass.item.id));
    const RecoveryPoint point = DescribePoint(pass.item, pass.source, newest, changed_bytes);
    const bool is_surely_sealed = pass.is_resync || pass.source.starts_tracking();
    if (is_surely_sealed || changed_bytes > 0) pass.source.WillBeNamed();
    if (is_surely_sealed) {
      ASR_CHECK(SealPoint(pass.vault, pass.lease, pass.replicas, point));
      sealed = point;
    } else {
      ASR_TRY(sealed, SealIfNew(pass.vault, pass.lease, pass.replicas, point));
    }
    return NoteCursors(pass, sealed ? point.id : *newest);
  };
  ASR_CHECK(pass.run.RunTask("Seal recovery point", 0, seal));
  if (sealed) pass.source.Keep();
  return sealed;
}

}  // namespace asr
