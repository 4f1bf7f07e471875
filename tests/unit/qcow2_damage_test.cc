// A qcow2 image of which one bit of header or tables is wrong is refused, or maps its disk as ever.
#include <gtest/gtest.h>

#include <map>

#include "storage/image/qcow2_tables.h"
#include "tests/support/image_in_memory.h"
#include "tests/support/qcow2_builder.h"

namespace asr::testing {
namespace {

constexpr std::uint64_t kCluster = 512;
constexpr std::uint64_t kEntries = kCluster / 8;
constexpr std::uint64_t kL1 = 3 * kCluster;
constexpr std::uint64_t kL2 = 4 * kCluster;

// Cluster of the disk -> its place in the file, by QEMU's docs/interop/qcow2.txt and not by our
// reader.
std::map<std::uint64_t, std::uint64_t> MappingOf(ByteSpan file) {
  constexpr std::uint64_t kPlace = 0x00FF'FFFF'FFFF'FE00;
  std::map<std::uint64_t, std::uint64_t> mapping;
  const std::uint64_t l1 = LoadBig<std::uint64_t>(file, 40);
  for (std::uint64_t i = 0; i < LoadBig<std::uint32_t>(file, 36); ++i) {
    const std::uint64_t l2 = LoadBig<std::uint64_t>(file, l1 + i * 8) & kPlace;
    for (std::uint64_t j = 0; l2 != 0 && j < kEntries; ++j) {
      const auto entry = LoadBig<std::uint64_t>(file, l2 + j * 8);
      const bool is_compressed = (entry >> 62 & 1) != 0;
      const std::uint64_t place =
          is_compressed ? entry & ~(std::uint64_t{3} << 62) : entry & kPlace;
      if (place != 0 && (is_compressed || (entry & 1) == 0)) mapping[i * kEntries + j] = place;
    }
  }
  return mapping;
}

class Qcow2DamageTest : public ::testing::Test {
 protected:
  Qcow2DamageTest() : image_(Build()), mapping_(MappingOf(image_.bytes())) {}

  static std::vector<std::byte> Build() {
    Qcow2Builder builder;
    builder.cluster_bits = 9;
    builder.disk_bytes = kMiB;
    builder.clusters = {
        {0, std::byte{1}}, {3, std::byte{2}}, {64, std::byte{3}}, {200, std::byte{4}}};
    return builder.Bytes();
  }

  bool IsAccepted() {
    const auto header = ParseQcow2Header(image_.bytes());
    if (!header) return false;
    ImageFile file{.path = "disk.qcow2",
                   .stamp = {},
                   .size_bytes = image_.bytes().size(),
                   .file = image_.Open("disk.qcow2", {}).value()};
    return CheckQcow2Tables(file, *header).has_value();
  }

  // `is_blind`: of bits that nothing in the file tells from right ones.
  template <class IsBlind>
  void FlipEach(Extent range, IsBlind is_blind) {
    for (std::uint64_t bit = range.offset_bytes * 8; bit < range.end_bytes() * 8; ++bit) {
      std::byte& byte = image_.bytes()[bit / 8];
      const auto mask = static_cast<std::byte>(1U << (bit % 8));
      byte ^= mask;
      if (IsAccepted() && !is_blind(bit / 8, mask)) {
        ++accepted_;
        EXPECT_EQ(MappingOf(image_.bytes()), mapping_) << "byte " << bit / 8 << " bit " << bit % 8;
      }
      byte ^= mask;
    }
  }

  ImageInMemory image_;
  std::map<std::uint64_t, std::uint64_t> mapping_;
  int accepted_ = 0;
};

TEST_F(Qcow2DamageTest, WholeItIsAccepted) {
  EXPECT_TRUE(IsAccepted());
  EXPECT_EQ(mapping_.size(), 4U);
}

TEST_F(Qcow2DamageTest, HeaderFlipped) {
  FlipEach({0, kCluster}, [](std::uint64_t, std::byte) { return false; });
  EXPECT_GT(accepted_, 0);  // snapshots, compatible features
}

TEST_F(Qcow2DamageTest, RefcountTableFlipped) {
  FlipEach({kCluster, 2 * kCluster}, [](std::uint64_t, std::byte) { return false; });
  EXPECT_GT(accepted_, 0);  // counts
}

TEST_F(Qcow2DamageTest, L1TableFlipped) {
  FlipEach({kL1, kCluster}, [](std::uint64_t, std::byte) { return false; });
}

TEST_F(Qcow2DamageTest, L2TablesFlipped) {
  FlipEach({kL2, 3 * kCluster}, [this](std::uint64_t at, std::byte mask) {
    // The lowest bit of an entry says that the cluster reads as zeros, and keeps its place. An
    // entry that is not in use becomes a compressed cluster, which may lie anywhere.
    const bool is_in_use = (image_.bytes()[at] & std::byte{0x80}) != std::byte{0};
    return (at % 8 == 7 && mask == std::byte{1}) ||
           (at % 8 == 0 && mask == std::byte{0x40} && !is_in_use);
  });
}

TEST_F(Qcow2DamageTest, CutAtEveryLength) {
  while (!image_.bytes().empty()) {
    image_.bytes().pop_back();
    EXPECT_FALSE(IsAccepted()) << image_.bytes().size();
  }
}

}  // namespace
}  // namespace asr::testing
