#include "storage/blob/undo_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "storage/blob/directory_store.h"
#include "storage/blob/undo_chain.h"
#include "tests/support/page_blob_model.h"
#include "tests/support/temp_dir.h"

namespace asr {
namespace {

using testing::ByteVector;
using testing::FailsWith;
using testing::IsOk;
using testing::ReadsAs;

FileSystem& Fs() { return PosixFileSystem(); }

void OverwriteBytes(const std::string& path, std::uint64_t offset_bytes, ByteSpan bytes) {
  const auto file = Fs().Open(path, {.mode = OpenMode::kWrite});
  ASSERT_TRUE(IsOk(file));
  ASSERT_TRUE(IsOk((*file)->WriteAt(offset_bytes, bytes)));
}

UndoHeader HeaderOf(const std::string& snapshot, const std::string& predecessor) {
  UndoHeader header;
  header.snapshot = {snapshot};
  header.predecessor = {predecessor};
  header.blob_size_bytes = 20 * kUndoChunkBytes + 512;
  return header;
}

TEST(UndoFileTest, HeaderIsReadBack) {
  const testing::TempDir directory;
  ASSERT_TRUE(IsOk(UndoFile::Create(Fs(), directory / "b", HeaderOf("b", "a"))));
  const auto file = UndoFile::Open(Fs(), directory / "b", UndoFile::Access::kWrite);
  ASSERT_TRUE(IsOk(file));
  EXPECT_EQ((*file)->header().snapshot.value, "b");
  EXPECT_EQ((*file)->header().predecessor.value, "a");
  EXPECT_EQ((*file)->header().blob_size_bytes, 20 * kUndoChunkBytes + 512);
  EXPECT_EQ((*file)->chunk_count(), 21U);
}

// The bytes that the manual's worked example states; a reader elsewhere may rely on them.
TEST(UndoFileTest, LayoutIsAsTheManualSays) {
  const testing::TempDir directory;
  const auto undo = UndoFile::Create(Fs(), directory / "b", HeaderOf("b", "a"));
  ASSERT_TRUE(IsOk(undo));
  const ByteVector chunk(kUndoChunkBytes, std::byte{0x5A});
  ASSERT_TRUE(IsOk((*undo)->WriteData(9 * kUndoChunkBytes, chunk)));
  ASSERT_TRUE(IsOk((*undo)->SetBits({{9, 1}})));
  const auto text = ReadWholeFile(Fs(), directory / "b");
  ASSERT_TRUE(IsOk(text));
  EXPECT_EQ(text->size(), 65536 + 21 * kUndoChunkBytes);
  const ByteSpan slot = AsBytes(*text).subspan(4096, 4096);  // sequence 1 is odd
  EXPECT_EQ(AsText(slot.first(8)), std::string_view("ASRUNDO\0", 8));
  EXPECT_EQ(LoadLittle<std::uint32_t>(slot, 8), 1U);
  EXPECT_EQ(LoadLittle<std::uint32_t>(slot, 12), 65536U);
  EXPECT_EQ(LoadLittle<std::uint64_t>(slot, 16), 20 * kUndoChunkBytes + 512);
  EXPECT_EQ(LoadLittle<std::uint64_t>(slot, 24), 1U);
  EXPECT_EQ(LoadLittle<std::uint64_t>(slot, 32), 8192U);
  EXPECT_EQ(LoadLittle<std::uint64_t>(slot, 40), 65536U);
  EXPECT_EQ(AsText(slot.subspan(64, 2)), std::string_view("b\0", 2));
  EXPECT_EQ(AsText(slot.subspan(320, 2)), std::string_view("a\0", 2));
  EXPECT_EQ(LoadLittle<std::uint32_t>(slot, 4092), Crc32c(slot.first(4092)));
  EXPECT_EQ((*text)[8192], '\0');
  EXPECT_EQ((*text)[8193], '\x02');  // chunk 9
  EXPECT_EQ((*text)[65536 + 9 * kUndoChunkBytes], '\x5A');
}

TEST(UndoFileTest, TornHeaderWriteLeavesTheOldOne) {
  const testing::TempDir directory;
  const std::string path = directory / "c";
  {
    const auto file = UndoFile::Create(Fs(), path, HeaderOf("c", "b"));
    ASSERT_TRUE(IsOk(file));
    ASSERT_TRUE(IsOk((*file)->SetPredecessor({"a"})));
  }
  ByteVector garbage(512, std::byte{0xEE});
  OverwriteBytes(path, 512, garbage);  // in slot 0, which holds sequence 2
  const auto file = UndoFile::Open(Fs(), path, UndoFile::Access::kWrite);
  ASSERT_TRUE(IsOk(file));
  EXPECT_EQ((*file)->header().predecessor.value, "b");
  EXPECT_EQ((*file)->header().sequence, 1U);
  ASSERT_TRUE(IsOk((*file)->SetPredecessor({"a"})));
  EXPECT_EQ(UndoFile::Open(Fs(), path, UndoFile::Access::kRead).value()->header().predecessor.value,
            "a");
  OverwriteBytes(path, 100, garbage);
  OverwriteBytes(path, 4096 + 100, garbage);
  EXPECT_TRUE(
      FailsWith(UndoFile::Open(Fs(), path, UndoFile::Access::kRead), ErrorCode::kBlobCorrupt));
}

// Dropping the oldest snapshot frees a full file system, and must not need a block to begin with.
TEST(UndoFileTest, SettingThePredecessorTakesNoSpace) {
  const testing::TempDir directory;
  const auto file = UndoFile::Create(Fs(), directory / "c", HeaderOf("c", "b"));
  ASSERT_TRUE(IsOk(file));
  const auto before = Fs().Stat(directory / "c");
  ASSERT_TRUE(IsOk(before));
  for (const std::string predecessor : {"a", ""}) {
    ASSERT_TRUE(IsOk((*file)->SetPredecessor({predecessor})));
    EXPECT_EQ(Fs().Stat(directory / "c").value().allocated_bytes, before->allocated_bytes);
  }
}

TEST(UndoFileTest, EveryFlippedBitOfAHeaderIsFound) {
  const testing::TempDir directory;
  const std::string path = directory / "c";
  ASSERT_TRUE(IsOk(UndoFile::Create(Fs(), path, HeaderOf("c", "b"))));
  for (std::size_t offset = 0; offset < 4096; offset += offset < 700 ? 1 : 97) {
    ByteVector byte(1);
    const auto file = Fs().Open(path, {.mode = OpenMode::kWrite});
    ASSERT_TRUE(IsOk((*file)->ReadAt(4096 + offset, byte)));
    byte[0] ^= std::byte{0x10};
    ASSERT_TRUE(IsOk((*file)->WriteAt(4096 + offset, byte)));
    ASSERT_TRUE(
        FailsWith(UndoFile::Open(Fs(), path, UndoFile::Access::kRead), ErrorCode::kBlobCorrupt))
        << offset;
    byte[0] ^= std::byte{0x10};
    ASSERT_TRUE(IsOk((*file)->WriteAt(4096 + offset, byte)));
  }
}

TEST(UndoFileTest, BitsOfLongRunsAndOfNeighbours) {
  const testing::TempDir directory;
  UndoHeader header = HeaderOf("a", "");
  header.blob_size_bytes = 2'000'000 * kUndoChunkBytes;  // the bitmap is several pieces long
  const auto file = UndoFile::Create(Fs(), directory / "a", header);
  ASSERT_TRUE(IsOk(file));
  ASSERT_TRUE(IsOk((*file)->SetBits({{3, 1'000'000}, {1'999'999, 5}})));
  ASSERT_TRUE(IsOk((*file)->SetBits({{1, 1}})));
  ASSERT_TRUE(IsOk((*file)->MakeBitsDurable()));
  const auto bits = (*file)->ReadBits({0, 2'000'010});
  ASSERT_TRUE(IsOk(bits));
  for (const std::uint64_t set : {1U, 3U, 500'000U, 1'000'002U, 1'999'999U}) {
    EXPECT_TRUE(bits->Has(set)) << set;
  }
  for (const std::uint64_t unset : {0U, 2U, 1'000'003U, 1'999'998U, 2'000'000U, 2'000'001U}) {
    EXPECT_FALSE(bits->Has(unset)) << unset;
  }
}

class UndoChainTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto store = OpenDirectoryStore(Fs(), directory_ / "vault", true);
    ASSERT_TRUE(IsOk(store));
    store_ = *std::move(store);
    auto blob = store_->CreatePageBlob("x.vhd", first_.size());
    ASSERT_TRUE(IsOk(blob));
    blob_ = *std::move(blob);
    ASSERT_TRUE(IsOk(blob_->Write(0, first_)));
    ASSERT_TRUE(IsOk(blob_->CreateSnapshot({"a"})));
    ASSERT_TRUE(IsOk(blob_->Write(0, ByteSpan(second_).first(kUndoChunkBytes))));
    ASSERT_TRUE(IsOk(blob_->CreateSnapshot({"b"})));
    ASSERT_TRUE(IsOk(blob_->CreateSnapshot({"c"})));
    ASSERT_TRUE(IsOk(blob_->Write(kUndoChunkBytes, ByteSpan(second_).first(kUndoChunkBytes))));
    blob_.reset();
  }

  std::string Undo(const std::string& id) { return directory_ / ("vault/x.vhd.undo/" + id); }

  testing::TempDir directory_;
  const ByteVector first_ = ByteVector(3 * kUndoChunkBytes, std::byte{1});
  const ByteVector second_ = ByteVector(3 * kUndoChunkBytes, std::byte{2});
  std::unique_ptr<BlobStore> store_;
  std::unique_ptr<PageBlob> blob_;
};

TEST_F(UndoChainTest, AMissingFileIsAGapAndNoWrongBytes) {
  ASSERT_TRUE(IsOk(Fs().RemoveFile(Undo("b"))));
  EXPECT_TRUE(
      FailsWith(store_->OpenPageBlobReader("x.vhd", SnapshotId{"a"}), ErrorCode::kBlobCorrupt));
  EXPECT_TRUE(FailsWith(store_->OpenPageBlob("x.vhd"), ErrorCode::kBlobCorrupt));
  EXPECT_TRUE(IsOk(store_->OpenPageBlobReader("x.vhd", SnapshotId{"c"})));
}

TEST_F(UndoChainTest, ARenamedFileIsFound) {
  ASSERT_TRUE(IsOk(Fs().Rename(Undo("c"), Undo("d"))));
  EXPECT_TRUE(
      FailsWith(store_->OpenPageBlobReader("x.vhd", SnapshotId{"a"}), ErrorCode::kBlobCorrupt));
}

// The state between the two last steps of a drop.
TEST_F(UndoChainTest, LeftOversAreIgnoredByReadersAndRemovedByTheWriter) {
  {
    const auto a = UndoFile::Open(Fs(), Undo("a"), UndoFile::Access::kWrite);
    const auto b = UndoFile::Open(Fs(), Undo("b"), UndoFile::Access::kRead);
    const auto c = UndoFile::Open(Fs(), Undo("c"), UndoFile::Access::kWrite);
    ASSERT_TRUE(IsOk(FoldUndoFile(**b, **a)));
    ASSERT_TRUE(IsOk((*c)->SetPredecessor({"a"})));
  }
  ASSERT_TRUE(IsOk(WriteNewFileAtomic(Fs(), Undo("e.tmp-0123456789ab"), AsBytes("torn"))));
  EXPECT_TRUE(ReadsAs(*store_, "x.vhd", SnapshotId{"a"}, first_));
  EXPECT_TRUE(FailsWith(store_->OpenPageBlobReader("x.vhd", SnapshotId{"b"}),
                        ErrorCode::kSnapshotNotFound));
  EXPECT_TRUE(Exists(Fs(), Undo("b")));
  const auto blob = store_->OpenPageBlob("x.vhd");
  ASSERT_TRUE(IsOk(blob));
  EXPECT_FALSE(Exists(Fs(), Undo("b")));
  EXPECT_FALSE(Exists(Fs(), Undo("e.tmp-0123456789ab")));
  EXPECT_EQ((*blob)->ListSnapshots().value(), (std::vector<SnapshotId>{{"a"}, {"c"}}));
  EXPECT_TRUE(ReadsAs(*store_, "x.vhd", SnapshotId{"a"}, first_));
}

TEST_F(UndoChainTest, AnExistingBitWins) {
  const auto blob = store_->OpenPageBlob("x.vhd");
  ASSERT_TRUE(IsOk(blob));
  // Chunk 1 is kept in c already: these newer bytes must not replace the kept ones.
  ASSERT_TRUE(IsOk((*blob)->Write(kUndoChunkBytes, ByteVector(512, std::byte{3}))));
  ASSERT_TRUE(IsOk((*blob)->Clear({kUndoChunkBytes, kUndoChunkBytes})));
  EXPECT_TRUE(ReadsAs(*store_, "x.vhd", SnapshotId{"a"}, first_));
  const auto c = UndoFile::Open(Fs(), Undo("c"), UndoFile::Access::kRead);
  ByteVector kept(kUndoChunkBytes);
  ASSERT_TRUE(IsOk((*c)->ReadData(kUndoChunkBytes, kept)));
  EXPECT_EQ(kept, ByteVector(kUndoChunkBytes, std::byte{1}));
}

TEST_F(UndoChainTest, ZerosAreKeptAsHoles) {
  auto blob = store_->CreatePageBlob("zeros.vhd", 64 * kMiB);
  ASSERT_TRUE(IsOk(blob));
  ASSERT_TRUE(IsOk((*blob)->CreateSnapshot({"a"})));
  ASSERT_TRUE(IsOk((*blob)->Write(0, ByteVector(16 * kMiB, std::byte{7}))));
  const auto stamp = Fs().Stat(directory_ / "vault/zeros.vhd.undo/a");
  ASSERT_TRUE(IsOk(stamp));
  EXPECT_LT(stamp->allocated_bytes, 64 * kKiB);
  EXPECT_TRUE(ReadsAs(*store_, "zeros.vhd", SnapshotId{"a"}, ByteVector(64 * kMiB)));
}

TEST_F(UndoChainTest, TheLiveFileIsTheBytesAndClearedPartsAreHoles) {
  const auto before = Fs().Stat(directory_ / "vault/x.vhd");
  const auto blob = store_->OpenPageBlob("x.vhd");
  ASSERT_TRUE(IsOk(blob));
  ASSERT_TRUE(IsOk((*blob)->Clear({kUndoChunkBytes, kUndoChunkBytes})));
  ASSERT_TRUE(IsOk((*blob)->Flush()));
  const auto text = ReadWholeFile(Fs(), directory_ / "vault/x.vhd");
  ASSERT_TRUE(IsOk(text));
  EXPECT_EQ(*text, std::string(kUndoChunkBytes, '\2') + std::string(kUndoChunkBytes, '\0') +
                       std::string(kUndoChunkBytes, '\1'));
  const auto after = Fs().Stat(directory_ / "vault/x.vhd");
  EXPECT_EQ(after->allocated_bytes + kUndoChunkBytes, before->allocated_bytes);
}

TEST_F(UndoChainTest, TheHolderOfALeaseIsNamed) {
  const auto lease = store_->AcquireLease("items/web");
  ASSERT_TRUE(IsOk(lease));
  auto second_store = OpenDirectoryStore(Fs(), directory_ / "vault", false);
  ASSERT_TRUE(IsOk(second_store));
  const auto second = (*second_store)->AcquireLease("items/web");
  ASSERT_TRUE(FailsWith(second, ErrorCode::kLocked));
  EXPECT_NE(second.error().message.find("process " + std::to_string(::getpid()) + " on "),
            std::string::npos)
      << second.error().message;
}

TEST(DirectoryStoreTest, AMissingDirectoryIsMadeOnlyOnRequest) {
  const testing::TempDir directory;
  EXPECT_TRUE(
      FailsWith(OpenDirectoryStore(Fs(), directory / "a/b", false), ErrorCode::kFileNotFound));
  EXPECT_FALSE(Exists(Fs(), directory / "a"));
  EXPECT_TRUE(IsOk(OpenDirectoryStore(Fs(), directory / "a/b", true)));
  EXPECT_TRUE(IsOk(OpenDirectoryStore(Fs(), directory / "a/b", false)));
}

}  // namespace
}  // namespace asr
