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
  // Few, for there are up to 256 images in a chain: readers go forward, each in one page.
  static constexpr std::size_t kCachedPages = 8;

  struct Place {
    std::uint64_t offset_bytes = 0;  // in the file
    std::uint64_t entry_count = 0;
    std::uint32_t entry_bytes = 0;  // divides page_bytes
    std::uint64_t page_bytes = kPageBytes;
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

// Where the data of one block lies.
struct BlockPlace {
  enum class Source : std::uint8_t {
    kZeros,
    kFile,
    kParent,
    kMixed,  // in the file or in the parent, sector by sector
  };

  Source source = Source::kZeros;
  std::uint64_t file_offset_bytes = 0;  // of kFile and kMixed
};

// The longest run at the start of `range` that comes from one place: blocks that are all zeros, all
// in the parent, or in one piece in the file. `place_of(block)` returns Result<BlockPlace>.
// `run_in(place, range)` returns Result<MappedRun>: the run at the start of a range that lies in a
// block of kMixed.
template <class PlaceOf, class RunIn>
[[nodiscard]] Result<MappedRun> LocateInBlocks(Extent range, std::uint64_t block_bytes,
                                               PlaceOf place_of, RunIn run_in) {
  const std::uint64_t in_block = range.offset_bytes % block_bytes;
  std::uint64_t block = range.offset_bytes / block_bytes;
  ASR_TRY(const BlockPlace first, place_of(block));
  const std::uint64_t first_bytes = std::min(range.length_bytes, block_bytes - in_block);
  if (first.source == BlockPlace::Source::kMixed) {
    return run_in(first, Extent{range.offset_bytes, first_bytes});
  }
  MappedRun run{.length_bytes = first_bytes,
                .source = first.source == BlockPlace::Source::kFile     ? MappedRun::Source::kFile
                          : first.source == BlockPlace::Source::kParent ? MappedRun::Source::kParent
                                                                        : MappedRun::Source::kZeros,
                .file_offset_bytes = first.file_offset_bytes + in_block};
  while (run.length_bytes < range.length_bytes) {
    ASR_TRY(const BlockPlace next, place_of(++block));
    if (next.source != first.source) break;
    if (next.source == BlockPlace::Source::kFile &&
        next.file_offset_bytes != run.file_offset_bytes + run.length_bytes) {
      break;
    }
    run.length_bytes += std::min(range.length_bytes - run.length_bytes, block_bytes);
  }
  return run;
}

}  // namespace asr
