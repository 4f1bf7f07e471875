// Which parts of an image file are spoken for: no two structures or blocks may overlap.
#pragma once

#include <array>
#include <cstdint>
#include <unordered_map>

#include "storage/base/bytes.h"

namespace asr {

// A bit for every unit, in pages that are made when something in them is claimed: memory grows with
// what is claimed, and a file may be huge and mostly holes. 14 MiB for 64 Mi units in a row.
class FileClaims {
 public:
  FileClaims(std::uint64_t file_bytes, std::uint64_t unit_bytes)
      : unit_bytes_(unit_bytes), unit_count_(DivideRoundingUp(file_bytes, unit_bytes)) {}
  FileClaims(const FileClaims&) = delete;
  FileClaims& operator=(const FileClaims&) = delete;

  // Claims every unit that `range` touches. False if one of them was claimed before, or lies
  // outside the file.
  [[nodiscard]] bool Claim(Extent range);

 private:
  static constexpr std::uint64_t kWordsAPage = 8;
  using Page = std::array<std::uint64_t, kWordsAPage>;

  // 64 units from a multiple of 64 on.
  [[nodiscard]] std::uint64_t& WordOf(std::uint64_t unit);

  std::uint64_t unit_bytes_;
  std::uint64_t unit_count_;
  std::unordered_map<std::uint64_t, Page> pages_;
  std::uint64_t last_number_ = 0;
  Page* last_page_ = nullptr;  // of that number: most claims follow one another
};

}  // namespace asr
