#include "core/vault/digest_cache.h"

#include <gtest/gtest.h>

#include <span>

#include "storage/fs/file_system.h"
#include "tests/support/image_file.h"
#include "tests/support/temp_dir.h"

namespace asr {
namespace {

class DigestCacheTest : public ::testing::Test {
 protected:
  DigestCacheTest() {
    cached_.groups.resize(100);
    cached_.groups[7].bits[0] = std::byte{7};
  }
  [[nodiscard]] auto Load(const std::string& version, std::size_t count = 100) const {
    return cache_.Load(item_, disk_, version, count);
  }
  [[nodiscard]] std::string Groups() const { return directory_ / "v/web-1/ro_20ot.groups"; }

  testing::TempDir directory_;
  const ItemId item_{"web-1"};
  const DiskName disk_{"ro ot"};
  CachedDigests cached_{.version = "0x1", .point = {"p1"}, .groups = {}};
  const DigestCache cache_{PosixFileSystem(), directory_ / "v"};
};

TEST_F(DigestCacheTest, GivesWhatWasKeptOfThatVersionAlone) {
  EXPECT_FALSE(Load("0x1"));
  cache_.Save(item_, disk_, cached_);
  const auto loaded = Load("0x1");
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->groups, cached_.groups);
  EXPECT_EQ(loaded->point, cached_.point);
  EXPECT_FALSE(Load("0x2"));
  EXPECT_FALSE(Load(""));
  EXPECT_FALSE(Load("0x1", 101)) << "of a disk of another size";
  EXPECT_FALSE(cache_.Load(item_, {"other"}, "0x1", 100));
  cached_.version = "0x2";
  cache_.Rename(item_, disk_, cached_);
  EXPECT_FALSE(Load("0x1"));
  EXPECT_TRUE(Load("0x2"));
  cache_.Forget(item_);
  EXPECT_FALSE(Load("0x2"));
  EXPECT_FALSE(Exists(PosixFileSystem(), directory_ / "v"));
}

TEST_F(DigestCacheTest, DamagedFilesAreNotBelieved) {
  cache_.Save(item_, disk_, cached_);
  ASSERT_TRUE(Exists(PosixFileSystem(), Groups())) << Groups();
  testing::OverwriteFile(Groups(), 3, std::vector{std::byte{1}});
  EXPECT_FALSE(Load("0x1"));
  cache_.Save(item_, disk_, cached_);
  testing::ResizeFile(Groups(), 99 * sizeof(Digest));
  EXPECT_FALSE(Load("0x1"));
  EXPECT_FALSE(Load("0x1", 99));
  // New digests beside the label of the old ones, as a machine leaves them that loses its power.
  cache_.Save(item_, disk_, cached_);
  CachedDigests newer = cached_;
  newer.groups[1].bits[1] = std::byte{1};
  ASSERT_TRUE(WriteFileAtomic(PosixFileSystem(), Groups(), std::as_bytes(std::span(newer.groups))));
  EXPECT_FALSE(Load("0x1"));
}

}  // namespace
}  // namespace asr
