// Death, loss of power and failing calls at every call that a page blob's life makes: whatever
// snapshot exists afterwards reads bit by bit as when it was taken.
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>

#include "storage/blob/directory_store.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/page_blob_model.h"
#include "tests/support/power_loss_file_system.h"
#include "tests/support/temp_dir.h"

namespace asr {
namespace {

using testing::ByteVector;
using testing::FaultFileSystem;
using testing::IsOk;
using testing::PageBlobModel;
using testing::PowerLossFileSystem;
using testing::RandomBytes;
using testing::ReadAll;
using testing::ReadsAs;

constexpr std::uint64_t kChunk = 64 * kKiB;
constexpr char kName[] = "items/web/disks/root.vhd";

// The life of one page blob, step by step, with a model that says what must be there.
class BlobLife {
 public:
  explicit BlobLife(std::string root) : root_(std::move(root)) {}

  static constexpr int kSteps = 25;

  // Opens the store and the blob, as a new process does.
  Status Open(FileSystem& fs) {
    blob_.reset();
    ASR_TRY(store_, OpenDirectoryStore(fs, root_, true));
    if (next_step_ == 0) return {};
    ASR_TRY(blob_, store_->OpenPageBlob(kName));
    return {};
  }

  // All steps from the one that is next. On an error it stays next.
  Status Run() {
    for (; next_step_ < kSteps; ++next_step_) ASR_CHECK(Step(next_step_));
    return {};
  }

  void Close() {
    blob_.reset();
    store_.reset();
  }

  // What is on the disk after an interruption: every snapshot there must be, perhaps the one that
  // was being taken, and all of them read as they should, for a reader that recovers nothing.
  void CheckSnapshots(FileSystem& fs) {
    auto store = OpenDirectoryStore(fs, root_, true);
    ASSERT_TRUE(IsOk(store));
    for (const auto& [id, bytes] : model_.snapshots()) {
      if (id == uncertain_) continue;
      ASSERT_TRUE(ReadsAs(**store, kName, id, bytes));
    }
    if (!uncertain_.value.empty() && (*store)->OpenPageBlobReader(kName, uncertain_)) {
      ASSERT_TRUE(ReadsAs(**store, kName, uncertain_, uncertain_content_));
    }
  }

  // A new process takes over: opens the blob, takes for granted only what is promised, writes
  // everything else again, and goes on to the end.
  void GoOn(FileSystem& fs) {
    Status opened = Open(fs);
    if (!opened && next_step_ <= 1 && opened.error().code == ErrorCode::kBlobNotFound) {
      next_step_ = 0;
      opened = {};
    }
    ASSERT_TRUE(IsOk(opened));
    ASSERT_NO_FATAL_FAILURE(CheckSnapshots(fs));
    ASSERT_TRUE(IsOk(Settle()));
    CheckSnapshots(fs);
    ASSERT_TRUE(IsOk(Run()));
    ASSERT_TRUE(AgreesWith(*store_, kName, model_));
    ASSERT_EQ(model_.snapshots().size(), 1U);
  }

  // The snapshot in doubt is there or not: the model learns it. The live bytes are written again,
  // as the digests' unknown marks make the vault do it.
  Status Settle() {
    if (blob_ == nullptr) return {};  // not yet created
    if (!uncertain_.value.empty()) {
      ASR_TRY(const auto ids, blob_->ListSnapshots());
      const bool is_there = std::find(ids.begin(), ids.end(), uncertain_) != ids.end();
      if (is_there) ASR_CHECK(blob_->DeleteSnapshot(uncertain_));
      if (is_deleting_) ++next_step_;
      model_.DeleteSnapshot(uncertain_);
      uncertain_ = {};
      is_deleting_ = false;
    }
    ASR_CHECK(blob_->Resize(model_.live().size()));
    ASR_CHECK(blob_->Write(0, model_.live()));
    return blob_->Flush();
  }

 private:
  Status Step(int step) {
    switch (step) {
      case 0:
        return Create();
      case 1:
        return Write(0, 5 * kChunk + 512);
      case 2:
        return Snapshot("a");
      case 3:
        return Write(kChunk / 2, kChunk);
      case 4:
        return Clear({3 * kChunk, kChunk + 4096});
      case 5:
        return Snapshot("b");
      case 6:
        return Write(kChunk, 512);
      case 7:
        return Preserve({{3 * kChunk, 512}, {0, 512}});
      case 8:
        return Write(3 * kChunk, 4096);
      case 9:
        return Resize(7 * kChunk + 512);
      case 10:
        return Write(6 * kChunk, kChunk + 512);
      case 11:
        return Snapshot("c");
      case 12:
        return Write(0, 2 * kChunk);
      case 13:
        return Delete("b");
      case 14:
        return Resize(4 * kChunk + 512);
      case 15:
        return Write(2 * kChunk, 2 * kChunk + 512);
      case 16:
        return Delete("a");
      case 17:
        return Snapshot("d");
      case 18:
        return Write(0, 4 * kChunk);
      case 19:
        return Delete("d");
      case 20:
        return Write(kChunk, 2 * kChunk);
      case 21:
        return Delete("c");
      case 22:
        return Write(0, 4 * kChunk);
      case 23:
        return Snapshot("e");
      default:
        return Write(kChunk, 2 * kChunk);
    }
  }

  Status Create() {
    auto blob = store_->CreatePageBlob(kName, model_.live().size());
    if (!blob && blob.error().code == ErrorCode::kBlobExists) blob = store_->OpenPageBlob(kName);
    if (!blob) return Fail(blob.error());
    blob_ = *std::move(blob);
    return {};
  }
  Status Write(std::uint64_t offset, std::size_t count) {
    const ByteVector bytes = RandomBytes(random_, count);
    model_.Write(offset, bytes);
    return blob_->Write(offset, bytes);
  }
  Status Clear(Extent range) {
    model_.Clear(range);
    return blob_->Clear(range);
  }
  Status Preserve(const std::vector<Extent>& ranges) { return blob_->Preserve(ranges); }
  Status Resize(std::uint64_t size) {
    model_.Resize(size);
    return blob_->Resize(size);
  }
  Status Snapshot(const std::string& id) {
    uncertain_ = {id};
    uncertain_content_ = model_.live();
    ASR_CHECK(blob_->CreateSnapshot({id}));
    uncertain_ = {};
    model_.CreateSnapshot({id});
    return {};
  }
  Status Delete(const std::string& id) {
    uncertain_ = {id};
    uncertain_content_ = model_.snapshots().at({id});
    is_deleting_ = true;
    ASR_CHECK(blob_->DeleteSnapshot({id}));
    model_.DeleteSnapshot({id});
    uncertain_ = {};
    is_deleting_ = false;
    return {};
  }

  std::string root_;
  std::mt19937_64 random_{4711};
  std::unique_ptr<BlobStore> store_;
  std::unique_ptr<PageBlob> blob_;
  PageBlobModel model_{5 * kChunk + 512};
  int next_step_ = 0;
  SnapshotId uncertain_;  // being taken or dropped
  ByteVector uncertain_content_;
  bool is_deleting_ = false;
};

// Every call, unless a slow build asks for few: a number that no step's count of calls divides.
std::uint64_t CallStride() { return std::getenv("ASR_FEW_CALLS") != nullptr ? 29 : 1; }

// How many calls an undisturbed life makes.
std::uint64_t CallsOfALife() {
  PowerLossFileSystem memory;
  FaultFileSystem fs(memory);
  BlobLife life("/vault");
  fs.DieAt(0);
  EXPECT_TRUE(IsOk(life.Open(fs)));
  EXPECT_TRUE(IsOk(life.Run()));
  EXPECT_FALSE(fs.has_failed());
  return fs.calls();
}

TEST(BlobStoreCrashTest, DeathAtEveryCall) {
  const std::uint64_t calls = CallsOfALife();
  ASSERT_GT(calls, 200U);
  for (std::uint64_t call = 1; call <= calls; call += CallStride()) {
    SCOPED_TRACE("died at call " + std::to_string(call));
    PowerLossFileSystem memory;
    FaultFileSystem fs(memory);
    BlobLife life("/vault");
    fs.DieAt(call);
    EXPECT_FALSE(life.Open(fs) && life.Run());
    ASSERT_TRUE(fs.has_failed());
    life.Close();
    ASSERT_NO_FATAL_FAILURE(life.CheckSnapshots(memory));
    ASSERT_NO_FATAL_FAILURE(life.GoOn(memory));
  }
}

TEST(BlobStoreCrashTest, DeathOnTheMachinesFileSystem) {
  const std::uint64_t calls = CallsOfALife();
  for (std::uint64_t call = 3; call <= calls; call += 17) {
    SCOPED_TRACE("died at call " + std::to_string(call));
    const testing::TempDir directory;
    FaultFileSystem fs(PosixFileSystem());
    BlobLife life(directory / "vault");
    fs.DieAt(call);
    if (life.Open(fs)) static_cast<void>(life.Run().has_value());
    life.Close();
    ASSERT_NO_FATAL_FAILURE(life.CheckSnapshots(PosixFileSystem()));
    ASSERT_NO_FATAL_FAILURE(life.GoOn(PosixFileSystem()));
  }
}

TEST(BlobStoreCrashTest, PowerLossAfterEveryCall) {
  const std::uint64_t calls = CallsOfALife();
  for (std::uint64_t call = 1; call <= calls; call += CallStride()) {
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
      SCOPED_TRACE("power lost at call " + std::to_string(call) + ", seed " + std::to_string(seed));
      PowerLossFileSystem memory;
      FaultFileSystem fs(memory);
      BlobLife life("/vault");
      fs.DieAt(call);
      EXPECT_FALSE(life.Open(fs) && life.Run());
      life.Close();
      memory.LosePower(seed == 0 ? 0 : call * 100 + seed);
      ASSERT_NO_FATAL_FAILURE(life.CheckSnapshots(memory));
      ASSERT_NO_FATAL_FAILURE(life.GoOn(memory));
    }
  }
}

// The process dies, its successor trusts what it sees, and then the power goes: nothing that the
// successor built on may have been only in the dead one's cache.
TEST(BlobStoreCrashTest, DeathThenPowerLossWhileItGoesOn) {
  const std::uint64_t calls = CallsOfALife();
  for (std::uint64_t call = 1; call <= calls; call += CallStride()) {
    for (std::uint64_t later = 1 + call % 17; later <= 60; later += 17) {
      SCOPED_TRACE("died at call " + std::to_string(call) + ", power lost " +
                   std::to_string(later) + " calls later");
      PowerLossFileSystem memory;
      FaultFileSystem fs(memory);
      BlobLife life("/vault");
      fs.DieAt(call);
      EXPECT_FALSE(life.Open(fs) && life.Run());
      life.Close();
      fs.DieAt(later);
      if (life.Open(fs)) static_cast<void>(life.Settle().has_value());
      life.Close();
      memory.LosePower(later % 3 == 0 ? 0 : call * 100 + later);
      ASSERT_NO_FATAL_FAILURE(life.CheckSnapshots(memory));
      ASSERT_NO_FATAL_FAILURE(life.GoOn(memory));
    }
  }
}

TEST(BlobStoreCrashTest, EveryCallFailsOnceAndTheNextTryGoesOn) {
  const std::uint64_t calls = CallsOfALife();
  for (const int errno_value : {ENOSPC, EIO}) {
    for (std::uint64_t call = 1; call <= calls; call += CallStride()) {
      SCOPED_TRACE("call " + std::to_string(call) + " fails");
      PowerLossFileSystem memory;
      FaultFileSystem fs(memory);
      BlobLife life("/vault");
      fs.FailAt(call, errno_value);
      const Status opened = life.Open(fs);
      const Status ran = opened ? life.Run() : Status{};
      // Some failures cost nothing: a left-over that could not be removed, say.
      if (opened && ran) continue;
      ASSERT_NO_FATAL_FAILURE(life.CheckSnapshots(fs));
      ASSERT_NO_FATAL_FAILURE(life.GoOn(fs));
    }
  }
}

TEST(BlobStoreCrashTest, AFailedFlushIsNotForgotten) {
  PowerLossFileSystem memory;
  auto store = OpenDirectoryStore(memory, "/vault", true);
  ASSERT_TRUE(IsOk(store));
  auto blob = (*store)->CreatePageBlob(kName, kChunk);
  ASSERT_TRUE(IsOk(blob));
  ASSERT_TRUE(IsOk((*blob)->Write(0, ByteVector(kChunk, std::byte{1}))));
  memory.FailSync(1);
  EXPECT_FALSE((*blob)->Flush());
  EXPECT_FALSE((*blob)->Flush());
  EXPECT_FALSE((*blob)->CreateSnapshot({"a"}));
  blob = (*store)->OpenPageBlob(kName);
  ASSERT_TRUE(IsOk(blob));
  EXPECT_TRUE(IsOk((*blob)->CreateSnapshot({"a"})));
}

// A failed sync loses what it was to write, though it can still be read until the power goes.
TEST(BlobStoreCrashTest, EverySyncFailsOnceThenPowerIsLost) {
  for (std::uint64_t nth = 1;; ++nth) {
    SCOPED_TRACE("sync " + std::to_string(nth) + " fails");
    PowerLossFileSystem memory;
    BlobLife life("/vault");
    memory.FailSync(nth);
    ASSERT_TRUE(IsOk(life.Open(memory)));
    const Status ran = life.Run();
    if (!memory.sync_failed()) break;
    ASSERT_FALSE(ran);
    ASSERT_NO_FATAL_FAILURE(life.GoOn(memory));
    life.Close();
    memory.LosePower(nth);
    ASSERT_NO_FATAL_FAILURE(life.CheckSnapshots(memory));
  }
}

}  // namespace
}  // namespace asr
