// What the machine's own file system promises beyond what every test of disks and vaults shows.
#include <gtest/gtest.h>

#include <filesystem>

#include "storage/fs/file_system.h"
#include "tests/support/image_file.h"
#include "tests/support/temp_dir.h"

namespace asr {
namespace {

// Between the check of a path and its opening, somebody puts a link in its place.
TEST(PosixFileTest, OpensNoLinkWhereNoneMayBe) {
  const testing::TempDir directory;
  FileSystem& fs = PosixFileSystem();
  const testing::ImageFileMaker secret(directory / "secret");
  std::filesystem::create_directory(directory / "vm");
  const testing::ImageFileMaker image(directory / "vm/parent.vhdx");
  const std::string canonical = fs.Canonical(directory / "vm/parent.vhdx").value();
  EXPECT_TRUE(fs.Open(canonical, {.direct = true, .no_links = true}).has_value());

  std::filesystem::remove(canonical);
  std::filesystem::create_symlink(directory / "secret", canonical);
  EXPECT_TRUE(fs.Open(canonical, {}).has_value());
  const auto link = fs.Open(canonical, {.no_links = true});
  ASSERT_FALSE(link.has_value());
  EXPECT_EQ(link.error().kind, ErrorKind::kIo) << link.error().Line();

  std::filesystem::create_directory_symlink(directory.path(), directory / "vm/up");
  EXPECT_TRUE(fs.Open(directory / "vm/up/secret", {}).has_value());
  EXPECT_FALSE(fs.Open(directory / "vm/up/secret", {.no_links = true}).has_value());
}

}  // namespace
}  // namespace asr
