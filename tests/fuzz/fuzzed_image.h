// How a few bytes of a fuzzer become a whole image, and what is done with it.
//
// An input is one byte of flags, then records: offset (u32, little-endian), length (u16), so many
// bytes. They are laid into a file of zeros that ends where the last of them does.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "storage/base/bytes.h"

namespace asr::testing {

// A flag: checksums are set right again after the records are laid, so that what lies behind them
// is reached.
inline constexpr std::uint8_t kSealed = 1;

struct FuzzedImage {
  bool sealed = false;
  std::vector<std::byte> bytes;  // at most 16 MiB
};

[[nodiscard]] FuzzedImage UnpackImage(ByteSpan input);
// The reverse, for seeds.
[[nodiscard]] std::vector<std::byte> PackImage(ByteSpan image, bool sealed);

// A whole image, for a child to build on.
struct FuzzedParent {
  std::string name;  // beside the child
  std::vector<std::byte> bytes;
};

// The parents that the children among the seeds are made for.
[[nodiscard]] FuzzedParent VhdParentOfSeeds();
[[nodiscard]] FuzzedParent VhdxParentOfSeeds();

// Opens the image and reads at its ends, and what it says to hold. Whatever the bytes are, this
// returns, and in bounded time and memory.
void ReadImage(std::vector<std::byte> bytes, const std::string& name, const FuzzedParent& parent);

}  // namespace asr::testing
