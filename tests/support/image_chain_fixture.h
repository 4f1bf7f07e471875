// A directory with a parent and a child in it: what tests of differencing images begin with.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "storage/image/disk.h"
#include "tests/support/disk_content.h"
#include "tests/support/temp_dir.h"

namespace asr::testing {

inline constexpr std::uint64_t kChainDiskBytes = 8 * kMiB;

class ImageChainTest : public ::testing::Test {
 protected:
  ImageChainTest() {
    parent_content_.AddPiece(0, 64 * kKiB);
    parent_content_.AddPiece(2 * kMiB, 2 * kMiB);
    parent_content_.AddPiece(5 * kMiB, 64 * kKiB);
  }

  // A path below the directory; what leads to it is made.
  std::string Place(const std::string& name) {
    const std::string path = directory_ / name;
    std::filesystem::create_directories(ParentOf(path));
    return path;
  }

  void ExpectRead(const std::string& name, const DiskContent& content,
                  const std::string& folder = "") {
    const auto disk = OpenDisk(PosixFileSystem(), directory_ / name, "", FolderPath(folder));
    ASSERT_TRUE(disk.has_value()) << disk.error().Line();
    EXPECT_EQ(DifferenceFrom(content, **disk), "");
  }

  Error ErrorOf(const std::string& name, const std::string& folder = "") {
    const auto disk = OpenDisk(PosixFileSystem(), directory_ / name, "", FolderPath(folder));
    EXPECT_FALSE(disk.has_value());
    if (disk) return {};
    EXPECT_FALSE(disk.error().action.empty()) << disk.error().Line();
    return disk.error();
  }

  void ExpectBroken(const std::string& name, ErrorKind kind, const std::string& folder = "") {
    const Error error = ErrorOf(name, folder);
    EXPECT_EQ(error.code, ErrorCode::kImageChainBroken) << error.Line();
    EXPECT_EQ(error.kind, kind) << error.Line();
    EXPECT_THAT(error.Line(), ::testing::HasSubstr(BaseName(name)));
  }

  std::string FolderPath(const std::string& folder) {
    return folder.empty() ? "" : directory_ / folder;
  }

  TempDir directory_;
  DiskContent parent_content_{kChainDiskBytes};
  DiskContent child_content_{kChainDiskBytes};
};

}  // namespace asr::testing
