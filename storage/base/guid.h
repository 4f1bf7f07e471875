// Identifiers as Windows keeps them.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "storage/base/bytes.h"

namespace asr {

// A GUID as it lies in the file: the first three fields little-endian.
using Guid = std::array<std::byte, 16>;

// "2DC27766-F623-4200-9D64-115E9BFD4A08", any case. The text must be one.
[[nodiscard]] constexpr Guid GuidFromText(std::string_view text) {
  // Where each pair of digits goes.
  constexpr std::array<std::size_t, 16> kOrder = {3, 2, 1,  0,  5,  4,  7,  6,
                                                  8, 9, 10, 11, 12, 13, 14, 15};
  Guid guid{};
  std::size_t digits = 0;
  for (const char c : text) {
    if (c == '-') continue;
    const int value = c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
    std::byte& target = guid[kOrder[digits / 2]];
    target = (target << 4) | static_cast<std::byte>(value);
    ++digits;
  }
  return guid;
}

// As it lies in the file, at `offset`, which leaves room for all of it.
inline void StoreGuid(MutableByteSpan bytes, std::size_t offset, const Guid& guid) {
  std::ranges::copy(guid, bytes.begin() + static_cast<std::ptrdiff_t>(offset));
}
[[nodiscard]] inline Guid LoadGuid(ByteSpan bytes, std::size_t offset) {
  Guid guid{};
  std::ranges::copy(bytes.subspan(offset, guid.size()), guid.begin());
  return guid;
}

// In lower case, with hyphens.
[[nodiscard]] std::string GuidText(const Guid& guid);

}  // namespace asr
