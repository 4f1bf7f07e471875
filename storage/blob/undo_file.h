// One undo file: what a snapshot of a page blob does not share with the live file any more. The
// format is asr-vault(5), "Undo files": two header slots, a presence bitmap, then every kept chunk
// at its own place in a sparse file.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "storage/base/checksum.h"
#include "storage/blob/blob_store.h"
#include "storage/fs/file_system.h"

namespace asr {

// What is kept at once; the same as the chunk of the digests.
inline constexpr std::uint64_t kUndoChunkBytes = 64 * kKiB;

struct UndoHeader {
  SnapshotId snapshot;
  SnapshotId predecessor;             // the next older snapshot; empty for the oldest
  std::uint64_t blob_size_bytes = 0;  // of the blob when the snapshot was taken
  std::uint64_t sequence = 1;         // grows with every writing of the header
  Bits128 file_id{};                  // random; tells a file from another of the same name
};

// Chunks [first, first + count).
struct ChunkRun {
  std::uint64_t first = 0;
  std::uint64_t count = 0;

  [[nodiscard]] std::uint64_t end() const { return first + count; }
};

// Appends one chunk, growing the last run if it follows.
void AppendChunk(std::vector<ChunkRun>& runs, std::uint64_t chunk);

// The chunks that `range` touches.
[[nodiscard]] ChunkRun ChunksOf(Extent range);

// A piece of a presence bitmap.
class PresenceBits {
 public:
  PresenceBits(std::uint64_t first_chunk, std::vector<std::byte> bytes)
      : first_chunk_(first_chunk), bytes_(std::move(bytes)) {}

  // Chunks outside of the piece count as absent.
  [[nodiscard]] bool Has(std::uint64_t chunk) const;
  [[nodiscard]] const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  std::uint64_t first_chunk_;  // a multiple of 8
  std::vector<std::byte> bytes_;
};

// Reading is thread-safe, beside one writer too. Writing is for one thread at a time, except
// WriteData.
class UndoFile {
 public:
  // Makes it complete, without chunks, under a temporary name, durably; then renames it to `path`.
  // The caller syncs the directory.
  [[nodiscard]] static Result<std::shared_ptr<UndoFile>> Create(FileSystem& fs,
                                                                const std::string& path,
                                                                UndoHeader header);
  enum class Access : std::uint8_t { kRead, kWrite };
  // kCorrupt (kBlobCorrupt) if neither header slot is whole.
  [[nodiscard]] static Result<std::shared_ptr<UndoFile>> Open(FileSystem& fs,
                                                              const std::string& path,
                                                              Access access);

  // As it was when the file was opened, or last written through this object.
  [[nodiscard]] const UndoHeader& header() const { return header_; }
  [[nodiscard]] std::uint64_t chunk_count() const { return chunk_count_; }

  // Durable and all or nothing: the slot that is not in force is written.
  [[nodiscard]] Status SetPredecessor(const SnapshotId& predecessor);

  // Chunks past chunk_count() are absent.
  [[nodiscard]] Result<PresenceBits> ReadBits(ChunkRun run) const;
  // Not durable until Sync.
  [[nodiscard]] Status SetBits(const std::vector<ChunkRun>& runs);
  // Writes all bits that are set once more, and syncs: afterwards whatever bit a reader sees is
  // durable, even if an earlier process died, or a sync failed, between writing it and its sync.
  [[nodiscard]] Status MakeBitsDurable();

  // `offset_bytes` counts in the blob. Bytes never kept read as zeros.
  [[nodiscard]] Status ReadData(std::uint64_t offset_bytes, MutableByteSpan out) const;
  [[nodiscard]] Status WriteData(std::uint64_t offset_bytes, ByteSpan bytes);
  // Parts of the blob's `range` for which this file may hold bytes other than zeros.
  [[nodiscard]] Result<std::vector<Extent>> DataExtents(Extent range) const;
  [[nodiscard]] Status Sync();

 private:
  UndoFile(std::string path, std::unique_ptr<File> file, UndoHeader header);
  [[nodiscard]] Status WriteHeader();

  std::string path_;
  std::unique_ptr<File> file_;
  UndoHeader header_;
  std::uint64_t chunk_count_;
  std::uint64_t data_offset_bytes_;
};

}  // namespace asr
