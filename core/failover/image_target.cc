#include "core/failover/image_target.h"

#include <algorithm>

#include <fmt/format.h>

namespace asr {

Status ImageTarget::ReadGroups(std::uint64_t first, std::span<Digest> out) {
  std::ranges::fill(out, Digest::Zero());
  if (!is_continued_) return {};
  const std::uint64_t begin = first * kGroupBytes;
  const std::uint64_t end = std::min(begin + out.size() * kGroupBytes, disk_bytes_);
  ASR_TRY(const auto written, writer_.WrittenExtents({begin, end - begin}));
  for (const Extent& extent : written) {
    for (std::uint64_t group = extent.offset_bytes / kGroupBytes;
         group * kGroupBytes < extent.end_bytes(); ++group) {
      out[group - first] = Digest::Unknown();
    }
  }
  return {};
}

// AlreadyHolds has thrown away what was there.
Status ImageTarget::ReadChunks(std::uint64_t, ChunkRow& out) {
  std::ranges::fill(out, Digest::Zero());
  return {};
}

Result<bool> ImageTarget::AlreadyHolds(std::uint64_t group, MutableByteSpan scratch) {
  const std::uint64_t begin = group * kGroupBytes;
  const Extent range{begin, std::min(kGroupBytes, disk_bytes_ - begin)};
  Digest expected;
  ASR_CHECK(expected_.ReadGroups(group, std::span(&expected, 1)));
  ASR_TRY(const auto written, writer_.WrittenExtents(range));
  ASR_TRY(const Digest held, DigestOf(range, written, scratch));
  if (held == expected) return true;
  if (writer_.Discard(range)) return false;
  // Not every file system makes holes.
  std::ranges::fill(scratch, std::byte{0});
  for (std::uint64_t at = begin; at < range.end_bytes(); at += scratch.size()) {
    const std::uint64_t length = std::min<std::uint64_t>(scratch.size(), range.end_bytes() - at);
    ASR_CHECK(writer_.Write(at, scratch.first(length)));
  }
  return false;
}

Result<Digest> ImageTarget::DigestOf(Extent group, const std::vector<Extent>& written,
                                     MutableByteSpan scratch) {
  ChunkRow chunks{};
  for (std::uint64_t begin = group.offset_bytes; begin < group.end_bytes();
       begin += scratch.size()) {
    const Extent part{begin, std::min<std::uint64_t>(scratch.size(), group.end_bytes() - begin)};
    const bool is_hole = std::ranges::none_of(written, [&](const Extent& extent) {
      return extent.offset_bytes < part.end_bytes() && part.offset_bytes < extent.end_bytes();
    });
    if (is_hole) continue;
    std::ranges::fill(scratch.subspan(part.length_bytes), std::byte{0});
    ASR_CHECK(writer_.Read(begin, scratch.first(part.length_bytes)));
    for (std::uint64_t at = 0; at < part.length_bytes; at += kChunkBytes) {
      chunks[(begin - group.offset_bytes + at) / kChunkBytes] =
          ComputeChunkDigest(algorithm_, scratch.subspan(at, kChunkBytes));
    }
  }
  return ComputeGroupDigest(algorithm_, chunks);
}

Status ImageTarget::Write(std::uint64_t offset_bytes, ByteSpan bytes) {
  return writer_.Write(offset_bytes, bytes);
}

Status ImageTarget::Commit(std::span<const GroupDigests> groups) {
  for (const GroupDigests& group : groups) {
    // The group's digest decides: a crash may leave "unknown" in the row of a group that is right.
    Digest digest;
    ASR_CHECK(expected_.ReadGroups(group.group, std::span(&digest, 1)));
    if (digest == group.digest) continue;
    ChunkRow expected;
    ASR_CHECK(expected_.ReadChunks(group.group, expected));
    const auto differing = std::ranges::mismatch(expected, group.chunks);
    const auto chunk = differing.in1 == expected.end()
                           ? 0
                           : static_cast<std::uint64_t>(differing.in1 - expected.begin());
    return Fail(
        MakeError(ErrorKind::kCorrupt, ErrorCode::kPointCorrupt,
                  fmt::format("the point's bytes at offset {} are not those that were replicated",
                              group.group * kGroupBytes + chunk * kChunkBytes))
            .WithCause("the vault's storage returned wrong data, or its files were changed by hand")
            .WithAction("restore an older point; look at the disk that holds the vault"));
  }
  return {};
}

}  // namespace asr
