// The digests of one disk in the vault: one a 4 MiB group, one a 64 KiB chunk (man/asr-vault.5,
// "Digest blob"). Groups and their chunks lie in segments of fixed place, so that growth moves
// nothing.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "core/model/digest.h"
#include "storage/blob/blob_store.h"

namespace asr {

// Bytes of the digest blob of a disk.
[[nodiscard]] std::uint64_t DigestBlobBytes(std::uint64_t disk_bytes);

// Reads any version of a table. Thread-safe.
class DigestTableReader {
 public:
  // kCorrupt if the header is damaged, is of another algorithm, or of another disk size.
  [[nodiscard]] static Result<std::unique_ptr<DigestTableReader>> Open(
      std::unique_ptr<PageBlobReader> blob, DigestAlgorithm algorithm, std::uint64_t disk_bytes);

  // Groups first, first+1, ...: as many as `out` holds.
  [[nodiscard]] Status ReadGroups(std::uint64_t first, std::span<Digest> out);
  [[nodiscard]] Status ReadChunks(std::uint64_t group, ChunkRow& out);
  [[nodiscard]] std::uint64_t group_count() const { return group_count_; }

  // For who compares all of a table. Of the groups [first, first + count), which lie in one
  // segment: those whose digests this version may not share with the next newer one, and those
  // whose digests may not be zeros.
  [[nodiscard]] Result<std::vector<bool>> OwnGroups(std::uint64_t first, std::size_t count);
  [[nodiscard]] Result<std::vector<bool>> FilledGroups(std::uint64_t first, std::size_t count);
  // Parts of the blob that hold no digest of the disk: they are zeros.
  [[nodiscard]] std::vector<Extent> UnusedExtents() const;
  [[nodiscard]] PageBlobReader& blob() { return *blob_; }

 private:
  using ExtentsOf = Result<std::vector<Extent>> (PageBlobReader::*)(Extent);
  [[nodiscard]] Result<std::vector<bool>> GroupsIn(ExtentsOf extents_of, std::uint64_t first,
                                                   std::size_t count);

  DigestTableReader(std::unique_ptr<PageBlobReader> blob, std::uint64_t group_count);
  std::unique_ptr<PageBlobReader> blob_;
  std::uint64_t group_count_;
};

// The live table, for the disk's one writer. Group digests are read once, and kept in memory: 4 MiB
// for each TiB of disk.
class DigestTable {
 public:
  // A new table: all digests are zero, which is true of a new blob of pages.
  [[nodiscard]] static Result<DigestTable> Create(BlobStore& store, const std::string& name,
                                                  DigestAlgorithm algorithm,
                                                  std::uint64_t disk_bytes);
  [[nodiscard]] static Result<DigestTable> Open(BlobStore& store, const std::string& name,
                                                DigestAlgorithm algorithm,
                                                std::uint64_t disk_bytes);

  // The last step of a disk's growth: the table is one of a larger disk, whose new chunks are
  // zeros. Durable when it returns.
  [[nodiscard]] static Status Grow(PageBlob& blob, DigestAlgorithm algorithm,
                                   std::uint64_t disk_bytes);

  [[nodiscard]] Status ReadGroups(std::uint64_t first, std::span<Digest> out);
  [[nodiscard]] Status ReadChunks(std::uint64_t group, ChunkRow& out);
  // All group digests, if they were read already; else none.
  [[nodiscard]] std::vector<Digest> KnownGroups() const;
  // In place of reading them: what the blob holds, as the caller knows. As many as there are.
  void AdoptGroups(std::span<const Digest> groups);
  // The write intent: these chunks and their groups say "unknown", durably, when this returns.
  // `changes` ascend by group.
  [[nodiscard]] Status MarkUnknown(std::span<const ChangedChunks> changes);
  // What the pages hold now; the caller has made them durable. `digests` ascend by group. Durable
  // after Flush.
  [[nodiscard]] Status Store(std::span<const GroupDigests> digests);
  [[nodiscard]] Status Flush() { return blob_->Flush(); }
  [[nodiscard]] PageBlob& blob() { return *blob_; }

 private:
  // Group digests of one segment; none: not read yet.
  using Segment = std::vector<Digest>;

  DigestTable(std::unique_ptr<PageBlob> blob, std::uint64_t disk_bytes);
  template <class Update>
  Status UpdateGroups(std::uint64_t first, std::size_t count, const Update& update);
  [[nodiscard]] Result<std::span<Digest>> SegmentOf(std::uint64_t group);

  std::unique_ptr<PageBlob> blob_;
  std::uint64_t group_count_;
  std::unique_ptr<std::mutex> mutex_ = std::make_unique<std::mutex>();  // guards segments_
  std::vector<Segment> segments_;
};

// Of what size the disk is, or was when this version of its table was sealed. nullopt if the header
// is no whole one of this algorithm.
[[nodiscard]] Result<std::optional<std::uint64_t>> DiskBytesOfTable(PageBlobReader& blob,
                                                                    DigestAlgorithm algorithm);

// True if both say the same of every group, and none is unknown.
[[nodiscard]] Result<bool> TablesAgree(DigestTable& live, DigestTableReader& sealed,
                                       std::uint64_t disk_bytes);
// True if no digest is unknown.
[[nodiscard]] Result<bool> AllKnown(DigestTable& table, std::uint64_t disk_bytes);

}  // namespace asr
