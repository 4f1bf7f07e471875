#include "core/vault/disk_replica.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "core/vault/layout.h"
#include "core/vault/unsealed.h"
#include "storage/base/text.h"

namespace asr {

bool IsUnreadableUndo(const Error& error) {
  return error.kind == ErrorKind::kIo && error.code == ErrorCode::kBlobCorrupt;
}

VhdFooter FooterOf(const Item& item, const ItemDisk& disk) {
  return MakeFixedVhdFooter(PaddedDiskBytes(disk.size_bytes), disk.unique_id,
                            VhdSeconds(item.created));
}

namespace {

bool IsMissing(const Error& error) { return error.code == ErrorCode::kBlobNotFound; }

// A new blob of pages with its footer. What is left of an earlier try is removed: without digests
// it holds nothing that anybody was promised.
Result<std::unique_ptr<PageBlob>> CreatePages(BlobStore& store, const std::string& name,
                                              const Item& item, const ItemDisk& disk) {
  ASR_CHECK(store.Delete(name));
  const std::uint64_t padded_bytes = PaddedDiskBytes(disk.size_bytes);
  ASR_TRY(auto pages, store.CreatePageBlob(name, padded_bytes + kVhdFooterBytes));
  ASR_CHECK(pages->Write(padded_bytes, FooterOf(item, disk)));
  ASR_CHECK(pages->Flush());
  return pages;
}

// The disk is larger than its digests say. Everything but them grows first, so that a growth that
// was cut is done again; what lies behind the old end is zeros.
Status GrowReplica(BlobStore& store, const ItemLease& lease, const ItemDisk& disk,
                   PageBlob& digests, DigestAlgorithm algorithm, std::uint64_t old_bytes) {
  const Item& item = lease.item();
  const std::uint64_t old_padded = PaddedDiskBytes(old_bytes);
  const std::uint64_t new_padded = PaddedDiskBytes(disk.size_bytes);
  ASR_CHECK(lease.Check());
  ASR_TRY(const auto pages, store.OpenPageBlob(layout::DiskBlob(item.id, disk.name)));
  const bool is_old = pages->size_bytes() == old_padded + kVhdFooterBytes;
  if (!is_old && pages->size_bytes() != new_padded + kVhdFooterBytes) return {};  // Open tells
  if (new_padded != old_padded) {
    ASR_CHECK(pages->Resize(new_padded + kVhdFooterBytes));
    ASR_CHECK(pages->Clear({old_padded, kVhdFooterBytes}));
    ASR_CHECK(pages->Write(new_padded, FooterOf(item, disk)));
    ASR_CHECK(pages->Flush());
  }
  ASR_CHECK(lease.Check());
  return DigestTable::Grow(digests, algorithm, disk.size_bytes);
}

// `disk` has the size of the digests afterwards.
Result<DigestTable> OpenDigests(Vault& vault, const ItemLease& lease, ItemDisk& disk,
                                ReplicaGrowth growth) {
  const std::string name = layout::DigestBlob(lease.item().id, disk.name);
  const DigestAlgorithm algorithm = vault.identity().algorithm;
  auto digests = DigestTable::Open(vault.store(), name, algorithm, disk.size_bytes);
  if (digests || digests.error().kind != ErrorKind::kCorrupt) return digests;
  ASR_TRY(const auto blob, vault.store().OpenPageBlob(name));
  ASR_TRY(const auto old_bytes, DiskBytesOfTable(*blob, algorithm));
  if (!old_bytes || *old_bytes >= disk.size_bytes) return digests;
  if (growth == ReplicaGrowth::kStay) {
    disk.size_bytes = *old_bytes;
  } else {
    ASR_CHECK(GrowReplica(vault.store(), lease, disk, *blob, algorithm, *old_bytes));
  }
  return DigestTable::Open(vault.store(), name, algorithm, disk.size_bytes);
}

std::vector<Extent> ChunksOf(std::span<const ChangedChunks> changes) {
  std::vector<Extent> extents;
  for (const ChangedChunks& change : changes) {
    for (std::uint64_t chunk = 0; chunk < kChunksPerGroup; ++chunk) {
      if ((change.chunk_mask >> chunk & 1) == 0) continue;
      AppendExtent(extents, {change.group * kGroupBytes + chunk * kChunkBytes, kChunkBytes});
    }
  }
  return extents;
}

}  // namespace

DiskReplica::DiskReplica(Vault& vault, const ItemLease& lease, ItemDisk disk,
                         std::unique_ptr<PageBlob> pages, DigestTable digests)
    : vault_(vault),
      lease_(lease),
      item_(lease.item().id),
      disk_(std::move(disk)),
      pages_(std::move(pages)),
      digests_(std::move(digests)) {}

Result<std::unique_ptr<DiskReplica>> DiskReplica::Open(Vault& vault, const ItemLease& lease,
                                                       ItemDisk disk, ReplicaGrowth growth) {
  const Item& item = lease.item();
  const std::string pages_name = layout::DiskBlob(item.id, disk.name);
  const std::uint64_t grown_bytes = PaddedDiskBytes(disk.size_bytes) + kVhdFooterBytes;
  ASR_TRY(auto digests, OpenDigests(vault, lease, disk, growth));
  ASR_TRY(auto pages, vault.store().OpenPageBlob(pages_name));
  const std::uint64_t padded_bytes = PaddedDiskBytes(disk.size_bytes);
  // A growth that was cut has made the pages larger already.
  if (pages->size_bytes() != padded_bytes + kVhdFooterBytes && pages->size_bytes() != grown_bytes) {
    return Fail(MakeError(ErrorKind::kCorrupt, ErrorCode::kBlobCorrupt,
                          fmt::format("{} is {} bytes long, {} are right", pages_name,
                                      pages->size_bytes(), padded_bytes + kVhdFooterBytes))
                    .WithCause("somebody changed the vault's files by hand")
                    .WithAction("bring the file back from a copy of the vault; points that were "
                                "sealed can be restored while their undo files are whole"));
  }
  std::unique_ptr<DiskReplica> replica(
      new DiskReplica(vault, lease, std::move(disk), std::move(pages), std::move(digests)));
  replica->UseCachedDigests();
  return replica;
}

Result<std::unique_ptr<DiskReplica>> DiskReplica::OpenOrCreate(Vault& vault, const ItemLease& lease,
                                                               const ItemDisk& disk) {
  auto replica = Open(vault, lease, disk);
  if (replica || !IsMissing(replica.error())) return replica;
  ASR_CHECK(lease.Check());
  const Item& item = lease.item();
  // Digests are made last and removed first: their claim that all is zero must only ever stand
  // beside pages that are.
  const std::string digest_name = layout::DigestBlob(item.id, disk.name);
  ASR_CHECK(vault.store().Delete(digest_name));
  ASR_TRY(auto pages, CreatePages(vault.store(), layout::DiskBlob(item.id, disk.name), item, disk));
  ASR_TRY(auto digests, DigestTable::Create(vault.store(), digest_name, vault.identity().algorithm,
                                            disk.size_bytes));
  return std::unique_ptr<DiskReplica>(
      new DiskReplica(vault, lease, disk, std::move(pages), std::move(digests)));
}

void DiskReplica::UseCachedDigests() {
  const auto& cache = vault_.digest_cache();
  if (!cache) return;
  auto cached = cache->Load(item_, disk_.name, digests_.blob().opened_content_name(),
                            GroupCount(disk_.size_bytes));
  if (!cached) return;
  digests_.AdoptGroups(cached->groups);
  held_ = cached->point;
  // Opening it has changed the name of the blob's version.
  auto version = digests_.blob().ContentName();
  if (!version) return;
  cached->version = *std::move(version);
  cache->Rename(item_, disk_.name, *cached);
}

void DiskReplica::KeepDigests(const PointId& point) {
  held_ = point;
  const auto& cache = vault_.digest_cache();
  if (!cache) return;
  const auto version = digests_.blob().ContentName();
  const auto groups = digests_.KnownGroups();
  if (!version || version->empty() || groups.empty()) return;
  cache->Save(item_, disk_.name, {.version = *version, .point = point, .groups = groups});
}

Status DiskReplica::Prepare(std::span<const ChangedChunks> changes) {
  ASR_CHECK(lease_.Check());
  held_.reset();
  ASR_CHECK(digests_.MarkUnknown(changes));
  std::vector<Extent> chunks = ChunksOf(changes);
  // The last chunk may reach over the blob's end.
  for (Extent& chunk : chunks) {
    chunk.length_bytes = std::min(chunk.end_bytes(), pages_->size_bytes()) - chunk.offset_bytes;
  }
  Status kept = pages_->Preserve(chunks);
  if (kept || kept.error().kind != ErrorKind::kIo || kept.error().code != ErrorCode::kBlobCorrupt) {
    return kept;
  }
  return Fail(Error(kept.error())
                  .WithContext(fmt::format("VM {}, disk {}", lease_.item().name, disk_.name.value))
                  .WithAction(fmt::format(
                      "have the replica read and mended: asr resync {0} --now --deep; it takes "
                      "such bytes from the source again, and names what recovery points lose "
                      "where the source holds others by now",
                      ShellQuote(lease_.item().name))));
}

Status DiskReplica::KeepInstead(std::uint64_t offset_bytes, ByteSpan bytes) {
  ASR_CHECK(lease_.Check());
  return pages_->KeepInstead(offset_bytes, bytes);
}

Status DiskReplica::Write(std::uint64_t offset_bytes, ByteSpan bytes) {
  return pages_->Write(offset_bytes, bytes);
}

Status DiskReplica::Clear(Extent range) {
  // The footer behind the disk's end stays.
  const std::uint64_t end = std::min(range.end_bytes(), PaddedDiskBytes(disk_.size_bytes));
  return pages_->Clear({range.offset_bytes, end - range.offset_bytes});
}

Status DiskReplica::Commit(std::span<const GroupDigests> digests) {
  ASR_CHECK(pages_->Flush());
  ASR_CHECK(lease_.Check());
  held_.reset();
  return digests_.Store(digests);
}

Status DiskReplica::Snapshot(const PointId& point) {
  ASR_TRY(const bool known, AllKnown(digests_, disk_.size_bytes));
  if (!known) {
    return Fail(
        MakeError(ErrorKind::kInternal, ErrorCode::kInternal,
                  fmt::format("disk {} has unknown digests and cannot be sealed", disk_.name.value))
            .WithAction("run the replication again"));
  }
  ASR_CHECK(pages_->Flush());
  ASR_CHECK(digests_.Flush());
  ASR_CHECK(lease_.Check());
  ASR_CHECK(pages_->CreateSnapshot({point.value}));
  ASR_CHECK(digests_.blob().CreateSnapshot({point.value}));
  KeepDigests(point);
  return {};
}

Result<std::set<SnapshotId>> DiskReplica::FindUnsealed(std::span<const PointId> sealed) {
  std::set<SnapshotId> unsealed;
  for (PageBlob* blob : {pages_.get(), &digests_.blob()}) {
    ASR_TRY(const auto snapshots, blob->ListSnapshots());
    AddUnsealed(snapshots, sealed, unsealed);
  }
  return unsealed;
}

Status DiskReplica::DropUnsealed(std::span<const PointId> sealed) {
  left_overs_.clear();
  for (PageBlob* blob : {pages_.get(), &digests_.blob()}) {
    ASR_TRY(const auto snapshots, blob->ListSnapshots());
    std::set<SnapshotId> unsealed;
    AddUnsealed(snapshots, sealed, unsealed);
    for (const SnapshotId& snapshot : unsealed) {
      ASR_CHECK(lease_.Check());
      // Elsewhere the lock, not a condition of each write, keeps late writers out.
      if (lease_.IsFence()) {
        ASR_TRY(const bool is_forbidden, ForbidSeal(vault_, item_, {snapshot.value}));
        if (!is_forbidden) continue;
        if (!sealed.empty()) ASR_CHECK(RemoveOldMarks(vault_, item_, sealed.front()));
      }
      const Status ready = blob->PrepareDelete(snapshot);
      if (!ready && IsUnreadableUndo(ready.error())) {
        left_overs_.push_back(ready.error());
        continue;
      }
      ASR_CHECK(ready);
      ASR_CHECK(blob->DeleteSnapshot(snapshot));
    }
  }
  return {};
}

Status DiskReplica::PrepareDelete(const PointId& point) {
  ASR_CHECK(lease_.Check());
  for (PageBlob* blob : {&digests_.blob(), pages_.get()}) {
    Status ready = blob->PrepareDelete({point.value});
    if (!ready && !IsNotFound(ready.error())) return ready;
  }
  return {};
}

Status DiskReplica::DeleteSnapshot(const PointId& point) {
  ASR_CHECK(lease_.Check());
  for (PageBlob* blob : {&digests_.blob(), pages_.get()}) {
    Status deleted = blob->DeleteSnapshot({point.value});
    if (!deleted && !IsNotFound(deleted.error())) return deleted;
  }
  return {};
}

Result<bool> DiskReplica::HoldsPoint(const PointId& point) {
  auto opened = vault_.store().OpenPageBlobReader(layout::DigestBlob(item_, disk_.name),
                                                  SnapshotId{point.value});
  if (!opened && IsNotFound(opened.error())) {
    ASR_TRY(const auto snapshots, digests_.blob().ListSnapshots());
    if (snapshots.empty()) return false;
  }
  ASR_CHECK(opened);
  auto blob = *std::move(opened);
  ASR_TRY(const auto point_bytes, DiskBytesOfTable(*blob, vault_.identity().algorithm));
  if (point_bytes && *point_bytes != disk_.size_bytes) return false;
  ASR_TRY(auto sealed,
          DigestTableReader::Open(std::move(blob), vault_.identity().algorithm, disk_.size_bytes));
  if (held_ == point) return true;
  return TablesAgree(digests_, *sealed, disk_.size_bytes);
}

}  // namespace asr
