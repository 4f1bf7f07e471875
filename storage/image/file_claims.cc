#include "storage/image/file_claims.h"

#include <algorithm>

namespace asr {

bool FileClaims::Claim(Extent range) {
  if (range.length_bytes == 0) return true;
  const std::uint64_t begin = range.offset_bytes / unit_bytes_;
  const std::uint64_t end = DivideRoundingUp(range.end_bytes(), unit_bytes_);
  if (range.end_bytes() < range.offset_bytes || end > unit_count_) return false;
  bool was_free = true;
  for (std::uint64_t unit = begin; unit < end;) {
    const std::uint64_t in_word = unit % 64;
    const std::uint64_t count = std::min(end - unit, 64 - in_word);
    const std::uint64_t mask = (~std::uint64_t{0} >> (64 - count)) << in_word;
    std::uint64_t& word = WordOf(unit);
    was_free = was_free && (word & mask) == 0;
    word |= mask;
    unit += count;
  }
  return was_free;
}

std::uint64_t& FileClaims::WordOf(std::uint64_t unit) {
  const std::uint64_t word = unit / 64;
  const std::uint64_t number = word / kWordsAPage;
  if (last_page_ == nullptr || last_number_ != number) {
    last_page_ = &pages_[number];
    last_number_ = number;
  }
  return (*last_page_)[word % kWordsAPage];
}

}  // namespace asr
