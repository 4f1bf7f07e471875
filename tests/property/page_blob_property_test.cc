// Random lives of page blobs against a plain model, and readers of old snapshots beside a writer.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <random>
#include <string>
#include <thread>

#include "storage/blob/directory_store.h"
#include "storage/blob/memory_store.h"
#include "tests/support/page_blob_model.h"
#include "tests/support/power_loss_file_system.h"
#include "tests/support/temp_dir.h"

namespace asr {
namespace {

using testing::ByteVector;
using testing::IsOk;
using testing::PageBlobModel;
using testing::RandomBytes;
using testing::ReadAll;

constexpr std::uint64_t kChunk = 64 * kKiB;
constexpr char kName[] = "x.vhd";

// ASR_TEST_SEED repeats a run.
std::uint64_t Seed() {
  const char* given = std::getenv("ASR_TEST_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
}

class RandomLife {
 public:
  RandomLife(BlobStore& store, std::uint64_t seed) : store_(store), random_(seed) {}

  void Run(int steps) {
    auto created = store_.CreatePageBlob(kName, model_.live().size());
    ASSERT_TRUE(IsOk(created));
    blob_ = *std::move(created);
    for (int step = 0; step < steps; ++step) {
      ASSERT_TRUE(IsOk(Step())) << "step " << step;
      if (step % 25 != 24) continue;
      ASSERT_TRUE(AgreesWith(store_, kName, model_)) << "step " << step;
    }
    ASSERT_TRUE(AgreesWith(store_, kName, model_));
    ASSERT_TRUE(IsOk(store_.Delete(kName)));
  }

 private:
  std::uint64_t Below(std::uint64_t limit) { return random_() % limit; }

  Extent SomePages() {
    const std::uint64_t pages = model_.live().size() / kPageBytes;
    const std::uint64_t first = Below(pages);
    const std::uint64_t most = Below(3) == 0 ? pages - first : std::min(pages - first, Below(300));
    return {first * kPageBytes, Below(most + 1) * kPageBytes};
  }

  SnapshotId SomeSnapshot() {
    auto entry = model_.snapshots().begin();
    std::advance(entry, static_cast<std::ptrdiff_t>(Below(model_.snapshots().size())));
    return entry->first;
  }

  Status Step() {
    const std::uint64_t kind = Below(100);
    if (model_.live().empty() || kind < 6) return Resize();
    if (kind < 45) return Write();
    if (kind < 60) return Clear();
    if (kind < 65) return blob_->Preserve({SomePages(), SomePages()});
    if (kind < 68) return Reopen();
    if (kind < 86 || model_.snapshots().empty()) return Snapshot();
    const SnapshotId id = SomeSnapshot();
    model_.DeleteSnapshot(id);
    return blob_->DeleteSnapshot(id);
  }

  Status Write() {
    const Extent range = SomePages();
    const ByteVector bytes =
        Below(5) == 0 ? ByteVector(range.length_bytes) : RandomBytes(random_, range.length_bytes);
    model_.Write(range.offset_bytes, bytes);
    return blob_->Write(range.offset_bytes, bytes);
  }

  Status Clear() {
    const Extent range = SomePages();
    model_.Clear(range);
    return blob_->Clear(range);
  }

  Status Resize() {
    const std::uint64_t size = Below(12 * kChunk / kPageBytes) * kPageBytes;
    model_.Resize(size);
    return blob_->Resize(size);
  }

  Status Reopen() {
    ASR_CHECK(blob_->Flush());
    ASR_TRY(blob_, store_.OpenPageBlob(kName));
    return {};
  }

  Status Snapshot() {
    const SnapshotId id{"s" + std::to_string(10000 + ++snapshot_count_)};
    model_.CreateSnapshot(id);
    return blob_->CreateSnapshot(id);
  }

  BlobStore& store_;
  std::mt19937_64 random_;
  PageBlobModel model_{9 * kChunk + 512};
  std::unique_ptr<PageBlob> blob_;
  int snapshot_count_ = 0;
};

TEST(PageBlobPropertyTest, DirectoryAgreesWithTheModel) {
  const std::uint64_t seed = Seed();
  SCOPED_TRACE("ASR_TEST_SEED=" + std::to_string(seed));
  const testing::TempDir directory;
  auto store = OpenDirectoryStore(PosixFileSystem(), directory.path(), false);
  ASSERT_TRUE(IsOk(store));
  ASSERT_NO_FATAL_FAILURE(RandomLife(**store, seed).Run(300));
}

// Many more lives, without a disk's speed in the way.
TEST(PageBlobPropertyTest, DirectoryInMemoryAgreesWithTheModel) {
  const std::uint64_t seed = Seed();
  SCOPED_TRACE("ASR_TEST_SEED=" + std::to_string(seed));
  for (std::uint64_t life = 0; life < 4; ++life) {
    testing::PowerLossFileSystem fs;
    auto store = OpenDirectoryStore(fs, "/vault", true);
    ASSERT_TRUE(IsOk(store));
    ASSERT_NO_FATAL_FAILURE(RandomLife(**store, seed + life).Run(300)) << "life " << life;
  }
}

TEST(PageBlobPropertyTest, MemoryStoreAgreesWithTheModel) {
  const std::uint64_t seed = Seed();
  SCOPED_TRACE("ASR_TEST_SEED=" + std::to_string(seed));
  const auto store = MakeMemoryStore();
  ASSERT_NO_FATAL_FAILURE(RandomLife(*store, seed).Run(500));
}

// One writer that overwrites, resizes, seals and drops; three readers, each of a snapshot that
// stays: the oldest, one in the middle, a newer one. Each opens it anew every few rounds.
class ReadersBesideAWriter {
 public:
  ReadersBesideAWriter(BlobStore& store, std::uint64_t seed) : store_(store), seed_(seed) {}

  void Run(std::chrono::milliseconds duration) {
    ASSERT_TRUE(IsOk(Prepare()));
    std::vector<std::thread> readers;
    for (std::uint64_t i = 0; i < 3; ++i) readers.emplace_back([this, i] { ReadAllTheTime(i); });
    const auto end = std::chrono::steady_clock::now() + duration;
    Status status;
    while (status && std::chrono::steady_clock::now() < end && failures_ == 0) status = Disturb();
    stop_ = true;
    for (std::thread& reader : readers) reader.join();
    EXPECT_TRUE(IsOk(status));
    EXPECT_GT(rounds_, 0);
  }

 private:
  static constexpr std::uint64_t kSize = 24 * kChunk;

  Status Prepare() {
    ASR_TRY(blob_, store_.CreatePageBlob(kName, kSize));
    for (const char* id : {"a", "b", "c", "d", "e"}) {
      const ByteVector bytes = RandomBytes(random_, 10 * kChunk);
      const std::uint64_t offset = random_() % 14 * kChunk;
      model_.Write(offset, bytes);
      ASR_CHECK(blob_->Write(offset, bytes));
      ASR_CHECK(blob_->CreateSnapshot({id}));
      model_.CreateSnapshot({id});
    }
    others_ = {{"b"}, {"d"}};
    return {};
  }

  Status Disturb() {
    const std::uint64_t kind = random_() % 12;
    const std::uint64_t size = blob_->size_bytes();
    if (kind == 0) {
      const SnapshotId id{"f" + std::to_string(100000 + ++sealed_)};
      others_.push_back(id);
      return blob_->CreateSnapshot(id);
    }
    if (kind == 1 && !others_.empty()) {
      const auto victim = others_.begin() + static_cast<std::ptrdiff_t>(random_() % others_.size());
      const SnapshotId id = *victim;
      others_.erase(victim);
      return blob_->DeleteSnapshot(id);
    }
    if (kind == 2) return blob_->Resize((16 + random_() % 9) * kChunk);
    const std::uint64_t offset = random_() % (size / kChunk) * kChunk;
    if (kind == 3) return blob_->Clear({offset, kChunk});
    return blob_->Write(offset, RandomBytes(random_, kChunk));
  }

  void ReadAllTheTime(std::uint64_t number) {
    const SnapshotId id{std::string(1, "ace"[number])};
    const ByteVector& expected = model_.snapshots().at(id);
    std::unique_ptr<PageBlobReader> reader;
    for (int round = 0; !stop_; ++round) {
      if (round % 4 == 0) {
        auto opened = store_.OpenPageBlobReader(kName, id);
        if (!opened) return Report(id, opened.error().Line());
        reader = *std::move(opened);
      }
      const auto bytes = ReadAll(*reader, (1 + number) * kChunk);
      if (!bytes) return Report(id, bytes.error().Line());
      if (*bytes != expected) return Report(id, "other bytes");
      ++rounds_;
    }
  }

  void Report(const SnapshotId& id, const std::string& what) {
    ADD_FAILURE() << "snapshot " << id.value << ": " << what << ", ASR_TEST_SEED=" << seed_;
    ++failures_;
  }

  BlobStore& store_;
  std::uint64_t seed_;
  std::mt19937_64 random_{seed_};
  PageBlobModel model_{kSize};
  std::unique_ptr<PageBlob> blob_;
  std::vector<SnapshotId> others_;
  int sealed_ = 0;
  std::atomic<bool> stop_ = false;
  std::atomic<int> rounds_ = 0;
  std::atomic<int> failures_ = 0;
};

TEST(PageBlobPropertyTest, ReadersOfOldSnapshotsBesideAWriter) {
  const testing::TempDir directory;
  auto store = OpenDirectoryStore(PosixFileSystem(), directory.path(), false);
  ASSERT_TRUE(IsOk(store));
  ReadersBesideAWriter(**store, Seed()).Run(std::chrono::seconds(4));
}

// Syncs cost nothing here, so that the writer changes the chain far more often.
TEST(PageBlobPropertyTest, ReadersBesideAFastWriter) {
  testing::PowerLossFileSystem fs;
  auto store = OpenDirectoryStore(fs, "/vault", true);
  ASSERT_TRUE(IsOk(store));
  ReadersBesideAWriter(**store, Seed()).Run(std::chrono::seconds(3));
}

TEST(PageBlobPropertyTest, ReadersOfTheMemoryStoreBesideAWriter) {
  const auto store = MakeMemoryStore();
  ReadersBesideAWriter(*store, Seed()).Run(std::chrono::seconds(1));
}

}  // namespace
}  // namespace asr
