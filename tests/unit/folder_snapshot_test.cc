#include "core/source/folder_snapshot.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <functional>

#include "tests/support/qemu_lock.h"
#include "tests/support/temp_dir.h"

namespace asr {
namespace {

using std::chrono::hours;
using std::chrono::seconds;
using ::testing::HasSubstr;

class FolderSnapshotTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"root", "data"}) {
      const std::string path = directory_ / (std::string(name) + ".raw");
      ASSERT_TRUE(WriteFileAtomic(fs_, path, AsBytes(std::string(kMiB, 'x'))).has_value());
      disks_.push_back({.name = {name},
                        .path = path,
                        .folder = directory_.path(),
                        .format = "raw",
                        .size_bytes = kMiB,
                        .logical_sector_bytes = 512});
    }
  }
  Result<std::unique_ptr<FolderSnapshot>> Open() {
    return FolderSnapshot::Open(fs_, Timestamp{}, "web", disks_);
  }

  FileSystem& fs_ = PosixFileSystem();
  testing::TempDir directory_;
  std::vector<VmDisk> disks_;
};

TEST_F(FolderSnapshotTest, OpensAllDisksInOrder) {
  const auto snapshot = Open();
  ASSERT_TRUE(snapshot.has_value()) << snapshot.error().Line();
  ASSERT_EQ((*snapshot)->disks().size(), 2u);
  EXPECT_EQ((*snapshot)->disks()[0].name.value, "root");
  EXPECT_EQ((*snapshot)->disks()[1].name.value, "data");
  EXPECT_EQ((*snapshot)->disks()[1].disk->size_bytes(), kMiB);
  ASSERT_EQ((*snapshot)->disks()[1].stamps.size(), 1u);
  EXPECT_EQ((*snapshot)->disks()[1].stamps[0].path, directory_ / "data.raw");
}

TEST_F(FolderSnapshotTest, RefusesAnImageThatIsLockedByItsWriter) {
  {
    const testing::QemuLock writer(directory_ / "data.raw");
    const auto refused = Open();
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, ErrorCode::kImageInUse);
    EXPECT_TRUE(refused.error().retryable);
  }
  EXPECT_TRUE(Open().has_value());
}

TEST_F(FolderSnapshotTest, ReadingChangesNothing) {
  const auto snapshot = Open();
  std::vector<std::byte> bytes(kMiB);
  ASSERT_TRUE((*snapshot)->disks()[0].disk->Read(0, bytes).has_value());
  EXPECT_TRUE((*snapshot)->Verify().has_value());
}

TEST_F(FolderSnapshotTest, NoticesEveryKindOfChange) {
  const std::string path = directory_ / "data.raw";
  const std::vector<std::pair<const char*, std::function<void()>>> changes = {
      {"written",
       [&] {
         const auto file = *fs_.Open(path, {.mode = OpenMode::kWrite});
         ASSERT_TRUE(file->WriteAt(5, AsBytes("y")).has_value());
       }},
      {"grown",
       [&] {
         const auto file = *fs_.Open(path, {.mode = OpenMode::kWrite});
         ASSERT_TRUE(file->Resize(2 * kMiB).has_value());
       }},
      {"hole",
       [&] {
         const auto file = *fs_.Open(path, {.mode = OpenMode::kWrite});
         ASSERT_TRUE(file->PunchHole({0, 65536}).has_value());
       }},
      {"replaced",
       [&] {
         ASSERT_TRUE(WriteFileAtomic(fs_, path, AsBytes(std::string(kMiB, 'x'))).has_value());
       }},
      {"written and its mtime put back",
       [&] {
         struct stat before {};
         ASSERT_EQ(::stat(path.c_str(), &before), 0);
         const auto file = *fs_.Open(path, {.mode = OpenMode::kWrite});
         ASSERT_TRUE(file->WriteAt(5, AsBytes("z")).has_value());
         const timespec times[2] = {before.st_atim, before.st_mtim};
         ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
       }},
      {"removed", [&] { ASSERT_TRUE(fs_.RemoveFile(path).has_value()); }}};
  for (const auto& [what, change] : changes) {
    const auto snapshot = Open();
    ASSERT_TRUE(snapshot.has_value()) << what;
    // File systems' times tick every few milliseconds.
    SystemClock().SleepSeconds(0.02);
    change();
    const Status status = (*snapshot)->Verify();
    ASSERT_FALSE(status.has_value()) << what;
    EXPECT_EQ(status.error().code, ErrorCode::kImageChanged) << what;
    EXPECT_TRUE(status.error().retryable);
    EXPECT_EQ(status.error().Line(),
              "VM web, disk data: " + path + " was changed while it was read");
    EXPECT_THAT(status.error().action, HasSubstr("shut the VM down, or wait"));
  }
}

TEST_F(FolderSnapshotTest, ADiskThatCannotBeOpened) {
  disks_[1].path = directory_ / "gone.raw";
  const auto snapshot = Open();
  ASSERT_FALSE(snapshot.has_value());
  EXPECT_EQ(snapshot.error().kind, ErrorKind::kNotFound);
  EXPECT_THAT(snapshot.error().Line(), HasSubstr("VM web, disk data, "));
}

class StampsTest : public ::testing::Test {
 protected:
  static Timestamp At(seconds time) { return Timestamp{time}; }
  static std::int64_t Nanoseconds(seconds time) { return std::chrono::nanoseconds(time).count(); }

  // Last changed at 990 s; the pass began at 1000 s.
  DiskStamps stamps_ = {
      {"/vm/leaf.avhdx",
       {1, 2, 3, Nanoseconds(seconds{980}), Nanoseconds(seconds{990}), FileType::kRegular, 4096}},
      {"/vm/base.vhdx",
       {1, 9, 8, Nanoseconds(seconds{80}), Nanoseconds(seconds{90}), FileType::kRegular, 8192}}};
  LastPass last_{stamps_, At(seconds{1000}), At(seconds{1000})};
  Timestamp now_ = At(seconds{5000});
};

TEST_F(StampsTest, ReadBackAsWritten) {
  stamps_[0].stamp.inode = ~0ULL;
  stamps_[0].stamp.modified_ns = -5;
  stamps_[1].stamp.type = FileType::kBlockDevice;
  stamps_[1].path = "/vm/\"quoted\" é.raw";
  const auto read = ParseStamps(StampsToJson(stamps_));
  ASSERT_TRUE(read.has_value());
  ASSERT_EQ(read->size(), stamps_.size());
  for (std::size_t i = 0; i < stamps_.size(); ++i) {
    EXPECT_EQ((*read)[i].path, stamps_[i].path);
    EXPECT_EQ((*read)[i].stamp, stamps_[i].stamp);
  }
  EXPECT_TRUE(ParseStamps("[]")->empty());
}

TEST_F(StampsTest, APathThatIsNotUtf8NeverCountsAsUntouched) {
  stamps_[0].path = "/vm/\xFF.raw";
  last_.stamps = *ParseStamps(StampsToJson(stamps_));
  EXPECT_FALSE(IsUntouched(stamps_, last_, now_));
}

TEST_F(StampsTest, EveryCutOfTheTextIsRefused) {
  const std::string text = StampsToJson(stamps_);
  for (std::size_t length = 0; length < text.size(); ++length) {
    const auto stamps = ParseStamps(text.substr(0, length));
    ASSERT_FALSE(stamps.has_value()) << length;
    EXPECT_EQ(stamps.error().kind, ErrorKind::kCorrupt);
  }
  for (const char* other : {"{}", "[1]", "[{}]", "null", R"([{"path": 1}])"}) {
    EXPECT_FALSE(ParseStamps(other).has_value()) << other;
  }
}

TEST_F(StampsTest, UntouchedIfNothingChanged) {
  EXPECT_TRUE(IsUntouched(stamps_, last_, now_));
  // What a file system allocates on its own is no change.
  stamps_[0].stamp.allocated_bytes += 65536;
  EXPECT_TRUE(IsUntouched(stamps_, last_, now_));
}

TEST_F(StampsTest, TouchedIfAnythingOfAnyFileChanged) {
  const std::vector<std::pair<const char*, std::function<void(Disk::BackingFile&)>>> changes = {
      {"path", [](Disk::BackingFile& file) { file.path += "x"; }},
      {"device", [](Disk::BackingFile& file) { ++file.stamp.device; }},
      {"inode", [](Disk::BackingFile& file) { ++file.stamp.inode; }},
      {"size", [](Disk::BackingFile& file) { ++file.stamp.size_bytes; }},
      {"mtime", [](Disk::BackingFile& file) { ++file.stamp.modified_ns; }},
      {"ctime", [](Disk::BackingFile& file) { ++file.stamp.changed_ns; }},
      {"type", [](Disk::BackingFile& file) { file.stamp.type = FileType::kBlockDevice; }}};
  for (const auto& [what, change] : changes) {
    for (std::size_t i = 0; i < stamps_.size(); ++i) {
      DiskStamps changed = stamps_;
      change(changed[i]);
      EXPECT_FALSE(IsUntouched(changed, last_, now_)) << what << " of file " << i;
    }
  }
  EXPECT_FALSE(IsUntouched({stamps_[0]}, last_, now_)) << "a shorter chain";
  EXPECT_FALSE(IsUntouched({}, {{}, last_.pass_started, last_.full_read}, now_)) << "no files";
}

TEST_F(StampsTest, AChangeJustBeforeThePassDoesNotCountAsOld) {
  for (const auto& [changed, untouched] :
       std::vector<std::pair<seconds, bool>>{{seconds{997}, true},
                                             {seconds{998}, false},
                                             {seconds{999}, false},
                                             {seconds{1001}, false},
                                             {seconds{9000}, false}}) {
    stamps_[1].stamp.changed_ns = Nanoseconds(changed);
    last_.stamps = stamps_;
    EXPECT_EQ(IsUntouched(stamps_, last_, now_), untouched) << changed.count();
  }
}

TEST_F(StampsTest, BlockDevicesAreAlwaysRead) {
  stamps_[0].stamp.type = FileType::kBlockDevice;
  last_.stamps = stamps_;
  EXPECT_FALSE(IsUntouched(stamps_, last_, now_));
}

TEST_F(StampsTest, ReadWholeEverySevenDays) {
  EXPECT_TRUE(IsUntouched(stamps_, last_, last_.full_read + hours{7 * 24} - seconds{1}));
  EXPECT_FALSE(IsUntouched(stamps_, last_, last_.full_read + hours{7 * 24}));
  EXPECT_FALSE(IsUntouched(stamps_, last_, last_.full_read - seconds{1})) << "a clock put back";
  // Passes that read nothing do not count.
  last_.pass_started = last_.full_read + hours{6 * 24};
  EXPECT_FALSE(IsUntouched(stamps_, last_, last_.full_read + hours{8 * 24}));
}

}  // namespace
}  // namespace asr
