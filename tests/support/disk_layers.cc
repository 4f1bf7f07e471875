#include "tests/support/disk_layers.h"

#include <random>
#include <utility>

namespace asr::testing {
namespace {

constexpr std::uint64_t kLongestRunBytes = 32 * kKiB;
constexpr Extent kHiddenByLeaf{12 * kMiB, 2 * kMiB};
constexpr Extent kHiddenAboveBase{16 * kMiB, 2 * kMiB};

std::vector<std::byte> Inverted(std::vector<std::byte> bytes) {
  for (std::byte& byte : bytes) byte = ~byte;
  return bytes;
}

void SpreadPiece(std::uint64_t offset, ByteSpan piece, std::uint32_t sector_bytes,
                 std::mt19937_64& random, std::vector<DiskLayer>& layers) {
  while (!piece.empty()) {
    const std::uint64_t sectors = 1 + random() % (kLongestRunBytes / sector_bytes);
    const std::size_t count = std::min<std::uint64_t>(piece.size(), sectors * sector_bytes);
    const std::vector<std::byte> run(piece.begin(), piece.begin() + static_cast<long>(count));
    const std::size_t owner = random() % layers.size();
    layers[owner].content.AddBytes(offset, run);
    for (std::size_t lower = owner + 1; lower < layers.size(); ++lower) {
      if (random() % 2 == 0) layers[lower].content.AddBytes(offset, Inverted(run));
    }
    offset += count;
    piece = piece.subspan(count);
  }
}

}  // namespace

std::vector<DiskLayer> SpreadOverLayers(const DiskContent& content, std::size_t count,
                                        std::uint32_t sector_bytes) {
  std::mt19937_64 random(count);
  std::vector<DiskLayer> layers(count, DiskLayer{DiskContent(content.size_bytes()), {}, {}});
  DiskLayer& base = layers.back();
  for (const auto& [offset, piece] : content.pieces()) {
    SpreadPiece(offset, piece, sector_bytes, random, layers);
    const Extent behind{offset + piece.size(), sector_bytes};
    if (behind.end_bytes() > content.size_bytes() || !content.IsZero(behind)) continue;
    layers[0].zeros.push_back(behind);
    base.content.AddPiece(behind.offset_bytes, behind.length_bytes);
  }
  layers[0].hidden.push_back(kHiddenByLeaf);
  layers[count - 2].hidden.push_back(kHiddenAboveBase);
  for (const Extent& hidden : {kHiddenByLeaf, kHiddenAboveBase}) {
    base.content.AddPiece(hidden.offset_bytes + 4096, 4096);
    base.content.AddPiece(hidden.offset_bytes + kMiB, kMiB);
  }
  return layers;
}

}  // namespace asr::testing
