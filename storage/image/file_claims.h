// Which parts of an image file are spoken for: no two structures or blocks may overlap.
#pragma once

#include <cstdint>
#include <vector>

#include "storage/base/bytes.h"

namespace asr {

// A bit for every unit of the file: 8 MiB of memory for a file of 64 TiB in units of a MiB.
class FileClaims {
 public:
  FileClaims(std::uint64_t file_bytes, std::uint64_t unit_bytes)
      : unit_bytes_(unit_bytes),
        unit_count_(DivideRoundingUp(file_bytes, unit_bytes)),
        claimed_(DivideRoundingUp<std::uint64_t>(unit_count_, 64)) {}

  // Claims every unit that `range` touches. False if one of them was claimed before, or lies
  // outside the file.
  [[nodiscard]] bool Claim(Extent range);

 private:
  std::uint64_t unit_bytes_;
  std::uint64_t unit_count_;
  std::vector<std::uint64_t> claimed_;
};

}  // namespace asr
