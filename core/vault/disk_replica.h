// The vault's copy of one disk, for its one writer: the pages of a fixed VHD and their digests,
// kept in step by the order of writes (man/asr-vault.5, "Order of writes").
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "core/model/item.h"
#include "core/model/point.h"
#include "core/vault/digest_table.h"
#include "core/vault/vault.h"
#include "storage/image/vhd_footer.h"

namespace asr {

// The footer behind the disk's pages.
[[nodiscard]] VhdFooter FooterOf(const Item& item, const ItemDisk& disk);

// Whether the replica of a disk that has grown grows with it. Removing points needs no room, which
// a full vault would not have.
enum class ReplicaGrowth : std::uint8_t { kFollow, kStay };

// The lease outlives this, and is checked before each step that others build on. Write and Clear
// may be called from several threads for different chunks; the rest not beside them, except the
// reading of digests.
class DiskReplica {
 public:
  // Opens it, or makes it if it is not there whole: an unfinished one holds nothing yet.
  [[nodiscard]] static Result<std::unique_ptr<DiskReplica>> OpenOrCreate(Vault& vault,
                                                                         const ItemLease& lease,
                                                                         const ItemDisk& disk);
  // kFollow: `disk` is as the item's document says, which a growth has changed first. kStay: only
  // for removing points. kNotFound (kBlobNotFound) or kCorrupt if it is not there whole.
  [[nodiscard]] static Result<std::unique_ptr<DiskReplica>> Open(
      Vault& vault, const ItemLease& lease, ItemDisk disk,
      ReplicaGrowth growth = ReplicaGrowth::kFollow);

  [[nodiscard]] const ItemDisk& disk() const { return disk_; }
  [[nodiscard]] DigestTable& digests() { return digests_; }

  // What the pages hold now, whatever the digests say. Inside the disk and its padding.
  [[nodiscard]] Status Read(std::uint64_t offset_bytes, MutableByteSpan out) {
    return pages_->Read(offset_bytes, out);
  }

  // First step of every change: the digests say unknown, and older points have what they need of
  // these chunks. All of it durable when this returns. `changes` ascend by group.
  [[nodiscard]] Status Prepare(std::span<const ChangedChunks> changes);
  // Before the first step, for a chunk whose bytes cannot be read any more: points that share it
  // read `bytes`, all of the chunk, in its place.
  [[nodiscard]] Status KeepInstead(std::uint64_t offset_bytes, ByteSpan bytes);
  // Second step. Only prepared chunks; offsets and lengths are multiples of 512 inside the disk.
  [[nodiscard]] Status Write(std::uint64_t offset_bytes, ByteSpan bytes);
  // Write with what `point` holds there, where the vault's storage can do that by itself: see
  // PageBlob::CopyFrom.
  [[nodiscard]] Result<bool> CopyFrom(const PointId& point, Extent range, std::uint64_t crc64) {
    return pages_->CopyFrom(SnapshotId{point.value}, range, crc64);
  }
  // The same with what `origin` holds there.
  [[nodiscard]] Result<bool> CopyFromOrigin(CopyOrigin& origin, Extent range, std::uint64_t crc64) {
    return pages_->CopyFromOrigin(origin, range, crc64);
  }
  [[nodiscard]] Status Clear(Extent range);
  // Third step: makes the pages durable, then notes their digests. `digests` ascend by group.
  [[nodiscard]] Status Commit(std::span<const GroupDigests> digests);

  // Freezes pages and digests under the point's id. Only while no digest is unknown: else
  // kInternal.
  [[nodiscard]] Status Snapshot(const PointId& point);
  // Snapshots that no point's document names: left-overs of a seal or a prune that was cut, or
  // points that lost their documents (MayBeLostPoints).
  [[nodiscard]] Result<std::set<SnapshotId>> FindUnsealed(std::span<const PointId> sealed);
  // Drops these, and keeps a writer that was cut off from sealing them late. One that older points
  // share bytes with which cannot be read any more stays, and does no harm: see left_overs().
  [[nodiscard]] Status DropUnsealed(std::span<const PointId> sealed);
  // Why each snapshot stayed.
  [[nodiscard]] const std::vector<Error>& left_overs() const { return left_overs_; }
  // Before the point's document goes: older points need nothing of it then. kIo (kBlobCorrupt) if
  // it has bytes that cannot be read any more.
  [[nodiscard]] Status PrepareDelete(const PointId& point);
  [[nodiscard]] Status DeleteSnapshot(const PointId& point);

  // True if the live pages hold exactly what `point` holds; false if the disk had another size
  // then, or was not there yet.
  [[nodiscard]] Result<bool> HoldsPoint(const PointId& point);

 private:
  DiskReplica(Vault& vault, const ItemLease& lease, ItemDisk disk, std::unique_ptr<PageBlob> pages,
              DigestTable digests);

  // What is kept on this machine of digests, if it is of what the vault has.
  void UseCachedDigests();
  void KeepDigests(const PointId& point);

  Vault& vault_;
  const ItemLease& lease_;
  ItemId item_;
  ItemDisk disk_;
  std::unique_ptr<PageBlob> pages_;
  DigestTable digests_;
  std::vector<Error> left_overs_;
  std::optional<PointId> held_;  // the point that the pages are known to hold; none: not known
};

// True of errors for bytes of an undo file that the disk cannot read any more.
[[nodiscard]] bool IsUnreadableUndo(const Error& error);

}  // namespace asr
