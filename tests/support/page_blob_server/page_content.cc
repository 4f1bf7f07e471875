#include "tests/support/page_blob_server/page_content.h"

#include <set>

namespace asr::testing::page_blob {
namespace {

// Calls `visit(chunk index, offset in the chunk, length)` for each chunk that `range` touches.
template <class Visit>
void ForEachChunk(Extent range, Visit&& visit) {
  for (std::uint64_t at = range.offset_bytes; at < range.end_bytes();) {
    const std::uint64_t inside = at % kChunk;
    const std::uint64_t length = std::min(kChunk - inside, range.end_bytes() - at);
    visit(at / kChunk, inside, length);
    at += length;
  }
}

void Append(std::vector<PageRun>& runs, std::uint64_t page, bool is_cleared) {
  const std::uint64_t offset = page * kPage;
  if (!runs.empty() && runs.back().is_cleared == is_cleared &&
      runs.back().range.end_bytes() == offset) {
    runs.back().range.length_bytes += kPage;
  } else {
    runs.push_back({{offset, kPage}, is_cleared});
  }
}

}  // namespace

void PageView::Read(std::uint64_t offset_bytes, MutableByteSpan out) const {
  const std::uint64_t first = range.offset_bytes / kChunk;
  std::size_t done = 0;
  ForEachChunk({offset_bytes, out.size()},
               [&](std::uint64_t index, std::uint64_t inside, std::uint64_t length) {
                 const auto& chunk = chunks[index - first];
                 if (chunk == nullptr) {
                   std::memset(out.data() + done, 0, length);
                 } else {
                   std::memcpy(out.data() + done, chunk->bytes.data() + inside, length);
                 }
                 done += length;
               });
}

PageChunk& PageContent::ForWriting(std::uint64_t index, bool is_overwritten) {
  std::shared_ptr<PageChunk>& chunk = chunks_[index];
  if (chunk != nullptr && chunk.use_count() == 1) return *chunk;
  if (chunk != nullptr && !is_overwritten) {
    chunk = std::make_shared<PageChunk>(*chunk);
    return *chunk;
  }
  // Bytes are left as they come where every one of them is about to be written.
  auto fresh = std::shared_ptr<PageChunk>(new PageChunk);
  if (!is_overwritten) fresh->bytes.fill(std::byte{0});
  chunk = std::move(fresh);
  return *chunk;
}

void PageContent::Write(std::uint64_t offset_bytes, ByteSpan bytes, std::uint32_t generation) {
  ForEachChunk({offset_bytes, bytes.size()}, [&](std::uint64_t index, std::uint64_t inside,
                                                 std::uint64_t length) {
    PageChunk& chunk = ForWriting(index, length == kChunk);
    std::memcpy(chunk.bytes.data() + inside, bytes.data(), length);
    bytes = bytes.subspan(length);
    for (std::uint64_t page = inside / kPage; page < (inside + length) / kPage; ++page) {
      chunk.is_allocated.set(page);
      chunk.written_in[page] = generation;
    }
  });
}

void PageContent::Clear(Extent range) {
  auto entry = chunks_.lower_bound(range.offset_bytes / kChunk);
  while (entry != chunks_.end() && entry->first * kChunk < range.end_bytes()) {
    const std::uint64_t base = entry->first * kChunk;
    const std::uint64_t begin = std::max(range.offset_bytes, base) - base;
    const std::uint64_t end = std::min(range.end_bytes(), base + kChunk) - base;
    auto remaining = entry->second->is_allocated;
    for (std::uint64_t page = begin / kPage; page < end / kPage; ++page) remaining.reset(page);
    if (remaining.none()) {
      entry = chunks_.erase(entry);
      continue;
    }
    PageChunk& chunk = ForWriting(entry->first, false);
    std::memset(chunk.bytes.data() + begin, 0, end - begin);
    chunk.is_allocated = remaining;
    ++entry;
  }
}

void PageContent::Cut(std::uint64_t size_bytes) {
  Clear({size_bytes, ~std::uint64_t{0} - size_bytes});
}

PageView PageContent::View(Extent range) const {
  PageView view{range, {}};
  if (range.length_bytes == 0) return view;
  const std::uint64_t first = range.offset_bytes / kChunk;
  view.chunks.resize((range.end_bytes() - 1) / kChunk - first + 1);
  for (auto entry = chunks_.lower_bound(first);
       entry != chunks_.end() && entry->first - first < view.chunks.size(); ++entry) {
    view.chunks[entry->first - first] = entry->second;
  }
  return view;
}

std::vector<PageRun> PageContent::Allocated(Extent range) const {
  std::vector<PageRun> runs;
  for (auto entry = chunks_.lower_bound(range.offset_bytes / kChunk);
       entry != chunks_.end() && entry->first * kChunk < range.end_bytes(); ++entry) {
    for (std::size_t page = 0; page < kPagesPerChunk; ++page) {
      const std::uint64_t absolute = entry->first * kPagesPerChunk + page;
      if (entry->second->is_allocated[page] && (absolute + 1) * kPage > range.offset_bytes &&
          absolute * kPage < range.end_bytes()) {
        Append(runs, absolute, false);
      }
    }
  }
  return runs;
}

std::vector<PageRun> PageContent::ChangedSince(const PageContent& previous,
                                               std::uint32_t generation, Extent range) const {
  std::vector<PageRun> runs;
  std::set<std::uint64_t> indexes;
  for (const auto* chunks : {&chunks_, &previous.chunks_}) {
    for (auto entry = chunks->lower_bound(range.offset_bytes / kChunk);
         entry != chunks->end() && entry->first * kChunk < range.end_bytes(); ++entry) {
      indexes.insert(entry->first);
    }
  }
  for (const std::uint64_t index : indexes) {
    const auto now = chunks_.find(index);
    const auto before = previous.chunks_.find(index);
    const bool has_now = now != chunks_.end();
    const bool has_before = before != previous.chunks_.end();
    if (has_now && has_before && now->second == before->second) continue;
    for (std::size_t page = 0; page < kPagesPerChunk; ++page) {
      const std::uint64_t absolute = index * kPagesPerChunk + page;
      if ((absolute + 1) * kPage <= range.offset_bytes || absolute * kPage >= range.end_bytes()) {
        continue;
      }
      const bool is_there = has_now && now->second->is_allocated[page];
      if (is_there && now->second->written_in[page] > generation) {
        Append(runs, absolute, false);
      } else if (!is_there && has_before && before->second->is_allocated[page]) {
        Append(runs, absolute, true);
      }
    }
  }
  return runs;
}

}  // namespace asr::testing::page_blob
