// No header leads QEMU to a file that we did not look at, and none makes us fall.
#include "storage/image/qcow2_header.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/qcow2_builder.h"

namespace asr {
namespace {

using ::testing::HasSubstr;
using testing::Qcow2Builder;

Error RefusalOf(const Qcow2Builder& builder) {
  const auto header = ParseQcow2Header(builder.Bytes());
  EXPECT_FALSE(header.has_value());
  return header ? Error{} : header.error();
}

void ExpectRefused(const Qcow2Builder& builder, ErrorKind kind, const std::string& words) {
  const Error refusal = RefusalOf(builder);
  EXPECT_EQ(refusal.kind, kind) << refusal.Line();
  EXPECT_THAT(refusal.Line(), HasSubstr(words));
  EXPECT_FALSE(refusal.action.empty());
}

TEST(Qcow2HeaderTest, ReadsBothVersions) {
  for (const std::uint32_t version : {2U, 3U}) {
    Qcow2Builder builder;
    builder.version = version;
    builder.SetBacking("base, old: new.img", "raw");
    builder.backing_path = "dir/base: old.img";
    const auto header = ParseQcow2Header(builder.Bytes());
    ASSERT_TRUE(header.has_value()) << header.error().Line();
    EXPECT_EQ(header->version, version);
    EXPECT_EQ(header->cluster_bytes, 64 * kKiB);
    EXPECT_EQ(header->disk_bytes, 64 * kMiB);
    EXPECT_EQ(header->backing_path, "dir/base: old.img");
    EXPECT_EQ(header->backing_format, "raw");
    EXPECT_EQ(header->l1_offset_bytes, 192 * kKiB);
    EXPECT_EQ(header->l1_bytes, 8U);
    EXPECT_EQ(header->refcount_table_offset_bytes, 64 * kKiB);
  }
}

TEST(Qcow2HeaderTest, StandsAloneWithoutABackingFile) {
  Qcow2Builder builder;
  builder.extensions.emplace_back(0x6803f857, std::string(48, 'f'));  // the table of names
  const auto header = ParseQcow2Header(builder.Bytes());
  ASSERT_TRUE(header.has_value());
  EXPECT_EQ(header->backing_path, "");
  EXPECT_EQ(header->backing_format, "");
}

TEST(Qcow2HeaderTest, CompressedAndExtendedImagesAreRead) {
  Qcow2Builder builder;
  builder.incompatible_features = 0x18;
  EXPECT_TRUE(ParseQcow2Header(builder.Bytes()).has_value());
}

TEST(Qcow2HeaderTest, AnImageWhoseWriterWasKilledIsRead) {
  Qcow2Builder builder;
  EXPECT_FALSE(ParseQcow2Header(builder.Bytes())->is_dirty);
  builder.incompatible_features = 1;
  const auto header = ParseQcow2Header(builder.Bytes());
  ASSERT_TRUE(header.has_value()) << header.error().Line();
  EXPECT_TRUE(header->is_dirty);
}

TEST(Qcow2HeaderTest, RefusesFeatures) {
  Qcow2Builder builder;
  builder.incompatible_features = 1U << 1U;
  ExpectRefused(builder, ErrorKind::kCorrupt, "corrupt");
  builder.incompatible_features = 1U << 2U;
  ExpectRefused(builder, ErrorKind::kUnsupported, "external data file");
  for (unsigned bit = 5; bit < 64; ++bit) {
    builder.incompatible_features = std::uint64_t{1} << bit;
    ExpectRefused(builder, ErrorKind::kUnsupported, "incompatible features");
  }
}

TEST(Qcow2HeaderTest, RefusesADataFileByItsExtensionAlone) {
  Qcow2Builder builder;
  builder.extensions.emplace_back(Qcow2Builder::kDataFile, "/etc/shadow");
  ExpectRefused(builder, ErrorKind::kUnsupported, "external data file");
}

TEST(Qcow2HeaderTest, RefusesEncryption) {
  Qcow2Builder builder;
  for (builder.encryption = 1; builder.encryption < 4; ++builder.encryption) {
    ExpectRefused(builder, ErrorKind::kUnsupported, "encrypted");
  }
}

TEST(Qcow2HeaderTest, RefusesNamesThatAreNoPlainPaths) {
  for (const char* name : {"json:{\"driver\":\"file\"}", "nbd:localhost:10809", "fat:/etc",
                           "http://host/image", "file:/etc/shadow", "rbd:pool/image"}) {
    Qcow2Builder builder;
    builder.SetBacking(name, "raw");
    ExpectRefused(builder, ErrorKind::kUnsupported, "no plain path");
  }
  Qcow2Builder builder;
  builder.SetBacking(std::string("base\0.img", 9), "raw");
  ExpectRefused(builder, ErrorKind::kCorrupt, "zero byte");
}

TEST(Qcow2HeaderTest, RefusesABackingFileOfNoOrAnotherFormat) {
  Qcow2Builder builder;
  builder.backing_path = "base.img";
  ExpectRefused(builder, ErrorKind::kUnsupported, "never guessed");
  EXPECT_THAT(RefusalOf(builder).action, HasSubstr("qemu-img rebase -u -F FORMAT -b base.img"));
  for (const char* format : {"", "vmdk", "host_device", "RAW"}) {
    builder.extensions = {{Qcow2Builder::kBackingFormat, format}};
    EXPECT_EQ(RefusalOf(builder).kind, ErrorKind::kUnsupported) << format;
  }
}

TEST(Qcow2HeaderTest, ANameHasAtMost1023Bytes) {
  Qcow2Builder builder;
  builder.SetBacking(std::string(1023, 'a'), "qcow2");
  EXPECT_TRUE(ParseQcow2Header(builder.Bytes()).has_value());
  builder.backing_path += "a";
  ExpectRefused(builder, ErrorKind::kCorrupt, "at most 1023");
}

TEST(Qcow2HeaderTest, RefusesSizesThatCannotBe) {
  Qcow2Builder builder;
  for (const std::uint64_t bytes :
       {std::uint64_t{0}, 513 * kKiB + 1, 65 * kTiB, ~std::uint64_t{0}}) {
    builder.disk_bytes = bytes;
    EXPECT_EQ(RefusalOf(builder).kind, ErrorKind::kCorrupt) << bytes;
  }
  builder = Qcow2Builder{};
  builder.refcount_order = 7;
  ExpectRefused(builder, ErrorKind::kCorrupt, "refcount order");
  std::vector<std::byte> bytes = Qcow2Builder{}.Bytes();
  for (const std::uint32_t bits : {0U, 8U, 22U, 63U, 64U, ~0U}) {
    StoreBig(bytes, 20, bits);
    EXPECT_FALSE(ParseQcow2Header(bytes).has_value()) << bits;
  }
}

TEST(Qcow2HeaderTest, RefusesAnExtensionThatPassesItsRoom) {
  Qcow2Builder builder;
  builder.SetBacking("base", "raw");
  std::vector<std::byte> bytes = builder.Bytes();
  StoreBig(bytes, 104 + 4, std::uint32_t{0xFFFF'FFF8});
  const auto header = ParseQcow2Header(bytes);
  ASSERT_FALSE(header.has_value());
  EXPECT_EQ(header.error().kind, ErrorKind::kCorrupt);
}

TEST(Qcow2HeaderTest, OtherSignaturesAndVersionsAreRefused) {
  std::vector<std::byte> bytes = Qcow2Builder{}.Bytes();
  for (const std::uint32_t version : {0U, 1U, 4U, ~0U}) {
    StoreBig(bytes, 4, version);
    EXPECT_EQ(ParseQcow2Header(bytes).error().kind, ErrorKind::kUnsupported) << version;
  }
  bytes[3] = std::byte{0};
  EXPECT_EQ(ParseQcow2Header(bytes).error().kind, ErrorKind::kCorrupt);
}

// Exactly as long as what is given, so that a checker of memory sees the first byte too far.
TEST(Qcow2HeaderTest, CutAtEveryLengthItIsRefusedOrTheSame) {
  Qcow2Builder builder;
  builder.cluster_bits = 9;
  builder.SetBacking("base.img", "qcow2");
  const std::vector<std::byte> whole = builder.Bytes();
  for (const std::uint32_t version : {2U, 3U}) {
    for (std::size_t length = 0; length < 512; ++length) {
      std::vector<std::byte> cut(whole.begin(),
                                 whole.begin() + static_cast<std::ptrdiff_t>(length));
      cut.shrink_to_fit();
      if (length >= 8) StoreBig(cut, 4, version);
      const auto header = ParseQcow2Header(cut);
      if (length < 72) {
        EXPECT_FALSE(header.has_value()) << length;
      } else if (version == 3 && header) {
        EXPECT_EQ(header->backing_path, "base.img") << length;
      }
    }
  }
}

TEST(Qcow2HeaderTest, RefusesAnL1TableThatCannotBe) {
  const auto refuse = [](std::size_t at, std::uint32_t value) {
    std::vector<std::byte> bytes = Qcow2Builder().Bytes();
    StoreBig<std::uint32_t>(bytes, at, value);
    const auto header = ParseQcow2Header(bytes);
    ASSERT_FALSE(header.has_value()) << at << " " << value;
    EXPECT_EQ(header.error().kind, ErrorKind::kCorrupt);
    EXPECT_THAT(header.error().Line(), HasSubstr("L1 table"));
  };
  refuse(36, 0);                    // entries
  refuse(36, 4 * 1024 * 1024 + 1);  // more than 32 MiB of them
  refuse(36, 0xFFFFFFFF);
  refuse(44, 0);  // the lower half of its offset
  refuse(44, 3 * 64 * 1024 + 512);
}

TEST(Qcow2HeaderTest, NoFlippedBitLeadsToAnUncheckedName) {
  Qcow2Builder builder;
  builder.cluster_bits = 9;
  builder.SetBacking("base.img", "qcow2");
  const std::vector<std::byte> whole = builder.Bytes();
  for (std::size_t bit = 0; bit < std::size_t{512} * 8; ++bit) {
    std::vector<std::byte> damaged = whole;
    damaged[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    const auto header = ParseQcow2Header(damaged);
    if (!header || header->backing_path.empty()) continue;
    EXPECT_THAT(header->backing_format, ::testing::AnyOf("raw", "qcow2")) << bit;
    EXPECT_EQ(header->backing_path.find('\0'), std::string::npos) << bit;
    EXPECT_LE(header->backing_path.size(), 1023U) << bit;
  }
}

}  // namespace
}  // namespace asr
