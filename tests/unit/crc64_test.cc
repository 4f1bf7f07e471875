#include "storage/base/crc64.h"

#include <gtest/gtest.h>

#include "tests/support/page_blob_model.h"

namespace asr {
namespace {

// What the service answers to these bodies: 2pvtD7sl2wo= and nkvlwPnUKHo=.
TEST(Crc64Test, IsThatOfTheService) {
  EXPECT_EQ(Crc64(std::vector<std::byte>(4 * kMiB, std::byte{'A'})), 0x0ADB25BB0FED9BDA);
  EXPECT_EQ(Crc64(std::vector<std::byte>(512, std::byte{3})), 0x7A28D4F9C0E54B9E);
  EXPECT_EQ(Crc64({}), 0);
}

TEST(Crc64Test, MultiplicationAndTablesAgreeForEveryLengthAndAlignment) {
  std::mt19937_64 random(64);
  const auto bytes = testing::RandomBytes(random, 4096);
  for (std::size_t length = 0; length < 600; ++length) {
    const ByteSpan piece = ByteSpan(bytes).subspan(length % 17, length);
    ASSERT_EQ(Crc64(piece, length), Crc64ByTables(piece, length)) << length;
  }
}

TEST(Crc64Test, GoesOnFromWhatCameBefore) {
  std::mt19937_64 random(65);
  const auto bytes = testing::RandomBytes(random, 4096);
  for (const std::size_t cut : {0U, 1U, 100U, 128U, 1000U, 4096U}) {
    const std::uint64_t first = Crc64(ByteSpan(bytes).first(cut));
    EXPECT_EQ(Crc64(ByteSpan(bytes).subspan(cut), first), Crc64(bytes)) << cut;
  }
}

}  // namespace
}  // namespace asr
