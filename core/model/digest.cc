#include "core/model/digest.h"

#include <algorithm>

namespace asr {
namespace {

Digest Compute(DigestAlgorithm algorithm, ByteSpan bytes) {
  Digest digest;
  if (algorithm == DigestAlgorithm::kSha256) {
    const Sha256 sum = ComputeSha256(bytes);
    std::copy_n(sum.begin(), digest.bits.size(), digest.bits.begin());
  } else {
    digest.bits = ComputeXxh3(bytes);
  }
  // The two special values must never be computed; any fixed other value will do.
  if (digest.is_zero() || digest.is_unknown()) digest.bits[0] = std::byte{0x5A};
  return digest;
}

}  // namespace

std::string DigestAlgorithmName(DigestAlgorithm algorithm) {
  return algorithm == DigestAlgorithm::kSha256 ? "sha256" : "xxh3";
}

Digest ComputeChunkDigest(DigestAlgorithm algorithm, ByteSpan chunk) {
  if (IsZero(chunk)) return Digest::Zero();
  return Compute(algorithm, chunk);
}

Digest ComputeGroupDigest(DigestAlgorithm algorithm, std::span<const Digest> chunks) {
  if (std::any_of(chunks.begin(), chunks.end(), [](const Digest& d) { return d.is_unknown(); })) {
    return Digest::Unknown();
  }
  if (std::all_of(chunks.begin(), chunks.end(), [](const Digest& d) { return d.is_zero(); })) {
    return Digest::Zero();
  }
  return Compute(algorithm, std::as_bytes(chunks));
}

void DiskDigest::Add(std::span<const Digest> groups) {
  std::array<std::byte, 2 * sizeof(Bits128)> pair{};
  for (const Digest& group : groups) {
    std::ranges::copy(bits_, pair.begin());
    std::ranges::copy(group.bits, pair.begin() + bits_.size());
    const Sha256 sum = ComputeSha256(pair);
    std::copy_n(sum.begin(), bits_.size(), bits_.begin());
  }
}

}  // namespace asr
