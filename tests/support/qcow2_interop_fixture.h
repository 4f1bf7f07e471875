// qcow2 images that QEMU's own tools make, in a directory of their own, and what they read of them.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "storage/image/disk.h"
#include "tests/support/image_file.h"
#include "tests/support/temp_dir.h"

namespace asr::testing {

inline void ExpectRuns(const std::string& command) {
  EXPECT_EQ(std::system((command + " >&2").c_str()), 0) << command;
}

class Qcow2InteropTest : public ::testing::Test {
 protected:
  std::unique_ptr<Disk> MustOpen(const std::string& path, const std::string& format = "") {
    auto disk = OpenDisk(PosixFileSystem(), path, format, directory_.path());
    EXPECT_TRUE(disk.has_value()) << disk.error().Line();
    return disk ? *std::move(disk) : nullptr;
  }

  Error MustRefuse(const std::string& path) {
    const auto disk = OpenDisk(PosixFileSystem(), path, "", directory_.path());
    EXPECT_FALSE(disk.has_value());
    return disk ? Error{} : disk.error();
  }

  // All of it, and what lies in no extent as zeros: both must be what QEMU reads.
  void ExpectReadAsQemuDoes(const std::string& path) {
    const std::string raw = directory_ / "by-qemu.raw";
    ExpectRuns(fmt::format("qemu-img convert -f qcow2 -O raw '{}' {}", path, raw));
    const auto disk = MustOpen(path);
    ASSERT_NE(disk, nullptr);
    const auto theirs = MustOpen(raw);
    ASSERT_EQ(disk->size_bytes(), theirs->size_bytes());
    const std::vector<Extent> extents = disk->AllocatedExtents({0, disk->size_bytes()}).value();
    AlignedBuffer ours(kPieceBytes);
    AlignedBuffer expected(kPieceBytes);
    for (std::uint64_t at = 0; at < disk->size_bytes(); at += kPieceBytes) {
      const std::size_t count = std::min<std::uint64_t>(kPieceBytes, disk->size_bytes() - at);
      MustSucceed(disk->Read(at, ours.span().first(count)));
      MustSucceed(theirs->Read(at, expected.span().first(count)));
      ASSERT_TRUE(std::ranges::equal(ours.span().first(count), expected.span().first(count))) << at;
    }
    std::uint64_t hole = 0;
    for (const Extent& extent : extents) {
      ExpectZeros(*theirs, hole, extent.offset_bytes);
      hole = extent.end_bytes();
    }
    ExpectZeros(*theirs, hole, theirs->size_bytes());
    std::remove(raw.c_str());
  }

  static void ExpectZeros(const Disk& disk, std::uint64_t begin, std::uint64_t end) {
    AlignedBuffer buffer(kPieceBytes);
    for (std::uint64_t at = begin; at < end; at += kPieceBytes) {
      const MutableByteSpan piece =
          buffer.span().first(std::min<std::uint64_t>(kPieceBytes, end - at));
      MustSucceed(disk.Read(at, piece));
      ASSERT_TRUE(IsZero(piece)) << at;
    }
  }

  static constexpr std::size_t kPieceBytes = 4 * kMiB;
  TempDir directory_;
};

}  // namespace asr::testing
