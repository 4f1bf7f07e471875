#include "storage/image/block_table.h"

#include <algorithm>
#include <utility>

namespace asr {

Result<std::shared_ptr<const BlockTable::Page>> BlockTable::PageWith(std::uint64_t entry) const {
  if (auto cached = FindCached(entry)) return cached;
  const std::uint64_t entries_a_page = place_.page_bytes / place_.entry_bytes;
  auto page = std::make_shared<Page>();
  page->first_entry = AlignDown(entry, entries_a_page);
  page->entry_count = std::min(entries_a_page, place_.entry_count - page->first_entry);
  page->bytes.resize(page->entry_count * place_.entry_bytes);
  ASR_CHECK(
      file_.ReadAt(place_.offset_bytes + page->first_entry * place_.entry_bytes, page->bytes));
  Keep(page);
  return page;
}

std::shared_ptr<const BlockTable::Page> BlockTable::FindCached(std::uint64_t entry) const {
  const std::lock_guard lock(mutex_);
  for (CachedPage& cached : cached_) {
    if (!cached.page->Holds(entry)) continue;
    cached.used_at = ++uses_;
    return cached.page;
  }
  return nullptr;
}

void BlockTable::Keep(std::shared_ptr<const Page> page) const {
  const std::lock_guard lock(mutex_);
  const CachedPage fresh{.used_at = ++uses_, .page = std::move(page)};
  if (cached_.size() < kCachedPages) {
    cached_.push_back(fresh);
    return;
  }
  *std::min_element(cached_.begin(), cached_.end(),
                    [](const CachedPage& left, const CachedPage& right) {
                      return left.used_at < right.used_at;
                    }) = fresh;
}

Result<ByteSpan> BlockTableCursor::Entry(std::uint64_t index) {
  ASR_TRY(const ByteSpan entries, EntriesFrom(index));
  return entries.first(table_.place().entry_bytes);
}

Result<ByteSpan> BlockTableCursor::EntriesFrom(std::uint64_t index) {
  if (page_ == nullptr || !page_->Holds(index)) {
    ASR_TRY(page_, table_.PageWith(index));
  }
  return ByteSpan(page_->bytes).subspan((index - page_->first_entry) * table_.place().entry_bytes);
}

}  // namespace asr
