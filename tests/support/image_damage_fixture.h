// Damages an image byte by byte and length by length, and opens it each time.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "storage/image/disk.h"
#include "tests/support/disk_content.h"
#include "tests/support/image_in_memory.h"
#include "tests/support/temp_dir.h"

namespace asr::testing {

// Fields that no checksum covers and that still make sense after the damage may give another disk;
// there it is enough that everything can be read, or is refused.
enum class Promise { kRightOrRefused, kReadOrRefused };

class ImageDamageTest : public ::testing::Test {
 protected:
  // The image at `path` is the one that is damaged; the disk is opened by `leaf`, if it is another.
  void Load(const std::string& path, const std::string& leaf = "") {
    path_ = leaf.empty() ? path : leaf;
    image_ = std::make_unique<ImageInMemory>(path);
    const auto disk = OpenDisk(*image_, path_);
    ASSERT_TRUE(disk.has_value()) << disk.error().Line();
    ASSERT_EQ(DifferenceFrom(content_, **disk), "");
    extents_ = (*disk)->AllocatedExtents({0, kGiB}).value();
  }

  void ExpectHeld(Promise promise, const std::string& what) {
    const auto disk = OpenDisk(*image_, path_);
    if (!disk) {
      EXPECT_FALSE(disk.error().message.empty());
      EXPECT_NE(disk.error().code, ErrorCode::kInternal) << disk.error().Line();
      return;
    }
    ++opened_;
    if (promise == Promise::kReadOrRefused) return ExpectReadable(**disk, what);
    // The bytes of all of them take long, those of some show what damaged tables would do.
    if (opened_ % 16 == 1) {
      EXPECT_EQ(DifferenceFrom(content_, **disk), "") << what;
    } else {
      ExpectSameMapping(**disk, what);
    }
  }

  // Of ranges too long for every run: every byte with ASR_NIGHTLY, else one of so many.
  static std::uint64_t EachOf(std::uint64_t step) {
    return std::getenv("ASR_NIGHTLY") != nullptr ? 1 : step;
  }

  // One bit of each byte of the range, and all bits, one byte after another.
  void FlipEach(Extent range, Promise promise, std::uint64_t step = 1) {
    ASSERT_LE(range.end_bytes(), image_->bytes().size());
    for (std::uint64_t at = range.offset_bytes; at < range.end_bytes(); at += step) {
      std::byte& byte = image_->bytes()[at];
      for (const std::byte mask : {static_cast<std::byte>(1 << (at % 8)), std::byte{0xFF}}) {
        byte ^= mask;
        ExpectHeld(promise, "byte " + std::to_string(at) + " flipped");
        byte ^= mask;
        if (HasFailure()) return;
      }
    }
  }

  // At every length inside the ranges, and at every 64 KiB elsewhere; from long to short, for each
  // cut shortens the last one further.
  void CutEverywhere(const std::vector<Extent>& ranges) {
    constexpr std::uint64_t kStride = 64 * kKiB;
    for (std::uint64_t length = image_->bytes().size(); length-- > 0;) {
      const bool is_inside = std::ranges::any_of(ranges, [&](const Extent& range) {
        return length >= range.offset_bytes && length < range.end_bytes();
      });
      if (!is_inside && length % kStride != 0) continue;
      image_->bytes().resize(length);
      ExpectHeld(Promise::kRightOrRefused, "cut to " + std::to_string(length));
      if (HasFailure()) return;
    }
  }

  DiskContent content_{5 * kMiB};
  TempDir directory_;
  std::unique_ptr<ImageInMemory> image_;
  int opened_ = 0;

 private:
  void ExpectReadable(const Disk& disk, const std::string& what) {
    ASSERT_LE(disk.size_bytes(), 64 * kTiB) << what;
    std::vector<std::byte> out(std::min(disk.size_bytes(), 8 * kMiB));
    EXPECT_TRUE(disk.Read(0, out).has_value()) << what;
    EXPECT_TRUE(disk.AllocatedExtents({0, kGiB}).has_value()) << what;
  }

  void ExpectSameMapping(const Disk& disk, const std::string& what) {
    ASSERT_EQ(disk.size_bytes(), content_.size_bytes()) << what;
    const auto extents = disk.AllocatedExtents({0, kGiB});
    ASSERT_TRUE(extents.has_value()) << extents.error().Line();
    ASSERT_EQ(*extents, extents_) << what;
    std::vector<std::byte> out(512);
    for (const auto& [offset, piece] : content_.pieces()) {
      ASSERT_TRUE(disk.Read(offset, out).has_value()) << what;
      ASSERT_EQ(content_.Bytes(offset, out.size()), out) << what;
    }
  }

  std::string path_;
  std::vector<Extent> extents_;
};

}  // namespace asr::testing
