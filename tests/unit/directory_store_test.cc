// What only the directory store has: lock files with notes, temporary files, full file systems.
#include "storage/blob/directory_store.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <random>
#include <thread>

#include "tests/support/fault_file_system.h"
#include "tests/support/page_blob_model.h"
#include "tests/support/temp_dir.h"

namespace asr {
namespace {

using testing::ByteVector;
using testing::FailsWith;
using testing::IsOk;
using testing::RandomBytes;

class DirectoryStoreFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    store_ = Open();
    ASSERT_NE(store_, nullptr);
  }

  std::unique_ptr<BlobStore> Open() {
    auto store = OpenDirectoryStore(fs_, directory_ / "vault", true);
    EXPECT_TRUE(IsOk(store));
    return store ? *std::move(store) : nullptr;
  }

  std::string Path(const std::string& name) { return directory_ / ("vault/" + name); }

  testing::TempDir directory_;
  testing::FaultFileSystem fs_{PosixFileSystem()};
  std::unique_ptr<BlobStore> store_;
};

TEST_F(DirectoryStoreFilesTest, UnfinishedWritesGoAsDeepAsAskedAndNothingElseDoes) {
  ASSERT_TRUE(IsOk(store_->Put("items/web/points/1.json", AsBytes(std::string_view("{}")))));
  for (const char* name : {"items/web/item.json.tmp-0", "items/web/points/1.json.tmp-0",
                           "items/new/item.json.tmp-0", "other/item.json.tmp-0"}) {
    ASSERT_TRUE(IsOk(fs_.CreateDirectories(ParentOf(Path(name)))));
    ASSERT_TRUE(IsOk(WriteFileAtomic(fs_, Path(name), AsBytes(std::string_view("half")))));
  }
  ASSERT_TRUE(IsOk(store_->RemoveUnfinished("items/", 1)));
  EXPECT_FALSE(Exists(fs_, Path("items/web/item.json.tmp-0")));
  EXPECT_FALSE(Exists(fs_, Path("items/new")));
  EXPECT_TRUE(Exists(fs_, Path("items/web/points/1.json.tmp-0")));
  ASSERT_TRUE(IsOk(store_->RemoveUnfinished("items/web/", 4)));
  EXPECT_FALSE(Exists(fs_, Path("items/web/points/1.json.tmp-0")));
  EXPECT_TRUE(Exists(fs_, Path("other/item.json.tmp-0")));
  EXPECT_TRUE(IsOk(store_->Get("items/web/points/1.json")));
  EXPECT_TRUE(IsOk(store_->RemoveUnfinished("items/gone/", 4)));
  EXPECT_TRUE(IsOk(store_->Put("items/new/item.json", AsBytes(std::string_view("{}")))));
}

// Pruning needs the lease, and is what frees a full vault.
TEST_F(DirectoryStoreFilesTest, ALeaseIsHadWithoutRoomForItsNote) {
  ASSERT_TRUE(IsOk(store_->AcquireLease("items/web")));
  for (const std::uint64_t call : {2U, 3U, 4U}) {  // 1 takes the lock; opens, writes, cuts the note
    fs_.FailAt(call, ENOSPC);
    const auto lease = store_->AcquireLease("items/web");
    ASSERT_TRUE(fs_.has_failed()) << call;
    ASSERT_TRUE(IsOk(lease)) << call;
    EXPECT_TRUE(FailsWith(store_->AcquireLease("items/web"), ErrorCode::kLocked)) << call;
  }
}

TEST_F(DirectoryStoreFilesTest, ANoteThatCannotBeReplacedNamesNobody) {
  ASSERT_TRUE(IsOk(store_->AcquireLease("items/web")));
  fs_.FailAt(3, ENOSPC);
  const auto lease = store_->AcquireLease("items/web");
  ASSERT_TRUE(IsOk(lease));
  const auto second = store_->AcquireLease("items/web");
  ASSERT_TRUE(FailsWith(second, ErrorCode::kLocked));
  EXPECT_NE(second.error().message.find("by another process"), std::string::npos)
      << second.error().message;
}

TEST_F(DirectoryStoreFilesTest, ALongerOldNoteLeavesNoTail) {
  ASSERT_TRUE(IsOk(store_->AcquireLease("items/web")));
  const std::string old(500, '?');
  ASSERT_TRUE(IsOk(WriteFileAtomic(fs_, Path(".locks/items+web"), AsBytes(old))));
  const auto lease = store_->AcquireLease("items/web");
  const auto note = ReadWholeFile(fs_, Path(".locks/items+web"));
  ASSERT_TRUE(IsOk(note));
  EXPECT_TRUE(note->starts_with("process " + std::to_string(::getpid()))) << *note;
  EXPECT_EQ(note->find('?'), std::string::npos) << *note;
}

TEST_F(DirectoryStoreFilesTest, UnfinishedFilesGoWithTheirBlob) {
  ASSERT_TRUE(IsOk(store_->Put("items/web/item.json", AsBytes("{}"))));
  fs_.DieAt(3);  // opens and writes; then dies in the sync
  EXPECT_FALSE(store_->Put("items/web/item.json", AsBytes("{1}")).has_value());
  fs_.FailAt(0, 0);  // a new process
  ASSERT_EQ(fs_.List(Path("items/web")).value().size(), 2U);
  ASSERT_TRUE(IsOk(store_->Delete("items/web/item.json")));
  EXPECT_FALSE(Exists(fs_, Path("items")));
}

TEST_F(DirectoryStoreFilesTest, OpeningAPageBlobSweepsItsOwnUnfinishedFiles) {
  const std::string own = Path("disks/a.vhd.tmp-0123456789ab");
  const std::string other = Path("disks/a.vhd2.tmp-0123456789ab");
  ASSERT_TRUE(IsOk(store_->CreatePageBlob("disks/a.vhd", 64 * kKiB)));
  ASSERT_TRUE(IsOk(WriteFileAtomic(fs_, own, AsBytes("torn"))));
  ASSERT_TRUE(IsOk(WriteFileAtomic(fs_, other, AsBytes("somebody's"))));
  ASSERT_TRUE(IsOk(store_->OpenPageBlob("disks/a.vhd")));
  EXPECT_FALSE(Exists(fs_, own));
  EXPECT_TRUE(Exists(fs_, other));
  EXPECT_TRUE(Exists(fs_, Path("disks/a.vhd")));
}

// Documents are put without a lease.
TEST_F(DirectoryStoreFilesTest, APutBesideDeletionsSucceeds) {
  std::thread deleter([&] {
    for (int round = 0; round < 200; ++round) {
      EXPECT_TRUE(IsOk(store_->Delete("policies/gold.json")));
    }
  });
  for (int round = 0; round < 50; ++round) {
    EXPECT_TRUE(IsOk(store_->Put("policies/gold.json", AsBytes("{}"))));
  }
  deleter.join();
}

// A restore reads rows of digests one by one; each used to list the undo directory.
TEST_F(DirectoryStoreFilesTest, SmallReadsOfASnapshotReadAChunkOnce) {
  auto blob = store_->CreatePageBlob("a.vhd", 2 * 64 * kKiB + 512);
  ASSERT_TRUE(IsOk(blob));
  std::mt19937_64 random(20261124);
  const ByteVector first = RandomBytes(random, (*blob)->size_bytes());
  ASSERT_TRUE(IsOk((*blob)->Write(0, first)));
  ASSERT_TRUE(IsOk((*blob)->CreateSnapshot({"1"})));
  auto reader = store_->OpenPageBlobReader("a.vhd", SnapshotId{"1"});
  ASSERT_TRUE(IsOk(reader));
  ByteVector row(1000);
  ASSERT_TRUE(IsOk((*reader)->Read(0, row)));
  ASSERT_TRUE(IsOk((*blob)->Write(0, ByteVector(first.size(), std::byte{7}))));
  for (std::size_t offset = 0; offset + row.size() <= first.size(); offset += row.size()) {
    const std::uint64_t calls = fs_.calls();
    ASSERT_TRUE(IsOk((*reader)->Read(offset, row)));
    EXPECT_TRUE(std::equal(row.begin(), row.end(), first.begin() + std::ptrdiff_t(offset)));
    if (offset + row.size() <= 64 * kKiB) {
      EXPECT_EQ(fs_.calls() - calls, 1U) << offset;
    }
  }
  ByteVector last(512);
  ASSERT_TRUE(IsOk((*reader)->Read(2 * 64 * kKiB, last)));
  EXPECT_TRUE(std::equal(last.begin(), last.end(), first.end() - 512));
  ASSERT_TRUE(IsOk((*blob)->DeleteSnapshot({"1"})));
  EXPECT_TRUE(FailsWith((*reader)->Read(0, row), ErrorCode::kSnapshotNotFound));
}

}  // namespace
}  // namespace asr
