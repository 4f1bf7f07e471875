// Machines that share an item in a container: one holds its lease, dies, pauses, and wakes up late;
// and how many requests a life takes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <map>
#include <set>

#include "core/points/seal.h"
#include "tests/support/azure_world.h"

namespace asr {
namespace {

using testing::AzureWorld;
using ::testing::HasSubstr;
using testing::kAzureDiskBytes;
using testing::RequestRecord;

// A writer between two steps of its work, until its end.
struct Writer {
  std::unique_ptr<Vault> vault;
  Item item;
  std::unique_ptr<ItemLease> lease;
  Replicas replicas;
};

class AzureMachinesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(world_.CreateTheVault("one"));
    ASSERT_TRUE(world_.Enable("one"));
    ASSERT_TRUE(world_.ConnectTheVault("two"));
  }

  Result<Writer> Begin(const std::string& machine) {
    ASR_TRY(auto store, world_.OpenStore(machine));
    Writer writer;
    ASR_TRY(writer.vault, Vault::Open(std::move(store), "v"));
    ASR_TRY(const Item item, writer.vault->FindItem("web"));
    ASR_TRY(writer.lease, writer.vault->LeaseItem(item));
    writer.item = writer.lease->item();
    ASR_TRY(writer.replicas, OpenReplicas(*writer.vault, *writer.lease, /*create=*/false));
    return writer;
  }

  // What is sealed by now holds the disk as it was before.
  void Change() {
    world_.NotePoints();
    world_.Change();
  }
  void Fill(Extent range, bool with_zeros) {
    world_.NotePoints();
    world_.Fill(range, with_zeros);
  }

  static RecoveryPoint PointOf(const Writer& writer, const std::string& id) {
    RecoveryPoint point = writer.vault->NewestPoint(writer.item.id)->value();
    point.id = {id};
    return point;
  }

  AzureWorld world_{11};
};

// The machine's clock runs ahead, by less than the service takes for a forged signature.
TEST_F(AzureMachinesTest, RetentionGoesByTheServicesClock) {
  for (int i = 0; i < 3; ++i) {
    world_.Advance(std::chrono::minutes(1));
    Change();
    ASSERT_TRUE(world_.Delta("one"));
  }
  world_.Advance(std::chrono::minutes(6));
  world_.NotePoints();
  ASSERT_EQ(world_.points.size(), 4U);
  world_.Change();
  ASSERT_TRUE(world_.Run("one", [&](Environment& environment, Vault& vault) -> Status {
    world_.clock().Advance(14 * 60);
    ASR_TRY(const Item item, vault.FindItem("web"));
    ASR_CHECK(Replicate(environment, vault, item));
    ASR_TRY(const auto points, vault.ListPointIds(item.id));
    EXPECT_EQ(points.size(), 5U) << "those of 20 minutes stay";
    return {};
  }));
  world_.NotePoints();
  // Now it is as late as that.
  world_.Advance(std::chrono::minutes(5));
  Change();
  ASSERT_TRUE(world_.Delta("one"));
  world_.NotePoints();
  EXPECT_EQ(world_.points.size(), 3U);
}

TEST_F(AzureMachinesTest, TheSecondIsToldWhoHoldsTheItem) {
  const auto writer = Begin("one");
  ASSERT_TRUE(writer) << writer.error().Line();
  const Status refused = world_.Delta("two");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kBusy);
  EXPECT_EQ(refused.error().code, ErrorCode::kItemBusy);
  EXPECT_THAT(refused.error().Line(), HasSubstr("machine one"));
}

TEST_F(AzureMachinesTest, ASecondProcessOfTheMachineIsRefusedAtOnce) {
  const auto writer = Begin("one");
  ASSERT_TRUE(writer) << writer.error().Line();
  world_.server.ClearLog();
  const Status refused = world_.Delta("one");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kItemBusy);
  EXPECT_THAT(refused.error().Line(), HasSubstr("another process on this machine"));
  EXPECT_EQ(world_.server.Counts()["AcquireLease"], 0U);
}

// The server ends its lease; this machine's process is gone, and its lock with it.
TEST_F(AzureMachinesTest, ADeadOwnersLeasePassesOnAfterItsTime) {
  {
    auto writer = Begin("one");
    ASSERT_TRUE(writer) << writer.error().Line();
    // A process that is killed gives nothing back.
    world_.server.AddFault({.action = testing::FaultAction::kRefuse,
                            .operation = "ReleaseLease",
                            .times = -1,
                            .code = "AuthenticationFailed"});
  }
  world_.server.ClearFaults();
  EXPECT_FALSE(world_.Delta("two"));
  Change();
  EXPECT_TRUE(world_.Delta("one")) << "its own lease is not taken back";
  {
    auto writer = Begin("one");
    ASSERT_TRUE(writer) << writer.error().Line();
    world_.server.AddFault({.action = testing::FaultAction::kRefuse,
                            .operation = "ReleaseLease",
                            .times = -1,
                            .code = "AuthenticationFailed"});
  }
  world_.server.ClearFaults();
  world_.Advance(std::chrono::seconds(61));
  Change();
  const Status taken = world_.Delta("two");
  EXPECT_TRUE(taken) << taken.error().Line();
  world_.CheckPoints();
}

// Its own clock stood still with it, so that it trusts its lease.
class PausedOwnerTest : public AzureMachinesTest {
 protected:
  void TakeOver() {
    world_.server.AdvanceClock(std::chrono::seconds(61));
    Change();
    const Status taken = world_.Delta("two");
    ASSERT_TRUE(taken) << taken.error().Line();
    world_.NotePoints();
    ASSERT_EQ(world_.points.size(), 2U);
  }
};

TEST_F(PausedOwnerTest, WritesNoPages) {
  auto late = Begin("one");
  ASSERT_TRUE(late) << late.error().Line();
  ASSERT_NO_FATAL_FAILURE(TakeOver());
  const std::vector<std::byte> bytes(kChunkBytes, std::byte{0xAB});
  const Status written = late->replicas[0]->Write(0, bytes);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::kLeaseLost) << written.error().Line();
  EXPECT_FALSE(late->replicas[0]->Clear({0, kChunkBytes}));
  const std::vector<ChangedChunks> changes = {{.group = 0, .chunk_mask = 1}};
  EXPECT_FALSE(late->replicas[0]->Prepare(changes));
  world_.CheckPoints();
  // And the live pages are those of the new owner's point.
  const auto writer = Begin("two");
  ASSERT_TRUE(writer) << writer.error().Line();
  std::vector<std::byte> live(kAzureDiskBytes);
  ASSERT_TRUE(writer->replicas[0]->Read(0, live));
  EXPECT_TRUE(live == world_.content());
}

// By hand it would be: no step of a job deletes a disk that a newer owner has.
TEST_F(PausedOwnerTest, DeletesNoDisk) {
  auto late = Begin("one");
  ASSERT_TRUE(late) << late.error().Line();
  ASSERT_NO_FATAL_FAILURE(TakeOver());
  const std::string disks = "items/" + late->item.id.value + "/disks/";
  for (const char* name : {"root.vhd", "root.digests"}) {
    const Status deleted = late->vault->store().Delete(disks + name);
    ASSERT_FALSE(deleted) << name;
    EXPECT_EQ(deleted.error().kind, ErrorKind::kBusy) << deleted.error().Line();
  }
  world_.CheckPoints();
}

TEST_F(PausedOwnerTest, WritesNoItemDocument) {
  auto late = Begin("one");
  ASSERT_TRUE(late) << late.error().Line();
  ASSERT_NO_FATAL_FAILURE(TakeOver());
  const Status written = late->lease->PutItem(late->item);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().kind, ErrorKind::kBusy) << written.error().Line();
}

TEST_F(PausedOwnerTest, SealsNothing) {
  auto late = Begin("one");
  ASSERT_TRUE(late) << late.error().Line();
  ASSERT_NO_FATAL_FAILURE(TakeOver());
  const RecoveryPoint point = PointOf(*late, "20990101T000000.000Z");
  const Status sealed = SealPoint(*late->vault, *late->lease, late->replicas, point);
  ASSERT_FALSE(sealed);
  EXPECT_EQ(sealed.error().code, ErrorCode::kLeaseLost) << sealed.error().Line();
  world_.NotePoints();
  EXPECT_EQ(world_.points.size(), 2U);
  const auto snapshots =
      late->vault->store().ListSnapshots("items/" + late->item.id.value + "/disks/root.vhd");
  ASSERT_TRUE(snapshots);
  EXPECT_EQ(snapshots->size(), 2U);
  world_.CheckPoints();
}

// Without the ETag as its condition it would freeze what the new owner is writing.
TEST_F(PausedOwnerTest, ItsSnapshotThatArrivesLateIsRefused) {
  auto late = Begin("one");
  ASSERT_TRUE(late) << late.error().Line();
  world_.server.AddFault({.action = testing::FaultAction::kDelay,
                          .operation = "SnapshotBlob",
                          .times = -1,
                          .cuts = true});
  const std::string id = FormatCompactTime(world_.clock().Now() + std::chrono::seconds(1));
  EXPECT_FALSE(late->replicas[0]->Snapshot({id}));
  EXPECT_GT(world_.server.delayed(), 0U);
  world_.server.ClearFaults();
  ASSERT_NO_FATAL_FAILURE(TakeOver());
  world_.server.ReleaseDelayed();
  const auto snapshots =
      late->vault->store().ListSnapshots("items/" + late->item.id.value + "/disks/root.vhd");
  ASSERT_TRUE(snapshots);
  EXPECT_EQ(snapshots->size(), 2U);
}

// It has its snapshots, and writes the point's document only after another has dropped them.
TEST_F(PausedOwnerTest, SealsNothingThatWasDropped) {
  auto late = Begin("one");
  ASSERT_TRUE(late) << late.error().Line();
  const std::string id = FormatCompactTime(world_.clock().Now() + std::chrono::seconds(1));
  for (const auto& replica : late->replicas) ASSERT_TRUE(replica->Snapshot({id}));
  const RecoveryPoint point = PointOf(*late, id);
  ASSERT_NO_FATAL_FAILURE(TakeOver());
  const Status sealed = late->vault->PutPoint(point);
  ASSERT_FALSE(sealed);
  EXPECT_EQ(sealed.error().code, ErrorCode::kBlobExists) << sealed.error().Line();
  world_.NotePoints();
  EXPECT_EQ(world_.points.size(), 2U);
  world_.CheckPoints();
  // What keeps it out goes once it is old, with the next thing to clean.
  for (int i = 0; i < 2; ++i) {
    world_.Advance(std::chrono::hours(25));
    Change();
    ASSERT_TRUE(world_.Delta("two"));
    auto writer = Begin("two");
    ASSERT_TRUE(writer) << writer.error().Line();
    const std::string next = FormatCompactTime(world_.clock().Now() + std::chrono::seconds(1));
    for (const auto& replica : writer->replicas) ASSERT_TRUE(replica->Snapshot({next}));
  }
  EXPECT_FALSE(
      late->vault->store().Get("items/" + late->item.id.value + "/points/" + id + ".dropped"));
  EXPECT_FALSE(late->vault->ReadPoint(late->item.id, {id}));
}

// It wrote the document after another had listed the points, and before that one dropped any.
TEST_F(PausedOwnerTest, APointThatWasSealedMeanwhileIsNotDropped) {
  world_.Advance(std::chrono::minutes(6));
  Change();
  ASSERT_TRUE(world_.Delta("one"));
  world_.NotePoints();
  const auto writer = Begin("two");
  ASSERT_TRUE(writer) << writer.error().Line();
  const std::vector<PointId> known = {world_.points.back()};
  ASSERT_TRUE(writer->replicas[0]->DropUnsealed(known));
  world_.CheckPoints();
  EXPECT_EQ(world_.points.size(), 2U);
}

// A log set's point keeps its id when its seal is cut and done again.
TEST_F(PausedOwnerTest, WhoDroppedASealMaySealItAgain) {
  const std::string id = FormatCompactTime(world_.clock().Now() + std::chrono::seconds(1));
  {
    auto cut = Begin("one");
    ASSERT_TRUE(cut) << cut.error().Line();
    for (const auto& replica : cut->replicas) ASSERT_TRUE(replica->Snapshot({id}));
  }
  auto writer = Begin("one");
  ASSERT_TRUE(writer) << writer.error().Line();
  const RecoveryPoint point = PointOf(*writer, id);
  const Status sealed = SealPoint(*writer->vault, *writer->lease, writer->replicas, point);
  ASSERT_TRUE(sealed) << sealed.error().Line();
  world_.CheckPoints();
  EXPECT_EQ(world_.points.size(), 2U);
}

// What a delta of scattered writes sends.
// The last try of a write that failed may still be carried out: what is written on top of it by the
// same handle could be undone.
TEST_F(AzureMachinesTest, AfterAWriteThatFailedItsHandleIsDoneFor) {
  auto writer = Begin("one");
  ASSERT_TRUE(writer) << writer.error().Line();
  const std::vector<std::byte> bytes(kChunkBytes, std::byte{0xAB});
  const std::vector<ChangedChunks> changes = {{.group = 0, .chunk_mask = 1}};
  ASSERT_TRUE(writer->replicas[0]->Prepare(changes));
  world_.server.AddFault({.action = testing::FaultAction::kDelay,
                          .operation = "PutPage",
                          .times = -1,
                          .code = "OperationTimedOut"});
  ASSERT_FALSE(writer->replicas[0]->Write(0, bytes));
  ASSERT_GT(world_.server.delayed(), 0U);
  world_.server.ClearFaults();
  const std::vector<std::byte> newer(kChunkBytes, std::byte{0xCD});
  EXPECT_FALSE(writer->replicas[0]->Write(0, newer));
  EXPECT_FALSE(writer->replicas[0]->Commit({}));
  // Opened again, by the same holder, it goes on; and what comes late by then is refused.
  auto again = OpenReplicas(*writer->vault, *writer->lease, /*create=*/false);
  ASSERT_TRUE(again) << again.error().Line();
  ASSERT_TRUE((*again)[0]->Write(0, newer));
  world_.server.ReleaseDelayed();
  std::vector<std::byte> live(kChunkBytes);
  ASSERT_TRUE((*again)[0]->Read(0, live));
  EXPECT_TRUE(live == newer);
}

// "Not there" would make callers drop, or make anew, what is only out of reach.
TEST_F(AzureMachinesTest, AContainerThatIsGoneIsNoMissingBlob) {
  auto store = world_.OpenStore("one");
  ASSERT_TRUE(store);
  const auto absent = (*store)->Get("no.json");
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code, ErrorCode::kBlobNotFound);
  const auto blobs = (*store)->List("");
  ASSERT_TRUE(blobs);
  for (const BlobInfo& blob : *blobs) ASSERT_TRUE((*store)->Delete(blob.name));
  ASSERT_TRUE((*store)->RemovePlace());
  const auto text = (*store)->Get("vault.json");
  ASSERT_FALSE(text);
  EXPECT_NE(text.error().kind, ErrorKind::kNotFound) << text.error().Line();
  const auto snapshots = (*store)->ListSnapshots("disk.vhd");
  ASSERT_FALSE(snapshots);
  EXPECT_NE(snapshots.error().kind, ErrorKind::kNotFound) << snapshots.error().Line();
  EXPECT_FALSE((*store)->Delete("vault.json"));
  EXPECT_FALSE((*store)->OpenPageBlob("disk.vhd"));
}

TEST_F(AzureMachinesTest, ADeltaSendsWhatChangedAndNoMore) {
  // Eight chunks that are apart, and a run of zeros.
  world_.Advance(std::chrono::minutes(6));
  ASSERT_TRUE(world_.Delta("one"));
  std::set<std::uint64_t> changed;
  for (std::uint64_t i = 0; i < 8; ++i) {
    changed.insert(i * 5);
    Fill({i * 5 * kChunkBytes + 8 * kKiB, 4 * kKiB}, /*with_zeros=*/false);
  }
  Fill({64 * kChunkBytes, 12 * kChunkBytes}, /*with_zeros=*/false);
  world_.Advance(std::chrono::minutes(6));
  ASSERT_TRUE(world_.Delta("one"));
  Fill({64 * kChunkBytes, 12 * kChunkBytes}, /*with_zeros=*/true);
  for (const std::uint64_t chunk : changed) {
    Fill({chunk * kChunkBytes + 8 * kKiB, 4 * kKiB}, /*with_zeros=*/false);
  }
  world_.Advance(std::chrono::minutes(6));
  world_.server.ClearLog();
  ASSERT_TRUE(world_.Delta("one"));
  std::uint64_t sent_bytes = 0;
  std::uint64_t clears = 0;
  std::map<std::string, int> by_operation;
  for (const RequestRecord& record : world_.server.Log()) {
    ++by_operation[record.operation];
    sent_bytes += record.received_bytes;
    if (record.operation == "ClearPages") {
      ++clears;
      EXPECT_EQ(record.range.offset_bytes, 64 * kChunkBytes);
      EXPECT_EQ(record.range.length_bytes, 12 * kChunkBytes);
    }
    if (record.operation != "PutPage" || !record.blob.ends_with(".vhd")) continue;
    EXPECT_TRUE(changed.contains(record.range.offset_bytes / kChunkBytes));
    EXPECT_LE(record.range.length_bytes, kChunkBytes);
  }
  EXPECT_EQ(clears, 1U);
  EXPECT_LE(static_cast<double>(sent_bytes), 1.1 * 8 * static_cast<double>(kChunkBytes));
  EXPECT_LE(by_operation["PutPage"], 8 + 8);
  for (const auto& [operation, count] : by_operation) {
    RecordProperty("Requests" + operation, count);
  }
  world_.CheckPoints();
}

}  // namespace
}  // namespace asr
