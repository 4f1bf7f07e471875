// Digests of chunks and groups, the values by which source and replica are compared.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <span>
#include <string>

#include "storage/base/bytes.h"
#include "storage/base/checksum.h"

namespace asr {

// A chunk is what is compared, sent and kept for older points; a group is what is read at once.
inline constexpr std::uint64_t kChunkBytes = 64 * kKiB;
inline constexpr std::uint64_t kGroupBytes = 4 * kMiB;
inline constexpr std::uint64_t kChunksPerGroup = kGroupBytes / kChunkBytes;

// 128 bits. All zero bits: the bytes are all zeros. All one bits: unknown, nothing is claimed.
struct Digest {
  Bits128 bits{};
  auto operator<=>(const Digest&) const = default;

  [[nodiscard]] static Digest Zero() { return {}; }
  [[nodiscard]] static Digest Unknown() {
    Digest digest;
    digest.bits.fill(std::byte{0xFF});
    return digest;
  }
  [[nodiscard]] bool is_zero() const { return *this == Zero(); }
  [[nodiscard]] bool is_unknown() const { return *this == Unknown(); }
};

enum class DigestAlgorithm : std::uint8_t { kSha256, kXxh3 };
[[nodiscard]] std::string DigestAlgorithmName(DigestAlgorithm algorithm);  // "sha256", "xxh3"

// Digest of a chunk's bytes; the last chunk of a disk is filled up with zeros by the caller. A
// value equal to one of the two special ones is mapped away.
[[nodiscard]] Digest ComputeChunkDigest(DigestAlgorithm algorithm, ByteSpan chunk);

// Digest over the digests of a group's chunks: zero if all are zero, unknown if any is unknown.
[[nodiscard]] Digest ComputeGroupDigest(DigestAlgorithm algorithm, std::span<const Digest> chunks);

using ChunkRow = std::array<Digest, kChunksPerGroup>;  // of one group's chunks, in order

// What one group holds, both levels.
struct GroupDigests {
  std::uint64_t group = 0;
  Digest digest;
  ChunkRow chunks{};
};

// Chunks of one group that are about to change: bit i stands for chunk i.
struct ChangedChunks {
  std::uint64_t group = 0;
  std::uint64_t chunk_mask = 0;
};

// One value for all groups of a disk, in their order, however many are added at a time.
class DiskDigest {
 public:
  void Add(std::span<const Digest> groups);
  [[nodiscard]] const Bits128& bits() const { return bits_; }

 private:
  Bits128 bits_{};
};

[[nodiscard]] inline std::uint64_t GroupCount(std::uint64_t disk_bytes) {
  return DivideRoundingUp(disk_bytes, kGroupBytes);
}

}  // namespace asr
