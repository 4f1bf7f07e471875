// The table of a dynamic image that says where each block lies (VHD: BAT, VHDX: BAT).
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "storage/base/bytes.h"
#include "storage/base/result.h"
#include "storage/fs/file_system.h"
#include "storage/image/mapped_disk.h"

namespace asr {

// Tables go to 512 MiB (64 TiB in blocks of 1 MiB), so they stay in the file: pages are read when
// they are asked for, and the kCachedPages last used are kept. Thread-safe.
class BlockTable {
 public:
  static constexpr std::uint64_t kPageBytes = 64 * kKiB;
  static constexpr std::size_t kCachedPages = 64;

  struct Place {
    std::uint64_t offset_bytes = 0;  // in the file
    std::uint64_t entry_count = 0;
    std::uint32_t entry_bytes = 0;  // divides kPageBytes
  };

  struct Page {
    std::uint64_t first_entry = 0;
    std::uint64_t entry_count = 0;
    std::vector<std::byte> bytes;

    [[nodiscard]] bool Holds(std::uint64_t entry) const {
      return entry >= first_entry && entry - first_entry < entry_count;
    }
  };

  // `file` outlives the table; the table lies inside it.
  BlockTable(File& file, Place place) : file_(file), place_(place) {}

  [[nodiscard]] const Place& place() const { return place_; }

  // The page that holds `entry`, which is below entry_count. It stays valid while it is held.
  [[nodiscard]] Result<std::shared_ptr<const Page>> PageWith(std::uint64_t entry) const;

 private:
  struct CachedPage {
    std::uint64_t used_at = 0;
    std::shared_ptr<const Page> page;
  };

  [[nodiscard]] std::shared_ptr<const Page> FindCached(std::uint64_t entry) const;
  void Keep(std::shared_ptr<const Page> page) const;

  File& file_;
  Place place_;
  mutable std::mutex mutex_;
  mutable std::uint64_t uses_ = 0;          // guarded by mutex_
  mutable std::vector<CachedPage> cached_;  // guarded by mutex_
};

// Reads entries one after another: holds on to the page it is in.
class BlockTableCursor {
 public:
  explicit BlockTableCursor(const BlockTable& table) : table_(table) {}

  // The bytes of one entry; valid until the next call.
  [[nodiscard]] Result<ByteSpan> Entry(std::uint64_t index);

  // The bytes of this entry and of those behind it, to the end of its page; valid until the next
  // call. For walks over whole tables, where a call an entry would cost most of the time.
  [[nodiscard]] Result<ByteSpan> EntriesFrom(std::uint64_t index);

 private:
  const BlockTable& table_;
  std::shared_ptr<const BlockTable::Page> page_;
};

// The longest run at the start of `range` that is all zeros, or lies in one piece in the file.
// `place_of(block)` returns Result<std::optional<std::uint64_t>>: where the block's data begins.
template <class PlaceOf>
[[nodiscard]] Result<MappedRun> LocateInBlocks(Extent range, std::uint64_t block_bytes,
                                               PlaceOf place_of) {
  const std::uint64_t in_block = range.offset_bytes % block_bytes;
  std::uint64_t block = range.offset_bytes / block_bytes;
  ASR_TRY(const std::optional<std::uint64_t> first, place_of(block));
  MappedRun run{.length_bytes = std::min(range.length_bytes, block_bytes - in_block),
                .file_offset_bytes = first};
  if (first) run.file_offset_bytes = *first + in_block;
  while (run.length_bytes < range.length_bytes) {
    ASR_TRY(const std::optional<std::uint64_t> next, place_of(++block));
    if (next.has_value() != first.has_value()) break;
    if (next && *next != *run.file_offset_bytes + run.length_bytes) break;
    run.length_bytes += std::min(range.length_bytes - run.length_bytes, block_bytes);
  }
  return run;
}

}  // namespace asr
