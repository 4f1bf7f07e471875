#include "tests/fuzz/fuzzed_image.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "storage/image/disk.h"
#include "tests/support/image_in_memory.h"

namespace asr::testing {
namespace {

constexpr std::size_t kMostImageBytes = 16 * kMiB;
constexpr std::size_t kRecordHeaderBytes = 6;

}  // namespace

FuzzedImage UnpackImage(ByteSpan input) {
  FuzzedImage image;
  if (input.empty()) return image;
  image.sealed = (std::to_integer<std::uint8_t>(input[0]) & kSealed) != 0;
  input = input.subspan(1);
  while (input.size() > kRecordHeaderBytes) {
    const std::size_t offset = LoadLittle<std::uint32_t>(input, 0) % kMostImageBytes;
    const std::size_t wanted = LoadLittle<std::uint16_t>(input, 4);
    input = input.subspan(kRecordHeaderBytes);
    const std::size_t count = std::min({wanted, input.size(), kMostImageBytes - offset});
    if (image.bytes.size() < offset + count) image.bytes.resize(offset + count);
    std::memcpy(image.bytes.data() + offset, input.data(), count);
    input = input.subspan(count);
  }
  return image;
}

std::vector<std::byte> PackImage(ByteSpan image, bool sealed) {
  constexpr std::size_t kPieceBytes = 64;
  constexpr std::size_t kLongestRecord = 32 * kKiB;
  std::vector<std::byte> packed = {static_cast<std::byte>(sealed ? kSealed : 0)};
  const auto is_hole = [&](std::size_t offset) {
    const std::size_t count = std::min(kPieceBytes, image.size() - offset);
    return offset + count < image.size() && IsZero(image.subspan(offset, count));
  };
  for (std::size_t begin = 0; begin < image.size();) {
    if (is_hole(begin)) {
      begin += kPieceBytes;
      continue;
    }
    std::size_t end = begin;
    while (end < image.size() && end - begin < kLongestRecord && !is_hole(end)) end += kPieceBytes;
    end = std::min(end, image.size());
    const std::size_t at = packed.size();
    packed.resize(at + kRecordHeaderBytes);
    StoreLittle<std::uint32_t>(packed, at, static_cast<std::uint32_t>(begin));
    StoreLittle<std::uint16_t>(packed, at + 4, static_cast<std::uint16_t>(end - begin));
    packed.insert(packed.end(), image.begin() + static_cast<std::ptrdiff_t>(begin),
                  image.begin() + static_cast<std::ptrdiff_t>(end));
    begin = end;
  }
  return packed;
}

void ReadImage(std::vector<std::byte> bytes, const std::string& name) {
  ImageInMemory memory(std::move(bytes));
  const auto disk = OpenDisk(memory, name);
  if (!disk) return;
  std::vector<std::byte> out(256 * kKiB);
  const std::uint64_t size = (*disk)->size_bytes();
  const auto read = [&](std::uint64_t offset) {
    const std::uint64_t count = std::min<std::uint64_t>(out.size(), size - offset);
    static_cast<void>((*disk)->Read(offset, MutableByteSpan(out).first(count)).has_value());
  };
  read(0);
  read(size - std::min<std::uint64_t>(size, out.size()));
  const auto extents = (*disk)->AllocatedExtents({0, kGiB});
  if (!extents) return;
  for (std::size_t i = 0; i < std::min<std::size_t>(extents->size(), 8); ++i) {
    read((*extents)[i].offset_bytes);
  }
}

}  // namespace asr::testing
