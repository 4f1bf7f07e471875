#include "core/failover/image_target.h"

#include <algorithm>

#include <fmt/format.h>

namespace asr {

Status ImageTarget::ReadGroups(std::uint64_t, std::span<Digest> out) {
  std::ranges::fill(out, Digest::Zero());
  return {};
}

Status ImageTarget::ReadChunks(std::uint64_t, ChunkRow& out) {
  std::ranges::fill(out, Digest::Zero());
  return {};
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
