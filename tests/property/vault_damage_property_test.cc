// No byte of a vault can change unseen: `points verify` or `vault check` tells of it, or nothing
// reads the byte.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <map>

#include "storage/base/file_descriptor.h"
#include "tests/support/page_blob_model.h"
#include "tests/support/protected_lab.h"

namespace asr::testing {
namespace {

using ::testing::IsEmpty;

// Offsets of asr-vault(5).
constexpr std::uint64_t kSlotBytes = 4096;  // undo files: two slots, then the bitmap
constexpr std::uint64_t kBitmap = 8192;
constexpr std::uint64_t kSnapshotSize = 16;  // in a slot
constexpr std::uint64_t kSequence = 24;
constexpr std::uint64_t kDataOffset = 40;
constexpr std::uint64_t kDigestHeaderEnd = 64;  // a little more than what is used
constexpr std::uint64_t kDigestSegment = 4096;
constexpr std::uint64_t kDigestRows = 4096 + 65536;

class VaultDamageTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (int round = 1; round <= 3; ++round) lab.Replicate(round);
    // So that some undo files were written to twice: other chunks, another predecessor.
    lab.Remove(lab.points()[1]);
    lab.cli.Json("points hold web");
    lab.cli.Json("points verify web latest");
    item_ = lab.item();
    points_ = lab.points();
    ASSERT_THAT(Told(), IsEmpty());
    whole_ = ReadAllSnapshots();
    ASSERT_EQ(whole_.size(), 12U);  // 3 points, 2 disks, 2 blobs of each
  }

  // What anybody is told of.
  std::vector<std::string> ToldByCheck() {
    const auto report = CheckContent(lab.vault->store(), SystemClock().Now(), {});
    if (!report) return {report.error().Line()};
    std::vector<std::string> texts;
    for (const Finding& finding : report->findings) texts.push_back(finding.message);
    return texts;
  }
  std::vector<std::string> Told() {
    auto texts = ToldByCheck();
    return texts.empty() ? lab.DamageOfPoints() : texts;
  }

  std::map<std::string, ByteVector> ReadAllSnapshots() {
    std::map<std::string, ByteVector> all;
    const std::string disks = "items/" + item_.id.value + "/disks/";
    for (const PointId& point : points_) {
      for (const char* name : {"root.vhd", "root.digests", "data.vhd", "data.digests"}) {
        auto reader = lab.vault->store().OpenPageBlobReader(disks + name, SnapshotId{point.value});
        if (!reader) continue;
        auto bytes = ReadAll(**reader);
        if (bytes) all[point.value + name] = *std::move(bytes);
      }
    }
    return all;
  }

  // Changes the byte, looks, and puts it back.
  void Flip(const std::string& path, std::uint64_t offset, bool may_be_unused) {
    const FileDescriptor file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    char old = 0;
    ASSERT_EQ(::pread(file.get(), &old, 1, static_cast<off_t>(offset)), 1) << path;
    const char changed = static_cast<char>(old ^ static_cast<char>(offset * 7 % 255 + 1));
    ASSERT_EQ(::pwrite(file.get(), &changed, 1, static_cast<off_t>(offset)), 1);
    ++flips_;
    if (Told().empty()) {
      ++unseen_;
      EXPECT_TRUE(may_be_unused && ReadAllSnapshots() == whole_)
          << path << " at offset " << offset << " changed, and nobody was told";
    }
    ASSERT_EQ(::pwrite(file.get(), &old, 1, static_cast<off_t>(offset)), 1);
  }

  void FlipRange(const std::string& path, std::uint64_t begin, std::uint64_t end,
                 std::uint64_t stride, bool may_be_unused = false) {
    for (std::uint64_t at = begin; at < end && !HasFailure(); at += stride) {
      Flip(path, at, may_be_unused);
    }
  }

  void ForEachFile(const std::function<void(const std::string&, std::uint64_t)>& visit) {
    std::vector<std::pair<std::string, std::uint64_t>> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(lab.cli.Path("vault"))) {
      const std::string path = entry.path();
      if (!entry.is_regular_file() || path.find("/.locks/") != std::string::npos) continue;
      files.emplace_back(path, entry.file_size());
    }
    for (const auto& [path, size] : files) visit(path, size);
  }

  static bool IsUndo(const std::string& path) { return path.find(".undo/") != std::string::npos; }

  ProtectedLab lab;
  Item item_;
  std::vector<PointId> points_;
  std::map<std::string, ByteVector> whole_;
  int flips_ = 0;
  int unseen_ = 0;
};

TEST_F(VaultDamageTest, EveryByteOfEveryDocument) {
  ForEachFile([&](const std::string& path, std::uint64_t size) {
    if (path.ends_with(".json")) FlipRange(path, 0, size, 1);
  });
  EXPECT_GT(flips_, 4000);
  EXPECT_EQ(unseen_, 0);
}

TEST_F(VaultDamageTest, LiveDisksFootersAndDigests) {
  ForEachFile([&](const std::string& path, std::uint64_t size) {
    if (IsUndo(path)) return;
    // Every byte of a structure in one of them; the other is made alike.
    const bool dense = path.find("/root.") != std::string::npos;
    if (path.ends_with(".vhd")) {
      FlipRange(path, 0, size - 512, 40'009);
      FlipRange(path, size - 512, size, dense ? 1 : 11);
    } else if (path.ends_with(".digests")) {
      FlipRange(path, 0, kDigestHeaderEnd, 1);
      FlipRange(path, kDigestHeaderEnd, kDigestSegment, 101);
      FlipRange(path, kDigestSegment, kDigestSegment + 32, 1);
      FlipRange(path, kDigestRows, kDigestRows + 1100, dense ? 7 : 29);
      FlipRange(path, kDigestSegment + 64, size, 100'003);
    }
  });
  EXPECT_GT(flips_, 900);
  EXPECT_EQ(unseen_, 0);
}

// What means nothing in an undo file: the slot that is not in force, chunks whose bits are not set,
// bytes behind the bitmap and behind the snapshot's end. A bit, too, may choose between two copies
// of the same bytes. There every snapshot reads as before, or somebody is told.
TEST_F(VaultDamageTest, UndoFiles) {
  bool first = true;
  ForEachFile([&](const std::string& path, std::uint64_t) {
    if (!IsUndo(path)) return;
    const std::string file = lab.cli.ReadFile(path);
    const auto number = [&](std::uint64_t offset) {
      return LoadLittle<std::uint64_t>(AsBytes(file), offset);
    };
    const std::uint64_t in_force =
        number(kSlotBytes + kSequence) > number(kSequence) ? kSlotBytes : 0;
    FlipRange(path, in_force, in_force + kSlotBytes, first ? 1 : 97);
    FlipRange(path, kSlotBytes - in_force, 2 * kSlotBytes - in_force, 1'021, true);
    first = false;
    const std::uint64_t size = number(in_force + kSnapshotSize);
    const std::uint64_t data = number(in_force + kDataOffset);
    const std::uint64_t chunks = (size + 65'535) / 65'536;
    FlipRange(path, kBitmap, kBitmap + (chunks + 7) / 8, 1, true);
    FlipRange(path, kBitmap + (chunks + 7) / 8, data, 19'997, true);
    for (std::uint64_t i = 0; i < chunks; ++i) {
      const bool kept = (static_cast<unsigned char>(file[kBitmap + i / 8]) >> i % 8 & 1) != 0;
      const std::uint64_t begin = data + i * 65'536;
      const std::uint64_t used = std::min<std::uint64_t>(size - i * 65'536, 65'536);
      if (kept) FlipRange(path, begin, begin + used, 24'001);
      if (kept && used < 65'536) FlipRange(path, begin + used, begin + 65'536, 30'011, true);
      if (!kept && i % 23 == 0) FlipRange(path, begin, begin + 1, 1, true);
    }
  });
  EXPECT_GT(flips_, 4500);
  EXPECT_GT(flips_ - unseen_, 4000);
}

}  // namespace
}  // namespace asr::testing
