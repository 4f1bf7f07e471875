#include "tests/support/disk_content.h"

#include <algorithm>
#include <random>

#include <fmt/format.h>

namespace asr::testing {
namespace {

constexpr std::uint64_t kWindowBytes = kGiB;
constexpr std::uint64_t kReadBytes = 4 * kMiB;

std::string DifferenceIn(const DiskContent& content, const Disk& disk, Extent range) {
  AlignedBuffer buffer(kReadBytes);
  for (std::uint64_t offset = range.offset_bytes; offset < range.end_bytes();) {
    const MutableByteSpan out =
        buffer.span().first(std::min(range.end_bytes() - offset, kReadBytes));
    const Status status = disk.Read(offset, out);
    if (!status) return status.error().Line();
    const std::vector<std::byte> expected = content.Bytes(offset, out.size());
    const auto wrong = std::mismatch(expected.begin(), expected.end(), out.begin());
    if (wrong.first != expected.end()) {
      return fmt::format("byte {} is {:#x} and should be {:#x}",
                         offset + static_cast<std::uint64_t>(wrong.first - expected.begin()),
                         std::to_integer<int>(*wrong.second), std::to_integer<int>(*wrong.first));
    }
    offset += out.size();
  }
  return "";
}

// What lies between extents must be zeros in the content, and read as zeros at both ends.
std::string DifferenceInHole(const DiskContent& content, const Disk& disk, Extent hole) {
  if (hole.length_bytes == 0) return "";
  if (!content.IsZero(hole)) {
    return fmt::format("data at {} + {} is in no extent", hole.offset_bytes, hole.length_bytes);
  }
  const std::uint64_t some = std::min(hole.length_bytes, 64 * kKiB);
  std::string difference = DifferenceIn(content, disk, {hole.offset_bytes, some});
  if (!difference.empty()) return difference;
  return DifferenceIn(content, disk, {hole.end_bytes() - some, some});
}

}  // namespace

void DiskContent::AddPiece(std::uint64_t offset_bytes, std::uint64_t length_bytes) {
  std::mt19937_64 random(offset_bytes * 31 + length_bytes);
  std::vector<std::byte> piece(length_bytes);
  for (std::byte& byte : piece) byte = static_cast<std::byte>(1 + random() % 255);
  AddBytes(offset_bytes, std::move(piece));
}

void DiskContent::AddBytes(std::uint64_t offset_bytes, std::vector<std::byte> bytes) {
  pieces_.emplace(offset_bytes, std::move(bytes));
}

std::vector<std::byte> DiskContent::Bytes(std::uint64_t offset_bytes,
                                          std::uint64_t length_bytes) const {
  std::vector<std::byte> bytes(length_bytes);
  const std::uint64_t end = offset_bytes + length_bytes;
  for (const auto& [piece_offset, piece] : pieces_) {
    const std::uint64_t from = std::max(piece_offset, offset_bytes);
    const std::uint64_t to = std::min(piece_offset + piece.size(), end);
    if (from < to) {
      std::memcpy(&bytes[from - offset_bytes], &piece[from - piece_offset], to - from);
    }
  }
  return bytes;
}

bool DiskContent::IsZero(Extent range) const {
  return std::none_of(pieces_.begin(), pieces_.end(), [&](const auto& piece) {
    return piece.first < range.end_bytes() &&
           range.offset_bytes < piece.first + piece.second.size();
  });
}

std::string DifferenceFrom(const DiskContent& content, const Disk& disk) {
  if (disk.size_bytes() != content.size_bytes()) {
    return fmt::format("the disk has {} bytes and should have {}", disk.size_bytes(),
                       content.size_bytes());
  }
  std::uint64_t hole_begin = 0;
  for (std::uint64_t window = 0; window < disk.size_bytes(); window += kWindowBytes) {
    const auto extents = disk.AllocatedExtents({window, kWindowBytes});
    if (!extents) return extents.error().Line();
    for (const Extent& extent : *extents) {
      std::string difference =
          DifferenceInHole(content, disk, {hole_begin, extent.offset_bytes - hole_begin});
      if (difference.empty()) difference = DifferenceIn(content, disk, extent);
      if (!difference.empty()) return difference;
      hole_begin = extent.end_bytes();
    }
  }
  return DifferenceInHole(content, disk, {hole_begin, disk.size_bytes() - hole_begin});
}

}  // namespace asr::testing
