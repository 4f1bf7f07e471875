#include "tests/support/memory_disk.h"

#include <algorithm>
#include <stdexcept>

namespace asr::testing {

void MemoryDisk::ChangeSomething(std::mt19937_64& random) {
  const std::uint64_t sectors = bytes_.size() / 512;
  const std::uint64_t begin = random() % sectors * 512;
  const std::uint64_t longest = std::min<std::uint64_t>(bytes_.size() - begin, 300 * kKiB);
  const std::uint64_t length = (1 + random() % (longest / 512)) * 512;
  const MutableByteSpan range = MutableByteSpan(bytes_).subspan(begin, length);
  switch (random() % 3) {
    case 0:
      std::ranges::fill(range, std::byte{0});
      break;
    case 1: {
      const std::uint64_t from = random() % (bytes_.size() - length + 1) / 512 * 512;
      const std::vector<std::byte> copy(
          bytes_.begin() + static_cast<std::ptrdiff_t>(from),
          bytes_.begin() + static_cast<std::ptrdiff_t>(from + length));
      std::ranges::copy(copy, range.begin());
      break;
    }
    default:
      for (std::byte& byte : range) byte = static_cast<std::byte>(random());
  }
}

Status MemoryDisk::Read(std::uint64_t offset_bytes, MutableByteSpan out) const {
  ASR_CHECK(before_read({offset_bytes, out.size()}));
  std::ranges::copy(ByteSpan(bytes_).subspan(offset_bytes, out.size()), out.begin());
  return {};
}

Result<std::vector<Extent>> MemoryDisk::AllocatedExtents(Extent range) const {
  constexpr std::uint64_t kBlockBytes = 4096;
  std::vector<Extent> extents;
  const std::uint64_t end = std::min<std::uint64_t>(range.end_bytes(), bytes_.size());
  for (std::uint64_t at = range.offset_bytes; at < end;) {
    const std::uint64_t next = std::min(AlignDown(at, kBlockBytes) + kBlockBytes, end);
    if (!IsZero(ByteSpan(bytes_).subspan(at, next - at))) AppendExtent(extents, {at, next - at});
    at = next;
  }
  return extents;
}

std::vector<std::byte> ReadAll(const Disk& disk) {
  std::vector<std::byte> bytes(disk.size_bytes());
  const Status status = disk.Read(0, bytes);
  if (!status) throw std::runtime_error(status.error().Line());
  return bytes;
}

}  // namespace asr::testing
