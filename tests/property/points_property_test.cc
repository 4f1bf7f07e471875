// Random writes against a plain in-memory disk: every sealed point equals the model as it was at
// its instant, after any order of deltas, interrupted deltas, and removals of points.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "core/failover/image_target.h"
#include "core/jobs/replica_target.h"
#include "core/points/roll_back.h"
#include "core/points/seal.h"
#include "core/points/sealed_disk.h"
#include "core/points/verify_point.h"
#include "core/transfer/make_equal.h"
#include "storage/blob/directory_store.h"
#include "storage/blob/memory_store.h"
#include "storage/image/image_writer.h"
#include "tests/support/memory_disk.h"
#include "tests/support/temp_dir.h"

namespace asr {
namespace {

using testing::MemoryDisk;
using testing::ReadAll;
using testing::TempDir;

struct Parameters {
  std::string store;  // "memory" or "directory"
  DigestAlgorithm algorithm = DigestAlgorithm::kSha256;
  std::uint64_t seed = 0;
};

class PointsPropertyTest : public ::testing::TestWithParam<Parameters> {
 protected:
  static constexpr std::uint64_t kDiskBytes = 13 * kMiB + 5 * 512;
  static constexpr int kSteps = 60;

  PointsPropertyTest() : random_(GetParam().seed), source_(kDiskBytes) {
    std::unique_ptr<BlobStore> store;
    if (GetParam().store == "memory") {
      store = MakeMemoryStore();
    } else {
      store = *OpenDirectoryStore(PosixFileSystem(), directory_ / "vault", /*create=*/true);
    }
    vault_ = *Vault::Create(std::move(store), "test", GetParam().algorithm, Timestamp{});
    item_.id = {"web-00000001"};
    item_.name = "web";
    item_.generation = {"00000001"};
    item_.disks = {{.name = {"root"}, .path = "", .format = "raw", .size_bytes = kDiskBytes}};
    lease_ = *vault_->LeaseItem(item_);
    for (int i = 0; i < 10; ++i) source_.ChangeSomething(random_);
  }

  Replicas Open(bool create) {
    Replicas replicas;
    auto replica = create ? DiskReplica::OpenOrCreate(*vault_, *lease_, item_.disks[0])
                          : DiskReplica::Open(*vault_, *lease_, item_.disks[0]);
    EXPECT_TRUE(replica) << replica.error().Line();
    const auto ids = vault_->ListPointIds(item_.id).value();
    EXPECT_TRUE((*replica)->DropUnsealed(ids));
    replicas.push_back(*std::move(replica));
    return replicas;
  }

  // A pass that may be stopped half-way; true if it ended.
  bool Pass(DiskReplica& replica, std::uint64_t stop_after_bytes) {
    ReplicaTarget target(replica);
    std::stop_source stop;
    std::atomic<std::uint64_t> done = 0;
    const TransferOptions options{.algorithm = GetParam().algorithm,
                                  .groups_in_flight = 3,
                                  .on_progress =
                                      [&](const TransferStats& part) {
                                        done += part.bytes_read;
                                        if (done > stop_after_bytes) stop.request_stop();
                                      },
                                  .stop = stop.get_token()};
    const auto stats = MakeEqual(source_, target, options);
    EXPECT_TRUE(stats || stats.error().kind == ErrorKind::kCancelled) << stats.error().Line();
    return stats.has_value();
  }

  void Seal(Replicas& replicas) {
    time_ += std::chrono::seconds(30);
    RecoveryPoint point;
    point.id = NextPointId(time_, {});
    point.time = time_;
    point.item = item_.id;
    point.generation = item_.generation;
    point.disks = {{.name = {"root"}, .format = "raw", .size_bytes = kDiskBytes}};
    const Status sealed = SealPoint(*vault_, *lease_, replicas, point);
    ASSERT_TRUE(sealed) << sealed.error().Line();
    models_[point.id] = source_.bytes();
  }

  void RemoveSomePoint(Replicas& replicas) {
    if (models_.empty()) return;
    auto victim = models_.begin();
    std::advance(victim, static_cast<std::ptrdiff_t>(random_() % models_.size()));
    const Status removed = RemovePoint(*vault_, *lease_, replicas, victim->first);
    ASSERT_TRUE(removed) << removed.error().Line();
    models_.erase(victim);
  }

  void CheckAllPoints() {
    ASSERT_EQ(vault_->ListPointIds(item_.id)->size(), models_.size());
    for (const auto& [id, model] : models_) {
      const RecoveryPoint point = *vault_->ReadPoint(item_.id, id);
      const auto sealed = SealedDisk::Open(*vault_, point, point.disks[0]);
      ASSERT_TRUE(sealed) << sealed.error().Line();
      ASSERT_TRUE(ReadAll(**sealed) == model) << id.value;
    }
  }

  // The checked way that restore takes.
  void RestoreSomePoint() {
    if (models_.empty()) return;
    auto chosen = models_.begin();
    std::advance(chosen, static_cast<std::ptrdiff_t>(random_() % models_.size()));
    const RecoveryPoint point = *vault_->ReadPoint(item_.id, chosen->first);
    const auto sealed = *SealedDisk::Open(*vault_, point, point.disks[0]);
    const std::string path = directory_ / ("restored-" + std::to_string(random_()));
    const auto writer =
        *CreateImage(PosixFileSystem(), {.path = path, .format = "raw", .size_bytes = kDiskBytes});
    ImageTarget target(*writer, sealed->digests());
    const auto stats = MakeEqual(*sealed, target, {.algorithm = GetParam().algorithm});
    ASSERT_TRUE(stats) << stats.error().Line();
    ASSERT_TRUE(writer->Finish());
    const auto text = ReadWholeFile(PosixFileSystem(), path, kGiB).value();
    ASSERT_TRUE(std::ranges::equal(AsBytes(text), chosen->second));
  }

  TempDir directory_;
  std::mt19937_64 random_;
  MemoryDisk source_;
  std::unique_ptr<Vault> vault_;
  std::unique_ptr<ItemLease> lease_;
  Item item_;
  Timestamp time_{std::chrono::hours(500'000)};
  std::map<PointId, std::vector<std::byte>> models_;
};

TEST_P(PointsPropertyTest, EveryPointEqualsTheModel) {
  SCOPED_TRACE(::testing::Message() << "seed " << GetParam().seed);
  Replicas replicas = Open(/*create=*/true);
  for (int step = 0; step < kSteps && !HasFatalFailure(); ++step) {
    switch (random_() % 8) {
      case 0:
        RemoveSomePoint(replicas);
        break;
      case 1:
        RestoreSomePoint();
        break;
      case 2:  // a process that died in the middle, and its successor
        Pass(*replicas[0], random_() % kDiskBytes);
        replicas.clear();
        replicas = Open(/*create=*/false);
        break;
      default:
        for (std::uint64_t i = random_() % 6; i > 0; --i) source_.ChangeSomething(random_);
        if (Pass(*replicas[0], random_() % 4 == 0 ? random_() % kDiskBytes : kDiskBytes)) {
          Seal(replicas);
        }
    }
    if (step % 5 == 0) CheckAllPoints();
  }
  CheckAllPoints();
}

std::vector<Parameters> AllParameters() {
  std::vector<Parameters> all;
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    all.push_back({"memory", DigestAlgorithm::kSha256, seed});
    all.push_back({"directory", DigestAlgorithm::kSha256, 100 + seed});
  }
  all.push_back({"directory", DigestAlgorithm::kXxh3, 200});
  return all;
}

INSTANTIATE_TEST_SUITE_P(Stores, PointsPropertyTest, ::testing::ValuesIn(AllParameters()),
                         [](const auto& test) {
                           return test.param.store + DigestAlgorithmName(test.param.algorithm) +
                                  std::to_string(test.param.seed);
                         });

// A disk full of sevens, sent to a vault and not sealed yet.
class SealedDiskTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto store = *OpenDirectoryStore(PosixFileSystem(), directory_ / "vault", /*create=*/true);
    vault_ = *Vault::Create(std::move(store), "test", DigestAlgorithm::kSha256, Timestamp{});
    item_.id = {"web-00000001"};
    item_.disks = {{.name = {"root"}, .path = "", .format = "raw", .size_bytes = kSealedBytes}};
    point_.id = {"20261123T063000.000Z"};
    point_.item = item_.id;
    point_.disks = {{.name = {"root"}, .format = "raw", .size_bytes = kSealedBytes}};
    std::ranges::fill(source_.bytes(), std::byte{7});
    lease_ = *vault_->LeaseItem(item_);
    replicas_.push_back(*DiskReplica::OpenOrCreate(*vault_, *lease_, item_.disks[0]));
    Send();
  }

  void Send() {
    ReplicaTarget target(*replicas_[0]);
    ASSERT_TRUE(MakeEqual(source_, target, {}));
  }
  void Seal() { ASSERT_TRUE(SealPoint(*vault_, *lease_, replicas_, point_)); }
  std::unique_ptr<SealedDisk> OpenSealed() {
    return *SealedDisk::Open(*vault_, point_, point_.disks[0]);
  }

  static constexpr std::uint64_t kSealedBytes = 8 * kMiB;
  const TempDir directory_;
  std::unique_ptr<Vault> vault_;
  Item item_;
  RecoveryPoint point_;
  MemoryDisk source_{kSealedBytes};
  std::unique_ptr<ItemLease> lease_;
  Replicas replicas_;
};

TEST_F(SealedDiskTest, DamagedBytesEndARestore) {
  Seal();
  const auto live = *PosixFileSystem().Open(directory_ / "vault/items/web-00000001/disks/root.vhd",
                                            {.mode = OpenMode::kWrite});
  const std::array<std::byte, 1> wrong = {std::byte{8}};
  ASSERT_TRUE(live->WriteAt(5 * kMiB + 17, wrong));

  const auto sealed = OpenSealed();
  const auto writer =
      *CreateImage(PosixFileSystem(),
                   {.path = directory_ / "out.raw", .format = "raw", .size_bytes = kSealedBytes});
  ImageTarget image(*writer, sealed->digests());
  const auto stats = MakeEqual(*sealed, image, {});
  ASSERT_FALSE(stats);
  EXPECT_EQ(stats.error().code, ErrorCode::kPointCorrupt);
  EXPECT_NE(stats.error().message.find(std::to_string(5 * kMiB)), std::string::npos);
}

// A power loss may leave "unknown" in the row of a group that is known, and the point is sealed so:
// the group's digest decides for all who read it.
TEST_F(SealedDiskTest, AGroupDecidesWhereItsRowIsUnknown) {
  ReplicaTarget target(*replicas_[0]);
  std::vector<GroupDigests> groups(2);
  for (std::uint64_t group = 0; group < 2; ++group) {
    groups[group].group = group;
    ASSERT_TRUE(target.ReadGroups(group, {&groups[group].digest, 1}));
    ASSERT_TRUE(target.ReadChunks(group, groups[group].chunks));
    groups[group].chunks[3] = Digest::Unknown();
  }
  ASSERT_TRUE(target.Commit(groups));
  Seal();

  PointVerifier verifier(*vault_, item_, {});
  const auto damages = verifier.Verify(point_);
  ASSERT_TRUE(damages) << damages.error().Line();
  EXPECT_TRUE(damages->empty()) << damages->front().Text();

  source_.bytes()[kMiB] ^= std::byte{1};
  Send();
  const auto sealed = OpenSealed();
  const auto back =
      RollBackDisk(*sealed, *replicas_[0], DigestAlgorithm::kSha256, [](std::uint64_t) {}, {});
  ASSERT_TRUE(back) << back.error().Line();
  source_.bytes()[kMiB] ^= std::byte{1};
  std::vector<std::byte> live(kSealedBytes);
  ASSERT_TRUE(replicas_[0]->Read(0, live));
  EXPECT_TRUE(std::ranges::equal(live, source_.bytes()));
}

}  // namespace
}  // namespace asr
