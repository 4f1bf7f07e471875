#include "tests/fuzz/seal.h"

#include <algorithm>

#include "storage/base/checksum.h"

namespace asr::testing {
namespace {

bool Reaches(ByteSpan image, std::size_t offset, std::size_t length) {
  return offset <= image.size() && image.size() - offset >= length;
}

void SealBySum(MutableByteSpan image, std::size_t offset, std::size_t length, std::size_t at) {
  if (!Reaches(image, offset, length)) return;
  const MutableByteSpan structure = image.subspan(offset, length);
  StoreBig<std::uint32_t>(structure, at, 0);
  std::uint32_t sum = 0;
  for (const std::byte byte : structure) sum += std::to_integer<std::uint32_t>(byte);
  StoreBig<std::uint32_t>(structure, at, ~sum);
}

void SealByCrc(MutableByteSpan image, std::size_t offset, std::size_t length) {
  if (!Reaches(image, offset, length)) return;
  const MutableByteSpan structure = image.subspan(offset, length);
  StoreLittle<std::uint32_t>(structure, 4, 0);
  StoreLittle<std::uint32_t>(structure, 4, Crc32c(structure));
}

}  // namespace

void SealVhd(MutableByteSpan image) {
  SealBySum(image, 0, 512, 64);
  SealBySum(image, 512, 1024, 36);
  if (image.size() >= 512) SealBySum(image, image.size() - 512, 512, 64);
}

void SealVhdx(MutableByteSpan image) {
  for (const std::size_t header : {64 * kKiB, 128 * kKiB}) SealByCrc(image, header, 4 * kKiB);
  for (const std::size_t table : {192 * kKiB, 256 * kKiB}) SealByCrc(image, table, 64 * kKiB);
  constexpr std::size_t kLogSector = 4 * kKiB;
  for (std::size_t offset = kMiB; Reaches(image, offset, kLogSector); offset += kLogSector) {
    if (AsText(image.subspan(offset, 4)) != "loge") continue;
    // What goes round the end of the ring keeps its checksum.
    SealByCrc(image, offset, LoadLittle<std::uint32_t>(image, offset + 8));
  }
}

}  // namespace asr::testing
