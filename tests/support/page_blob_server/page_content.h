// The pages of one version of a page blob, sparse; versions share what none of them has changed.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "storage/base/bytes.h"

namespace asr::testing::page_blob {

inline constexpr std::uint64_t kPage = 512;
inline constexpr std::uint64_t kChunk = 64 * kKiB;
inline constexpr std::size_t kPagesPerChunk = kChunk / kPage;

struct PageChunk {
  std::bitset<kPagesPerChunk> is_allocated;
  // Which generation wrote a page last. Written again with the same bytes is written, too.
  std::array<std::uint32_t, kPagesPerChunk> written_in{};
  std::array<std::byte, kChunk> bytes;  // zeros where no page is allocated
};

// A part of a version, kept as it is now. Destroyed only under the lock that guards the contents:
// who writes looks at how many share a chunk.
struct PageView {
  Extent range;
  std::vector<std::shared_ptr<const PageChunk>> chunks;  // from the one that holds its first byte

  // Bytes at `offset_bytes` of the blob; `out` must not leave `range`.
  void Read(std::uint64_t offset_bytes, MutableByteSpan out) const;
};

struct PageRun {
  Extent range;
  bool is_cleared = false;
};

// Copying it takes a snapshot. Guarded by its owner's lock.
class PageContent {
 public:
  // Whole pages; written by generation `generation`.
  void Write(std::uint64_t offset_bytes, ByteSpan bytes, std::uint32_t generation);
  void Clear(Extent range);
  // Pages from here on are gone.
  void Cut(std::uint64_t size_bytes);
  [[nodiscard]] PageView View(Extent range) const;

  // Allocated pages in `range` as runs that begin or end only at pages.
  [[nodiscard]] std::vector<PageRun> Allocated(Extent range) const;
  // What changed since `previous`, which was frozen as `generation`: pages written since then, and
  // pages that it had and this one has not.
  [[nodiscard]] std::vector<PageRun> ChangedSince(const PageContent& previous,
                                                  std::uint32_t generation, Extent range) const;

 private:
  PageChunk& ForWriting(std::uint64_t index, bool is_overwritten);

  std::map<std::uint64_t, std::shared_ptr<PageChunk>> chunks_;
};

}  // namespace asr::testing::page_blob
