// What every BlobStore promises.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <thread>

#include "storage/base/crc64.h"
#include "storage/blob/directory_store.h"
#include "storage/blob/memory_store.h"
#include "tests/support/azure_test_store.h"
#include "tests/support/azurite.h"
#include "tests/support/page_blob_model.h"
#include "tests/support/page_blob_server/page_blob_server.h"
#include "tests/support/temp_dir.h"

namespace asr {
namespace {

using testing::AgreesWith;
using testing::ByteVector;
using testing::FailsWith;
using testing::IsOk;
using testing::PageBlobModel;
using testing::RandomBytes;
using testing::ReadsAs;

// A store, and what it lives in.
struct Place {
  std::unique_ptr<testing::TempDir> directory;
  std::shared_ptr<void> server;
  std::unique_ptr<BlobStore> store;
};

struct Kind {
  std::string name;
  std::function<Place()> make;
};

Place MakeDirectoryPlace() {
  Place place;
  place.directory = std::make_unique<testing::TempDir>();
  auto store = OpenDirectoryStore(PosixFileSystem(), *place.directory / "vault", true);
  EXPECT_TRUE(IsOk(store));
  if (store) place.store = *std::move(store);
  return place;
}

template <class Server>
Place MakeAzurePlace() {
  Place place;
  place.directory = std::make_unique<testing::TempDir>();
  auto server = std::make_shared<Server>();
  auto store = testing::OpenTestStore(*server, *place.directory / "leases", true);
  EXPECT_TRUE(IsOk(store));
  if (store) place.store = *std::move(store);
  place.server = std::move(server);
  return place;
}

class BlobStoreTest : public ::testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    place_ = GetParam().make();
    ASSERT_NE(place_.store, nullptr);
  }

  BlobStore& store() { return *place_.store; }

  Status Put(const std::string& name, std::string_view text,
             PutCondition condition = PutCondition::kAlways) {
    return store().Put(name, AsBytes(text), condition);
  }

  std::vector<std::string> Listed(const std::string& prefix) {
    std::vector<std::string> names;
    const auto list = store().List(prefix);
    EXPECT_TRUE(IsOk(list));
    if (!list) return names;
    for (const BlobInfo& blob : *list) names.push_back(blob.name);
    return names;
  }

  std::unique_ptr<PageBlob> CreateBlob(const std::string& name, std::uint64_t size_bytes) {
    auto blob = store().CreatePageBlob(name, size_bytes);
    EXPECT_TRUE(IsOk(blob));
    return blob ? *std::move(blob) : nullptr;
  }

  Place place_;
  std::mt19937_64 random_{20261123};
};

using Names = std::vector<std::string>;

TEST_P(BlobStoreTest, DocumentsAreReadBackAndReplacedWhole) {
  ASSERT_TRUE(IsOk(Put("items/web/item.json", "a long first version")));
  ASSERT_TRUE(IsOk(Put("items/web/item.json", "second")));
  EXPECT_EQ(store().Get("items/web/item.json").value(), "second");
  ASSERT_TRUE(IsOk(Put("empty.json", "")));
  EXPECT_EQ(store().Get("empty.json").value(), "");
}

TEST_P(BlobStoreTest, MissingDocumentsAreNotFound) {
  EXPECT_TRUE(FailsWith(store().Get("vault.json"), ErrorCode::kBlobNotFound));
  EXPECT_TRUE(FailsWith(store().Get("no/such/vault.json"), ErrorCode::kBlobNotFound));
  EXPECT_TRUE(FailsWith(store().OpenPageBlob("x.vhd"), ErrorCode::kBlobNotFound));
  EXPECT_TRUE(
      FailsWith(store().OpenPageBlobReader("x.vhd", std::nullopt), ErrorCode::kBlobNotFound));
  EXPECT_TRUE(
      FailsWith(store().OpenPageBlobReader("x.vhd", SnapshotId{"s"}), ErrorCode::kBlobNotFound));
}

TEST_P(BlobStoreTest, PutIfAbsentKeepsWhatIsThere) {
  ASSERT_TRUE(IsOk(Put("vault.json", "first", PutCondition::kIfAbsent)));
  const Status second = Put("vault.json", "second", PutCondition::kIfAbsent);
  ASSERT_TRUE(FailsWith(second, ErrorCode::kBlobExists));
  EXPECT_EQ(second.error().kind, ErrorKind::kState);
  EXPECT_EQ(store().Get("vault.json").value(), "first");
  EXPECT_EQ(Listed(""), Names{"vault.json"});
}

TEST_P(BlobStoreTest, PutIfUnchangedReplacesWhatThisStoreReadOrWrote) {
  ASSERT_TRUE(IsOk(Put("items/web/item.json", "first", PutCondition::kIfAbsent)));
  ASSERT_TRUE(IsOk(Put("items/web/item.json", "second", PutCondition::kIfUnchanged)));
  ASSERT_TRUE(IsOk(Put("items/web/item.json", "third", PutCondition::kIfUnchanged)));
  EXPECT_EQ(store().Get("items/web/item.json").value(), "third");
  ASSERT_TRUE(IsOk(Put("items/web/item.json", "fourth", PutCondition::kIfUnchanged)));
  EXPECT_EQ(store().Get("items/web/item.json").value(), "fourth");
}

TEST_P(BlobStoreTest, OfManyThatPutIfAbsentOneWins) {
  for (int round = 0; round < 10; ++round) {
    const std::string name = "race/" + std::to_string(round);
    std::vector<Status> results(4);
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < results.size(); ++i) {
      threads.emplace_back(
          [&, i] { results[i] = Put(name, std::to_string(i), PutCondition::kIfAbsent); });
    }
    for (std::thread& thread : threads) thread.join();
    ASSERT_EQ(std::count_if(results.begin(), results.end(), [](const Status& s) { return !!s; }),
              1);
    const auto winner = std::find_if(results.begin(), results.end(),
                                     [](const Status& status) { return status.has_value(); });
    EXPECT_EQ(store().Get(name).value(), std::to_string(winner - results.begin()));
  }
}

TEST_P(BlobStoreTest, DeleteIsFineWithOrWithoutABlob) {
  ASSERT_TRUE(IsOk(Put("items/a/item.json", "x")));
  ASSERT_TRUE(IsOk(store().Delete("items/a/item.json")));
  ASSERT_TRUE(IsOk(store().Delete("items/a/item.json")));
  EXPECT_TRUE(FailsWith(store().Get("items/a/item.json"), ErrorCode::kBlobNotFound));
  EXPECT_EQ(store().ListNames("items/").value(), Names{});
  EXPECT_EQ(store().ListNames("").value(), Names{});
}

TEST_P(BlobStoreTest, ListsByPrefixSortedWithSizes) {
  for (const char* name : {"items/b/item.json", "items/a/points/2.json", "items/a/points/1.json",
                           "items/a-b/item.json", "items/a/item.json", "vault.json"}) {
    ASSERT_TRUE(IsOk(Put(name, name)));
  }
  auto blob = CreateBlob("items/a/disks/root.vhd", 5 * kPageBytes);
  ASSERT_TRUE(IsOk(blob->CreateSnapshot({"s1"})));
  const auto lease = store().AcquireLease("items/a");
  ASSERT_TRUE(IsOk(lease));

  EXPECT_EQ(Listed("items/a/"), (Names{"items/a/disks/root.vhd", "items/a/item.json",
                                       "items/a/points/1.json", "items/a/points/2.json"}));
  EXPECT_EQ(Listed("items/a"),
            (Names{"items/a-b/item.json", "items/a/disks/root.vhd", "items/a/item.json",
                   "items/a/points/1.json", "items/a/points/2.json"}));
  EXPECT_EQ(Listed("items/a/points/2"), Names{"items/a/points/2.json"});
  EXPECT_EQ(Listed("none/"), Names{});
  EXPECT_EQ(Listed("").size(), 7U);
  EXPECT_EQ(store().List("items/a/disks/").value()[0].size_bytes, 5 * kPageBytes);
  EXPECT_EQ(store().List("vault").value()[0].size_bytes, 10U);

  EXPECT_EQ(store().ListNames("").value(), (Names{"items", "vault.json"}));
  EXPECT_EQ(store().ListNames("items/").value(), (Names{"a", "a-b", "b"}));
  EXPECT_EQ(store().ListNames("items/a/").value(), (Names{"disks", "item.json", "points"}));
  EXPECT_EQ(store().ListNames("items/a/disks/").value(), Names{"root.vhd"});
  EXPECT_EQ(store().ListNames("none/").value(), Names{});
}

TEST_P(BlobStoreTest, BadNamesAreRefusedEverywhere) {
  for (const std::string name :
       {"", "/etc/passwd", "a//b", "a/", "..", "a/../b", "./a", ".hidden", "a b", "a\\b", "a+b",
        "disk.vhd.undo/x", "x.tmp-0011", "\xC3\xA4", "a\nb"}) {
    EXPECT_TRUE(FailsWith(Put(name, "x"), ErrorCode::kBlobName)) << name;
    EXPECT_TRUE(FailsWith(store().Get(name), ErrorCode::kBlobName)) << name;
    EXPECT_TRUE(FailsWith(store().Delete(name), ErrorCode::kBlobName)) << name;
    EXPECT_TRUE(FailsWith(store().CreatePageBlob(name, 512), ErrorCode::kBlobName)) << name;
    EXPECT_TRUE(FailsWith(store().OpenPageBlob(name), ErrorCode::kBlobName)) << name;
    EXPECT_TRUE(FailsWith(store().OpenPageBlobReader(name, {}), ErrorCode::kBlobName)) << name;
    EXPECT_TRUE(FailsWith(store().AcquireLease(name), ErrorCode::kBlobName)) << name;
  }
  EXPECT_TRUE(FailsWith(Put(std::string(201, 'a'), "x"), ErrorCode::kBlobName));
  EXPECT_TRUE(IsOk(Put(std::string(200, 'a'), "x")));
  EXPECT_TRUE(FailsWith(store().List("../"), ErrorCode::kBlobName));
  EXPECT_TRUE(FailsWith(store().ListNames("a/../"), ErrorCode::kBlobName));
  auto blob = CreateBlob("x.vhd", 512);
  EXPECT_TRUE(FailsWith(blob->CreateSnapshot({"a/b"}), ErrorCode::kBlobName));
  EXPECT_TRUE(FailsWith(blob->CreateSnapshot({""}), ErrorCode::kBlobName));
  EXPECT_TRUE(
      FailsWith(store().OpenPageBlobReader("x.vhd", SnapshotId{"../x.vhd"}), ErrorCode::kBlobName));
}

TEST_P(BlobStoreTest, PageBlobBeginsAsZerosAndTakesPages) {
  auto blob = CreateBlob("d/x.vhd", 300 * kPageBytes);
  PageBlobModel model(300 * kPageBytes);
  EXPECT_TRUE(AgreesWith(store(), "d/x.vhd", model));
  EXPECT_TRUE(FailsWith(store().CreatePageBlob("d/x.vhd", 512), ErrorCode::kBlobExists));

  const ByteVector bytes = RandomBytes(random_, 130 * kPageBytes);
  ASSERT_TRUE(IsOk(blob->Write(3 * kPageBytes, bytes)));
  model.Write(3 * kPageBytes, bytes);
  ASSERT_TRUE(IsOk(blob->Write(299 * kPageBytes, ByteSpan(bytes).first(kPageBytes))));
  model.Write(299 * kPageBytes, ByteSpan(bytes).first(kPageBytes));
  ASSERT_TRUE(IsOk(blob->Clear({20 * kPageBytes, 90 * kPageBytes})));
  model.Clear({20 * kPageBytes, 90 * kPageBytes});
  ByteVector odd(1001);
  ASSERT_TRUE(IsOk(blob->Read(777, odd)));
  EXPECT_TRUE(std::equal(odd.begin(), odd.end(), model.live().begin() + 777));
  ASSERT_TRUE(IsOk(blob->Flush()));
  blob.reset();
  EXPECT_TRUE(AgreesWith(store(), "d/x.vhd", model));
}

TEST_P(BlobStoreTest, RangesAreChecked) {
  auto blob = CreateBlob("x.vhd", 4 * kPageBytes);
  ByteVector page(kPageBytes);
  ByteVector large(5 * kPageBytes);
  EXPECT_TRUE(FailsWith(blob->Write(1, page), ErrorCode::kBlobRange));
  EXPECT_TRUE(FailsWith(blob->Write(0, ByteSpan(page).first(100)), ErrorCode::kBlobRange));
  EXPECT_TRUE(FailsWith(blob->Write(4 * kPageBytes, page), ErrorCode::kBlobRange));
  EXPECT_TRUE(FailsWith(blob->Write(0, large), ErrorCode::kBlobRange));
  EXPECT_TRUE(FailsWith(blob->Clear({0, 5 * kPageBytes}), ErrorCode::kBlobRange));
  EXPECT_TRUE(FailsWith(blob->Clear({~std::uint64_t{511}, 1024}), ErrorCode::kBlobRange));
  EXPECT_TRUE(FailsWith(blob->Preserve({{0, 5 * kPageBytes}}), ErrorCode::kBlobRange));
  EXPECT_TRUE(FailsWith(blob->Resize(100), ErrorCode::kBlobRange));
  EXPECT_TRUE(FailsWith(blob->Read(4 * kPageBytes, page), ErrorCode::kBlobRange));
  EXPECT_TRUE(FailsWith(store().CreatePageBlob("y.vhd", 100), ErrorCode::kBlobRange));
  ASSERT_TRUE(IsOk(blob->CreateSnapshot({"s1"})));
  auto reader = store().OpenPageBlobReader("x.vhd", SnapshotId{"s1"});
  ASSERT_TRUE(IsOk(reader));
  EXPECT_TRUE(FailsWith((*reader)->Read(1, MutableByteSpan(large).first(4 * kPageBytes)),
                        ErrorCode::kBlobRange));
}

TEST_P(BlobStoreTest, SnapshotsKeepTheirContent) {
  constexpr std::uint64_t kSize = 5 * 64 * kKiB + 1024;
  auto blob = CreateBlob("x.vhd", kSize);
  PageBlobModel model(kSize);
  const auto write = [&](std::uint64_t offset, std::size_t count) {
    const ByteVector bytes = RandomBytes(random_, count);
    ASSERT_TRUE(IsOk(blob->Write(offset, bytes)));
    model.Write(offset, bytes);
  };
  const auto snapshot = [&](const std::string& id) {
    ASSERT_TRUE(IsOk(blob->CreateSnapshot({id})));
    model.CreateSnapshot({id});
  };
  write(0, kSize);
  snapshot("1");
  write(64 * kKiB, 512);         // in one chunk
  write(200 * kKiB, 70 * kKiB);  // over a border
  snapshot("2");
  snapshot("3");  // nothing in between
  write(64 * kKiB, 4096);
  ASSERT_TRUE(IsOk(blob->Clear({0, 100 * kKiB})));
  model.Clear({0, 100 * kKiB});
  write(0, 512);
  snapshot("4");
  ASSERT_TRUE(IsOk(blob->Preserve({{0, 512}, {kSize - 512, 512}})));
  write(kSize - 512, 512);
  EXPECT_TRUE(AgreesWith(store(), "x.vhd", model));

  EXPECT_TRUE(FailsWith(blob->CreateSnapshot({"4"}), ErrorCode::kBlobExists));
  EXPECT_TRUE(FailsWith(blob->CreateSnapshot({"0"}), ErrorCode::kBlobCondition));
  EXPECT_TRUE(FailsWith(blob->DeleteSnapshot({"5"}), ErrorCode::kSnapshotNotFound));
  EXPECT_TRUE(FailsWith(store().OpenPageBlobReader("x.vhd", SnapshotId{"5"}),
                        ErrorCode::kSnapshotNotFound));
}

// Whether a store can or not: what was copied is there, and nothing else was changed.
TEST_P(BlobStoreTest, CopiesFromASnapshotOrLeavesItToTheCaller) {
  constexpr std::uint64_t kSize = 6 * kMiB;
  auto blob = CreateBlob("x.vhd", kSize);
  PageBlobModel model(kSize);
  const ByteVector first = RandomBytes(random_, kSize);
  for (std::uint64_t at = 0; at < kSize; at += 2 * kMiB) {
    ASSERT_TRUE(IsOk(blob->Write(at, ByteSpan(first).subspan(at, 2 * kMiB))));
  }
  model.Write(0, first);
  ASSERT_TRUE(IsOk(blob->CreateSnapshot({"1"})));
  model.CreateSnapshot({"1"});
  const ByteVector other = RandomBytes(random_, 3 * kMiB);
  ASSERT_TRUE(IsOk(blob->Write(kMiB, other)));
  model.Write(kMiB, other);

  const auto copy = [&](const SnapshotId& source, Extent range, std::uint64_t crc64) {
    const auto copied = blob->CopyFrom(source, range, crc64);
    EXPECT_TRUE(IsOk(copied));
    return copied.value_or(false);
  };
  const auto crc_of = [&](Extent range) {
    return Crc64(ByteSpan(first).subspan(range.offset_bytes, range.length_bytes));
  };
  const Extent one{kMiB, 512};
  EXPECT_FALSE(copy({"no-such"}, one, crc_of(one)));
  EXPECT_FALSE(copy({"1"}, one, crc_of(one) + 1));
  EXPECT_FALSE(copy({"1"}, {0, 4 * kMiB + 512}, crc_of({0, 4 * kMiB + 512})));
  EXPECT_TRUE(AgreesWith(store(), "x.vhd", model));
  for (const Extent range : {one, Extent{kMiB + 512, 64 * kKiB}, Extent{2 * kMiB, 4 * kMiB}}) {
    if (!copy({"1"}, range, crc_of(range))) continue;
    model.Write(range.offset_bytes,
                ByteSpan(first).subspan(range.offset_bytes, range.length_bytes));
    // And it is not read from any memory of what was there before.
    ByteVector page(512);
    ASSERT_TRUE(IsOk(blob->Read(range.offset_bytes, page)));
    EXPECT_TRUE(std::ranges::equal(page, ByteSpan(first).subspan(range.offset_bytes, 512)));
  }
  ASSERT_TRUE(IsOk(blob->Flush()));
  EXPECT_TRUE(AgreesWith(store(), "x.vhd", model));
}

TEST_P(BlobStoreTest, ResizeBothWaysLeavesSnapshotsAlone) {
  constexpr std::uint64_t kChunk = 64 * kKiB;
  std::uint64_t size = 3 * kChunk + 512;
  auto blob = CreateBlob("x.vhd", size);
  PageBlobModel model(size);
  int snapshots = 0;
  for (const std::uint64_t next :
       {5 * kChunk + 512, 5 * kChunk, 2 * kChunk + 1024, 2 * kChunk + 512, std::uint64_t{0},
        4 * kChunk, kChunk - 512, 6 * kChunk + 512}) {
    for (std::uint64_t offset = 0; offset + 512 <= size; offset += kChunk / 2) {
      const ByteVector bytes = RandomBytes(random_, 512);
      ASSERT_TRUE(IsOk(blob->Write(offset, bytes)));
      model.Write(offset, bytes);
    }
    const SnapshotId id{"s" + std::to_string(++snapshots)};
    ASSERT_TRUE(IsOk(blob->CreateSnapshot(id)));
    model.CreateSnapshot(id);
    ASSERT_TRUE(IsOk(blob->Resize(next)));
    model.Resize(next);
    size = next;
    ASSERT_EQ(blob->size_bytes(), size);
    ASSERT_TRUE(AgreesWith(store(), "x.vhd", model)) << "resized to " << next;
  }
}

// Five snapshots with changes and resizes in between, dropped in every order of three steps each.
TEST_P(BlobStoreTest, EveryOrderOfDeletionLeavesTheOthers) {
  constexpr std::uint64_t kChunk = 64 * kKiB;
  std::vector<int> order{0, 1, 2, 3};
  int round = 0;
  do {
    const std::string name = "d" + std::to_string(round++) + ".vhd";
    std::uint64_t size = 4 * kChunk;
    auto blob = CreateBlob(name, size);
    PageBlobModel model(size);
    const auto change = [&] {
      for (int i = 0; i < 3; ++i) {
        const std::uint64_t offset = random_() % (size / kPageBytes) * kPageBytes;
        const ByteVector bytes = RandomBytes(random_, kPageBytes);
        ASSERT_TRUE(IsOk(blob->Write(offset, bytes)));
        model.Write(offset, bytes);
      }
    };
    for (int i = 0; i < 4; ++i) {
      change();
      ASSERT_TRUE(IsOk(blob->CreateSnapshot({std::to_string(i)})));
      model.CreateSnapshot({std::to_string(i)});
      size = (3 + random_() % 3) * kChunk - 512 * (random_() % 3);
      ASSERT_TRUE(IsOk(blob->Resize(size)));
      model.Resize(size);
    }
    for (const int victim : order) {
      change();
      ASSERT_TRUE(IsOk(blob->DeleteSnapshot({std::to_string(victim)})));
      model.DeleteSnapshot({std::to_string(victim)});
      ASSERT_TRUE(AgreesWith(store(), name, model)) << "after dropping " << victim;
    }
    ASSERT_TRUE(IsOk(store().Delete(name)));
  } while (std::next_permutation(order.begin(), order.end()));
  EXPECT_EQ(round, 24);
}

TEST_P(BlobStoreTest, ReaderOfADroppedSnapshotIsTold) {
  auto blob = CreateBlob("x.vhd", 128 * kKiB);
  ASSERT_TRUE(IsOk(blob->CreateSnapshot({"1"})));
  ASSERT_TRUE(IsOk(blob->CreateSnapshot({"2"})));
  auto first = store().OpenPageBlobReader("x.vhd", SnapshotId{"1"});
  auto second = store().OpenPageBlobReader("x.vhd", SnapshotId{"2"});
  ASSERT_TRUE(IsOk(first) && IsOk(second));
  ASSERT_TRUE(IsOk(blob->DeleteSnapshot({"1"})));
  ByteVector bytes(512);
  EXPECT_TRUE(FailsWith((*first)->Read(0, bytes), ErrorCode::kSnapshotNotFound));
  EXPECT_TRUE(IsOk((*second)->Read(0, bytes)));
  // Another one of the same name is not the one that was opened before; nor are its bytes.
  ASSERT_TRUE(IsOk(blob->DeleteSnapshot({"2"})));
  EXPECT_TRUE(FailsWith((*second)->Read(64 * kKiB, bytes), ErrorCode::kSnapshotNotFound));
}

TEST_P(BlobStoreTest, DeletedPageBlobTakesItsSnapshotsAlong) {
  auto blob = CreateBlob("d/x.vhd", 64 * kKiB);
  ASSERT_TRUE(IsOk(blob->Write(0, RandomBytes(random_, 512))));
  ASSERT_TRUE(IsOk(blob->CreateSnapshot({"1"})));
  auto reader = store().OpenPageBlobReader("d/x.vhd", SnapshotId{"1"});
  ASSERT_TRUE(IsOk(reader));
  blob.reset();
  ASSERT_TRUE(IsOk(store().Delete("d/x.vhd")));
  ByteVector bytes(512);
  EXPECT_TRUE(FailsWith((*reader)->Read(0, bytes), ErrorCode::kSnapshotNotFound));
  EXPECT_EQ(store().ListNames("").value(), Names{});
  CreateBlob("d/x.vhd", 64 * kKiB);
  EXPECT_TRUE(AgreesWith(store(), "d/x.vhd", PageBlobModel(64 * kKiB)));
}

TEST_P(BlobStoreTest, ThreadsMayWriteChunksOfTheirOwn) {
  constexpr std::uint64_t kPart = 8 * 64 * kKiB;
  constexpr std::size_t kThreads = 4;
  auto blob = CreateBlob("x.vhd", kThreads * kPart);
  PageBlobModel model(kThreads * kPart);
  for (int generation = 0; generation < 3; ++generation) {
    const ByteVector bytes = RandomBytes(random_, kThreads * kPart);
    std::vector<std::thread> threads;
    std::vector<Status> results(kThreads);
    for (std::size_t i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] {
        for (std::uint64_t offset = i * kPart; offset < (i + 1) * kPart && results[i];
             offset += 64 * kKiB) {
          results[i] = blob->Write(offset, ByteSpan(bytes).subspan(offset, 64 * kKiB));
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const Status& status : results) ASSERT_TRUE(IsOk(status));
    model.Write(0, bytes);
    ASSERT_TRUE(IsOk(blob->CreateSnapshot({std::to_string(generation)})));
    model.CreateSnapshot({std::to_string(generation)});
  }
  EXPECT_TRUE(AgreesWith(store(), "x.vhd", model));
}

TEST_P(BlobStoreTest, LiveReaderSeesWritesAndSizes) {
  auto blob = CreateBlob("x.vhd", 1024);
  auto reader = store().OpenPageBlobReader("x.vhd", std::nullopt);
  ASSERT_TRUE(IsOk(reader));
  ASSERT_TRUE(IsOk(blob->Resize(2048)));
  const ByteVector bytes = RandomBytes(random_, 512);
  ASSERT_TRUE(IsOk(blob->Write(1536, bytes)));
  EXPECT_EQ((*reader)->size_bytes(), 2048U);
  ByteVector read(512);
  ASSERT_TRUE(IsOk((*reader)->Read(1536, read)));
  EXPECT_EQ(read, bytes);
}

bool Touches(const std::vector<Extent>& extents, std::uint64_t offset_bytes) {
  return std::any_of(extents.begin(), extents.end(), [&](const Extent& extent) {
    return extent.offset_bytes <= offset_bytes && offset_bytes < extent.end_bytes();
  });
}

// A blob whose snapshots "1" to "5" differ in a few places, with one in the middle dropped.
void FillWithSnapshots(std::mt19937_64& random, PageBlob& blob, PageBlobModel& model) {
  const std::uint64_t pages = blob.size_bytes() / 512;
  for (int snapshot = 1; snapshot <= 5; ++snapshot) {
    for (int i = 0; i < 4; ++i) {
      const std::uint64_t at = random() % (pages - 8) * 512;
      const ByteVector bytes = RandomBytes(random, 4096);
      ASSERT_TRUE(IsOk(blob.Write(at, bytes)));
      model.Write(at, bytes);
    }
    const Extent cleared{random() % 4 * 128 * kKiB, 128 * kKiB};
    ASSERT_TRUE(IsOk(blob.Clear(cleared)));
    model.Clear(cleared);
    ASSERT_TRUE(IsOk(blob.Flush()));
    ASSERT_TRUE(IsOk(blob.CreateSnapshot({std::to_string(snapshot)})));
    model.CreateSnapshot({std::to_string(snapshot)});
  }
  ASSERT_TRUE(IsOk(blob.DeleteSnapshot({"3"})));
  model.DeleteSnapshot({"3"});
}

constexpr std::uint64_t kSnapshotBytes = 1 * kMiB + 512;

TEST_P(BlobStoreTest, WhatIsNotASnapshotsOwnIsAsInTheNextNewerOne) {
  auto blob = CreateBlob("x.vhd", kSnapshotBytes);
  PageBlobModel model(kSnapshotBytes);
  FillWithSnapshots(random_, *blob, model);
  for (auto older = model.snapshots().begin(); older != model.snapshots().end(); ++older) {
    const auto newer = std::next(older);
    const ByteVector& shared = newer == model.snapshots().end() ? model.live() : newer->second;
    auto reader = store().OpenPageBlobReader("x.vhd", older->first);
    ASSERT_TRUE(IsOk(reader));
    const auto own = (*reader)->OwnExtents({0, kSnapshotBytes});
    ASSERT_TRUE(IsOk(own));
    for (std::uint64_t i = 0; i < kSnapshotBytes; ++i) {
      if (older->second[i] != shared[i]) {
        ASSERT_TRUE(Touches(*own, i)) << older->first.value << " " << i;
      }
    }
    // Clipped to what was asked for.
    const auto part = (*reader)->OwnExtents({70'000, 512});
    ASSERT_TRUE(IsOk(part));
    for (const Extent& extent : *part) {
      EXPECT_GE(extent.offset_bytes, 70'000U);
      EXPECT_LE(extent.end_bytes(), 70'512U);
    }
    EXPECT_EQ(part->empty(), !Touches(*own, 70'000) && !Touches(*own, 70'511));
  }
}

TEST_P(BlobStoreTest, WhatIsNotDataIsZeros) {
  auto blob = CreateBlob("x.vhd", kSnapshotBytes);
  PageBlobModel model(kSnapshotBytes);
  FillWithSnapshots(random_, *blob, model);
  const auto check = [&](const std::optional<SnapshotId>& id, const ByteVector& expected) {
    auto reader = store().OpenPageBlobReader("x.vhd", id);
    ASSERT_TRUE(IsOk(reader));
    const auto data = (*reader)->DataExtents({512, kSnapshotBytes - 512});
    ASSERT_TRUE(IsOk(data));
    for (std::uint64_t i = 512; i < kSnapshotBytes; ++i) {
      if (expected[i] == std::byte{0}) continue;
      ASSERT_TRUE(Touches(*data, i)) << i;
    }
    for (const Extent& extent : *data) EXPECT_GE(extent.offset_bytes, 512U);
  };
  for (const auto& [id, bytes] : model.snapshots()) check(id, bytes);
  check(std::nullopt, model.live());
}

TEST_P(BlobStoreTest, SnapshotsAreListedWithoutOpeningTheBlob) {
  EXPECT_TRUE(FailsWith(store().ListSnapshots("x.vhd"), ErrorCode::kBlobNotFound));
  auto blob = CreateBlob("x.vhd", kSnapshotBytes);
  EXPECT_EQ(store().ListSnapshots("x.vhd").value(), std::vector<SnapshotId>{});
  PageBlobModel model(kSnapshotBytes);
  FillWithSnapshots(random_, *blob, model);
  EXPECT_EQ(store().ListSnapshots("x.vhd").value(),
            (std::vector<SnapshotId>{{"1"}, {"2"}, {"4"}, {"5"}}));
  EXPECT_EQ(store().ListSnapshots("x.vhd").value(), blob->ListSnapshots().value());
}

TEST_P(BlobStoreTest, ALeaseIsHeldOnce) {
  auto lease = store().AcquireLease("items/web");
  ASSERT_TRUE(IsOk(lease));
  const auto second = store().AcquireLease("items/web");
  ASSERT_TRUE(FailsWith(second, ErrorCode::kLocked));
  EXPECT_EQ(second.error().kind, ErrorKind::kBusy);
  EXPECT_TRUE(second.error().retryable);
  EXPECT_TRUE(IsOk(store().AcquireLease("items/web2")));
  lease->reset();
  EXPECT_TRUE(IsOk(store().AcquireLease("items/web")));
  EXPECT_EQ(Listed(""), Names{});
  EXPECT_EQ(store().ListNames("").value(), Names{});
}

INSTANTIATE_TEST_SUITE_P(Stores, BlobStoreTest,
                         ::testing::Values(Kind{"Directory", MakeDirectoryPlace},
                                           Kind{"AzureStrict",
                                                MakeAzurePlace<testing::PageBlobServer>},
                                           Kind{"Azurite", MakeAzurePlace<testing::Azurite>},
                                           Kind{"Memory",
                                                [] {
                                                  Place place;
                                                  place.store = MakeMemoryStore();
                                                  return place;
                                                }}),
                         [](const auto& kind) { return kind.param.name; });

}  // namespace
}  // namespace asr
