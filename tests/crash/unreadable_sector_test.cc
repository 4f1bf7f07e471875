// The disk under the vault cannot read some of its sectors any more.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <mutex>
#include <set>

#include "core/points/verify_point.h"
#include "core/vault/vault_check.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/replication_world.h"

namespace asr {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::FaultFileSystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using World = testing::ReplicationWorld;

class UnreadableSectorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    disk_.before_read = [this](const std::string& path, Extent range) -> Status {
      const std::lock_guard lock(mutex_);
      if (path.ends_with("/item.json") && document_is_unreadable_) {
        return Fail(ErrnoError(EIO, "cannot read " + path));
      }
      // Its data, not its header and bits, which are read in smaller pieces.
      if (!bad_undo_.empty() && path.ends_with("/root.vhd.undo/" + bad_undo_) &&
          range.length_bytes >= kChunkBytes) {
        return Fail(ErrnoError(EIO, "cannot read " + path));
      }
      if (!path.ends_with("/root.vhd")) return {};
      for (const std::uint64_t chunk : bad_chunks_) {
        const std::uint64_t offset = chunk * kChunkBytes + 4096;
        if (offset >= range.offset_bytes && offset < range.end_bytes()) {
          if (reads_until_it_is_back_ > 0 && --reads_until_it_is_back_ == 0) bad_chunks_.clear();
          return Fail(ErrnoError(EIO, "cannot read " + path));
        }
      }
      return {};
    };
    // Writing a sector gives it another place on the disk.
    disk_.after_write = [this](const std::string& path, Extent range) {
      const std::lock_guard lock(mutex_);
      if (!path.ends_with("/root.vhd")) return;
      std::erase_if(bad_chunks_, [&](std::uint64_t chunk) {
        const std::uint64_t offset = chunk * kChunkBytes + 4096;
        return offset >= range.offset_bytes && offset < range.end_bytes();
      });
    };
    world_.ChangeAt(0, testing::kWorldDiskBytes);  // no holes, which need no sector
    ASSERT_TRUE(world_.Enable(disk_));
    world_.CheckPoints(1);
    world_.Advance(std::chrono::minutes(6));
    world_.ChangeAt(40 * kChunkBytes, 3 * kChunkBytes);
    ASSERT_TRUE(world_.Delta(disk_));
    world_.CheckPoints(2);
    world_.Advance(std::chrono::minutes(6));
    world_.warnings.lines.clear();
  }

  // Damaged disks of each point, the newest first.
  std::vector<std::string> DamageOfPoints() {
    std::vector<std::string> texts;
    const Status status = world_.Run(disk_, [&](Environment& environment) -> Status {
      ASR_TRY(const auto vault, OpenVault(environment, ""));
      ASR_TRY(const Item item, vault->FindItem("web"));
      ASR_TRY(const auto ids, vault->ListPointIds(item.id));
      PointVerifier verifier(*vault, item, {});
      for (const PointId& id : ids) {
        ASR_TRY(const RecoveryPoint point, vault->ReadPoint(item.id, id));
        ASR_TRY(const auto damages, verifier.Verify(point));
        texts.push_back(damages.empty() ? "" : damages.front().Text());
      }
      return {};
    });
    EXPECT_TRUE(status) << status.error().Line();
    return texts;
  }

  void OfOldestPoint(
      const std::function<void(Environment&, Vault&, const ItemId&, const PointId&)>& visit) {
    const Status status = world_.Run(disk_, [&](Environment& environment) -> Status {
      ASR_TRY(const auto vault, OpenVault(environment, ""));
      ASR_TRY(const Item item, vault->FindItem("web"));
      ASR_TRY(const auto ids, vault->ListPointIds(item.id));
      visit(environment, *vault, item.id, ids.back());
      return {};
    });
    EXPECT_TRUE(status) << status.error().Line();
  }

  // As a person holds it; the points, the newest first.
  std::vector<PointId> HoldOldestPoint() {
    std::vector<PointId> points;
    const Status status = world_.Run(disk_, [&](Environment& environment) -> Status {
      ASR_TRY(const auto vault, OpenVault(environment, ""));
      ASR_TRY(const Item item, vault->FindItem("web"));
      ASR_TRY(points, vault->ListPointIds(item.id));
      return vault->PinPoint(item.id, points.back(), "test",
                             environment.clock.Now() + std::chrono::hours(10))
                 ? Status()
                 : Fail(MakeError(ErrorKind::kInternal, ErrorCode::kInternal, "no pin"));
    });
    EXPECT_TRUE(status) << status.error().Line();
    return points;
  }

  std::vector<PointId> Points() {
    std::vector<PointId> points;
    const Status status = world_.Run(disk_, [&](Environment& environment) -> Status {
      ASR_TRY(const auto vault, OpenVault(environment, ""));
      ASR_TRY(const Item item, vault->FindItem("web"));
      ASR_TRY(points, vault->ListPointIds(item.id));
      return {};
    });
    EXPECT_TRUE(status) << status.error().Line();
    return points;
  }

  // What `vault check` finds, each with its severity.
  std::vector<std::string> Findings() {
    std::vector<std::string> texts;
    const Status status = world_.Run(disk_, [&](Environment& environment) -> Status {
      ASR_TRY(const auto vault, OpenVault(environment, ""));
      ASR_TRY(const VaultReport report,
              CheckContent(vault->store(), environment.clock.Now(), environment.stop));
      for (const Finding& finding : report.findings) {
        texts.push_back(std::string(SeverityName(finding.severity)) + ": " + finding.message);
      }
      return {};
    });
    EXPECT_TRUE(status) << status.error().Line();
    return texts;
  }

  void DeltaOf(std::uint64_t chunk) {
    world_.ChangeAt(chunk * kChunkBytes, 3 * kChunkBytes);
    world_.ExpectPointOfNow();
    const Status sent = world_.Delta(disk_);
    ASSERT_TRUE(sent) << sent.error().Line();
  }

  std::mutex mutex_;  // of what the hooks look at, on any thread
  FaultFileSystem disk_{PosixFileSystem()};
  World world_{11, disk_};
  std::set<std::uint64_t> bad_chunks_;
  bool document_is_unreadable_ = false;
  int reads_until_it_is_back_ = 0;  // 0: it stays bad
  std::string bad_undo_;            // the snapshot whose undo file has a bad sector; empty: none
};

// Retention would have older points lose what nobody can read for them: the point stays, and
// replication goes on.
TEST_F(UnreadableSectorTest, APointWithAnUnreadableUndoFileStaysAndStopsNothing) {
  const PointId middle = HoldOldestPoint().front();
  DeltaOf(60);  // the middle point keeps these chunks, and the oldest reads them there
  bad_undo_ = middle.value;
  for (int i = 0; i < 4; ++i) {
    world_.Advance(std::chrono::minutes(8));
    DeltaOf(0);
  }
  EXPECT_THAT(world_.warnings.lines,
              ::testing::Contains(AllOf(HasSubstr("recovery point " + middle.value + " stays"),
                                        HasSubstr("cannot be read"))));
  EXPECT_THAT(Points(), ::testing::Contains(middle));
  // It, the one that is held, and three that are younger than 20 minutes.
  EXPECT_EQ(Points().size(), 5U);
  ASSERT_TRUE(world_.RollBack(disk_));
  EXPECT_THAT(Findings(), IsEmpty());
  // Nothing was lost by trying: where the sector can be read again, the point goes like others.
  bad_undo_.clear();
  world_.CheckPoints(5);
  world_.Advance(std::chrono::minutes(1));
  DeltaOf(10);
  EXPECT_THAT(Points(), Not(::testing::Contains(middle)));
  world_.CheckPoints(5);
}

// The same where a removal was cut behind the point's document.
TEST_F(UnreadableSectorTest, ALeftOverThatCannotBeReadStaysAndStopsNothing) {
  const std::vector<PointId> points = HoldOldestPoint();
  const PointId middle = points.front();
  DeltaOf(60);
  const std::string document = world_.Path("vault/items/" + world_.CurrentItem().id.value +
                                           "/points/" + middle.value + ".json");
  ASSERT_TRUE(disk_.RemoveFile(document));
  bad_undo_ = middle.value;
  for (int i = 0; i < 2; ++i) {
    world_.Advance(std::chrono::minutes(2));
    world_.warnings.lines.clear();
    DeltaOf(0);
    EXPECT_THAT(world_.warnings.lines,
                ElementsAre(AllOf(HasSubstr("stays, and does no harm"), HasSubstr(middle.value))));
  }
  ASSERT_TRUE(world_.RollBack(disk_));
  ASSERT_TRUE(world_.ResyncNow(disk_, /*deep=*/true));
  EXPECT_THAT(Points(), Not(::testing::Contains(middle)));
  EXPECT_THAT(Findings(), ElementsAre(AllOf(HasSubstr("note: "), HasSubstr(middle.value))));
  bad_undo_.clear();
  world_.Advance(std::chrono::minutes(1));
  DeltaOf(10);
  EXPECT_THAT(Findings(), IsEmpty());
}

// The source still has the bytes: no point loses anything, not even those that lacked them.
TEST_F(UnreadableSectorTest, DeepResyncMendsThePointsToo) {
  bad_chunks_ = {3, 70, 71};
  EXPECT_THAT(DamageOfPoints(), ElementsAre(Not(IsEmpty()), Not(IsEmpty())));
  const Status resynced = world_.ResyncNow(disk_, /*deep=*/true);
  ASSERT_TRUE(resynced) << resynced.error().Line();
  EXPECT_THAT(bad_chunks_, IsEmpty());
  EXPECT_THAT(world_.warnings.lines,
              ElementsAre(AllOf(HasSubstr("3 chunks of 64 KiB of them could"),
                                Not(HasSubstr("source holds others")))));
  world_.CheckPoints(3);
  EXPECT_THAT(DamageOfPoints(), ElementsAre("", "", ""));
  world_.warnings.lines.clear();
  ASSERT_TRUE(world_.ResyncNow(disk_, /*deep=*/true));
  EXPECT_THAT(world_.warnings.lines, IsEmpty());
}

// A pass that must keep what it cannot read says what to do, as often as it is tried; the newest
// points stay as they are.
TEST_F(UnreadableSectorTest, DeltaStopsAndNamesTheWayOut) {
  bad_chunks_ = {3};
  world_.ChangeAt(3 * kChunkBytes, kChunkBytes);
  for (int i = 0; i < 2; ++i) {
    const Status stopped = world_.Delta(disk_);
    ASSERT_FALSE(stopped);
    EXPECT_EQ(stopped.error().code, ErrorCode::kBlobCorrupt) << stopped.error().Line();
    EXPECT_THAT(stopped.error().Line(), HasSubstr("VM web, disk root"));
    EXPECT_THAT(stopped.error().action, HasSubstr("asr resync web --now --deep"));
  }
  EXPECT_EQ(bad_chunks_.size(), 1U);
  EXPECT_EQ(DamageOfPoints().size(), 2U);
}

// What the source does not hold any more is lost, and the points that need it say so.
TEST_F(UnreadableSectorTest, DeepResyncGivesUpWhatNobodyHas) {
  OfOldestPoint([](Environment& environment, Vault& vault, const ItemId& item, const PointId& id) {
    const Timestamp now = environment.clock.Now();
    ASSERT_TRUE(vault.AddProof(item, id, {.verified_at = now}, now));
  });
  bad_chunks_ = {3, 70};
  world_.ChangeAt(3 * kChunkBytes, kChunkBytes);
  ASSERT_FALSE(world_.Delta(disk_));
  world_.warnings.lines.clear();
  const Status resynced = world_.ResyncNow(disk_, /*deep=*/true);
  ASSERT_TRUE(resynced) << resynced.error().Line();
  EXPECT_THAT(bad_chunks_, IsEmpty());
  EXPECT_THAT(world_.warnings.lines,
              ::testing::Contains(AllOf(HasSubstr("2 chunks of 64 KiB of them could not be read"),
                                        HasSubstr("others than 1 of these"))));
  world_.ExpectNewestPointOfNow();
  const std::string chunk_3 =
      "disk root: 1 chunk of 64 KiB does not hold what was replicated, the "
      "first at offset 196608";
  EXPECT_THAT(DamageOfPoints(), ElementsAre("", chunk_3, chunk_3));
  OfOldestPoint([](Environment&, Vault& vault, const ItemId& item, const PointId& id) {
    EXPECT_EQ(vault.ReadProof(item, id).value(), std::nullopt);
  });
  // Replication goes on.
  world_.Advance(std::chrono::minutes(6));
  world_.ChangeAt(3 * kChunkBytes, 2 * kChunkBytes);
  ASSERT_TRUE(world_.Delta(disk_));
  world_.ExpectNewestPointOfNow();
}

// A cable that was touched: what the disk still has is not given up, although the source holds
// something else by now.
TEST_F(UnreadableSectorTest, DeepResyncGivesNothingUpThatReadsAgain) {
  bad_chunks_ = {3};
  world_.ChangeAt(3 * kChunkBytes, kChunkBytes);
  ASSERT_FALSE(world_.Delta(disk_));
  world_.warnings.lines.clear();
  reads_until_it_is_back_ = 4;  // the group, and the chunk three times
  const Status resynced = world_.ResyncNow(disk_, /*deep=*/true);
  ASSERT_TRUE(resynced) << resynced.error().Line();
  EXPECT_EQ(reads_until_it_is_back_, 0);
  for (const std::string& line : world_.warnings.lines) {
    EXPECT_THAT(line, Not(HasSubstr("could not be read")));
  }
  EXPECT_THAT(DamageOfPoints(), ::testing::Each(""));
}

// A device that fails as a whole has not lost each of its sectors.
TEST_F(UnreadableSectorTest, DeepResyncStopsWhereTheDeviceIsAway) {
  for (std::uint64_t chunk = 0; chunk < 80; ++chunk) bad_chunks_.insert(chunk);
  world_.ChangeAt(3 * kChunkBytes, kChunkBytes);
  const Status stopped = world_.ResyncNow(disk_, /*deep=*/true);
  ASSERT_FALSE(stopped);
  EXPECT_THAT(stopped.error().Line(), HasSubstr("80 of 128 chunks"));
  EXPECT_EQ(bad_chunks_.size(), 80U);
  bad_chunks_.clear();
  EXPECT_THAT(DamageOfPoints(), ElementsAre("", ""));
}

// Bytes that are wrong, though they can be read: the points get the right ones from the source.
TEST_F(UnreadableSectorTest, DeepResyncMendsRotInThePointsToo) {
  std::string live;
  const Status found = world_.Run(disk_, [&](Environment& environment) -> Status {
    ASR_TRY(const auto vault, OpenVault(environment, ""));
    ASR_TRY(const Item item, vault->FindItem("web"));
    live = world_.Path("vault/items/" + item.id.value + "/disks/root.vhd");
    return {};
  });
  ASSERT_TRUE(found) << found.error().Line();
  std::fstream file(live, std::ios::in | std::ios::out | std::ios::binary);
  for (const std::uint64_t chunk : {5U, 41U}) {
    file.seekp(static_cast<std::streamoff>(chunk * kChunkBytes + 100));
    file.write("rot", 3);
  }
  file.close();
  ASSERT_TRUE(file.good());
  EXPECT_THAT(DamageOfPoints(), ElementsAre(Not(IsEmpty()), Not(IsEmpty())));
  const Status resynced = world_.ResyncNow(disk_, /*deep=*/true);
  ASSERT_TRUE(resynced) << resynced.error().Line();
  EXPECT_THAT(DamageOfPoints(), ElementsAre("", "", ""));
}

// Whatever fails or dies meanwhile: no point reads other bytes than it had, but for those that are
// lost, which no digest takes for right.
TEST_F(UnreadableSectorTest, DeepResyncThatIsCutGoesOn) {
  bool completed = false;
  const std::uint64_t step = std::getenv("ASR_FEW_CALLS") == nullptr ? 7 : 49;
  for (std::uint64_t call = 1; !completed; call += step) {
    bad_chunks_ = {3, 70};
    FaultFileSystem dying(static_cast<FileSystem&>(disk_));
    dying.DieAt(call);
    const Status resynced = world_.ResyncNow(dying, /*deep=*/true);
    completed = !dying.has_failed();
    ASSERT_TRUE(resynced || !completed) << resynced.error().Line();
    const Status again = world_.ResyncNow(disk_, /*deep=*/true);
    ASSERT_TRUE(again) << "call " << call << ": " << again.error().Line();
    EXPECT_THAT(bad_chunks_, IsEmpty());
    world_.CheckPoints(3);
    world_.Advance(std::chrono::minutes(3));
  }
  EXPECT_THAT(DamageOfPoints(), ::testing::Each(""));
}

// A document that cannot be read now says nothing of the item: it is not deleted as damaged.
TEST_F(UnreadableSectorTest, ADocumentThatCannotBeReadDeletesNoItem) {
  const Status deleted = world_.Run(disk_, [&](Environment& environment) -> Status {
    ASR_TRY(const auto vault, OpenVault(environment, ""));
    ASR_TRY(const Item item, vault->FindItem("web"));
    document_is_unreadable_ = true;
    return vault->DeleteDamagedItem(item.id);
  });
  document_is_unreadable_ = false;
  ASSERT_FALSE(deleted);
  EXPECT_THAT(deleted.error().action, HasSubstr("make it readable"));
  world_.CheckPoints(2);
}

// One damaged pin is no reason to remove what it may keep, nor to stop.
TEST_F(UnreadableSectorTest, ADamagedPinKeepsAllPoints) {
  std::string pin;
  const Status pinned = world_.Run(disk_, [&](Environment& environment) -> Status {
    ASR_TRY(const auto vault, OpenVault(environment, ""));
    ASR_TRY(const Item item, vault->FindItem("web"));
    ASR_TRY(const auto ids, vault->ListPointIds(item.id));
    ASR_TRY(const PinId id, vault->PinPoint(item.id, ids.back(), "test",
                                            environment.clock.Now() + std::chrono::hours(1)));
    pin = world_.Path("vault/items/" + item.id.value + "/pins/" + id.value + ".json");
    return WriteFileAtomic(disk_, pin, AsBytes("{}"));
  });
  ASSERT_TRUE(pinned) << pinned.error().Line();
  for (int i = 0; i < 4; ++i) {
    world_.Advance(std::chrono::minutes(8));
    world_.ChangeAt(0, 512);
    ASSERT_TRUE(world_.Delta(disk_));
    world_.CheckPoints(static_cast<std::size_t>(3 + i));
  }
  EXPECT_THAT(world_.warnings.lines, ::testing::Contains(HasSubstr("retention removes none")));
  ASSERT_TRUE(disk_.RemoveFile(pin));
  world_.Advance(std::chrono::minutes(1));
  world_.ChangeAt(0, 512);
  ASSERT_TRUE(world_.Delta(disk_));
  EXPECT_EQ(DamageOfPoints().size(), 4U);
}

}  // namespace
}  // namespace asr
