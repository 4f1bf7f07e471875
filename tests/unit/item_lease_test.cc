// A writer that lost its lease is told so before it can do harm.
#include "core/vault/item_lease.h"

#include <gtest/gtest.h>

#include "core/points/seal.h"
#include "core/vault/disk_replica.h"
#include "core/vault/documents.h"
#include "core/vault/layout.h"
#include "core/vault/vault.h"
#include "storage/blob/directory_store.h"
#include "tests/support/image_file.h"
#include "tests/support/temp_dir.h"

namespace asr {
namespace {

using testing::MustSucceed;
using testing::TempDir;

constexpr std::uint64_t kLeasedDiskBytes = 8 * kMiB;

class ItemLeaseTest : public ::testing::Test {
 protected:
  void SetUp() override {
    vault_ = *Vault::Create(OpenStore(), "test", DigestAlgorithm::kSha256, Timestamp{});
    item_.id = {"web-00000001"};
    item_.name = "web";
    item_.generation = {"00000001"};
    item_.disks = {{.name = {"root"}, .path = "", .format = "raw", .size_bytes = kLeasedDiskBytes}};
    PutDocument(item_);
  }

  void PutDocument(const Item& item) {
    MustSucceed(vault_->store().Put(layout::ItemDocument(item.id), AsBytes(EncodeItem(item))));
  }

  std::unique_ptr<BlobStore> OpenStore() {
    return *OpenDirectoryStore(PosixFileSystem(), directory_ / "vault", /*create=*/true);
  }

  static ErrorCode CodeOf(const Status& status) {
    return status ? ErrorCode::kInternal : status.error().code;
  }

  // As another machine does whose lock this one does not see.
  void TakeOver() {
    const auto text = *vault_->store().Get("items/web-00000001/item.json");
    ASSERT_FALSE(text.empty());
    Item item = vault_->FindItem("web").value();
    ++item.epoch;
    PutDocument(item);
  }

  TempDir directory_;
  std::unique_ptr<Vault> vault_;
  Item item_;
};

TEST_F(ItemLeaseTest, EveryTakeoverRaisesTheEpoch) {
  for (std::uint64_t epoch = item_.epoch + 1; epoch < 5; ++epoch) {
    const auto lease = vault_->LeaseItem(item_);
    ASSERT_TRUE(lease) << lease.error().Line();
    EXPECT_EQ((*lease)->item().epoch, epoch);
    EXPECT_EQ(vault_->FindItem("web")->epoch, epoch);
    MustSucceed((*lease)->Check());
  }
}

TEST_F(ItemLeaseTest, OnlyOneHoldsIt) {
  const auto lease = vault_->LeaseItem(item_);
  const auto other = *Vault::Open(OpenStore(), "test");
  const auto second = other->LeaseItem(item_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kItemBusy);
  MustSucceed((*lease)->Check());
}

TEST_F(ItemLeaseTest, AnotherEpochEndsIt) {
  const auto lease = *vault_->LeaseItem(item_);
  TakeOver();
  EXPECT_EQ(CodeOf(lease->Check()), ErrorCode::kLeaseLost);
  Item changed = lease->item();
  changed.policy = "late";
  EXPECT_EQ(CodeOf(lease->PutItem(changed)), ErrorCode::kLeaseLost);
  EXPECT_EQ(vault_->FindItem("web")->policy, "");
}

TEST_F(ItemLeaseTest, ALockThatWasRemovedEndsIt) {
  const auto lease = *vault_->LeaseItem(item_);
  MustSucceed(PosixFileSystem().RemoveTree(directory_ / "vault/.locks"));
  EXPECT_EQ(CodeOf(lease->Check()), ErrorCode::kLeaseLost);
  const auto other = *Vault::Open(OpenStore(), "test");
  const auto second = other->LeaseItem(item_);
  ASSERT_TRUE(second) << second.error().Line();
  EXPECT_EQ(CodeOf(lease->Check()), ErrorCode::kLeaseLost);
  MustSucceed((*second)->Check());
}

TEST_F(ItemLeaseTest, ADeletedItemEndsIt) {
  const auto lease = *vault_->LeaseItem(item_);
  MustSucceed(vault_->DeleteItem(item_.id));
  EXPECT_EQ(CodeOf(lease->Check()), ErrorCode::kLeaseLost);
}

// Each step that others build on is refused, and nothing is written.
TEST_F(ItemLeaseTest, ALateWriterDoesNothing) {
  const auto lease = *vault_->LeaseItem(item_);
  Replicas replicas;
  replicas.push_back(*DiskReplica::OpenOrCreate(*vault_, *lease, item_.disks[0]));
  RecoveryPoint point;
  point.id = {"20261123T063000.000Z"};
  point.item = item_.id;
  point.disks = {{.name = {"root"}, .format = "raw", .size_bytes = kLeasedDiskBytes}};
  MustSucceed(SealPoint(*vault_, *lease, replicas, point));
  TakeOver();

  const std::vector<ChangedChunks> changes = {{.group = 1, .chunk_mask = 1}};
  EXPECT_EQ(CodeOf(replicas[0]->Prepare(changes)), ErrorCode::kLeaseLost);
  EXPECT_EQ(CodeOf(replicas[0]->Commit({})), ErrorCode::kLeaseLost);
  EXPECT_EQ(CodeOf(RemovePoint(*vault_, *lease, replicas, point.id)), ErrorCode::kLeaseLost);
  point.id = {"20261123T063500.000Z"};
  EXPECT_EQ(CodeOf(SealPoint(*vault_, *lease, replicas, point)), ErrorCode::kLeaseLost);
  EXPECT_EQ(CodeOf(replicas[0]->DropUnsealed({})), ErrorCode::kLeaseLost);

  EXPECT_EQ(vault_->ListPointIds(item_.id)->size(), 1U);
  ChunkRow row;
  MustSucceed(replicas[0]->digests().ReadChunks(1, row));
  EXPECT_TRUE(row[0].is_zero());
}

}  // namespace
}  // namespace asr
