// Firmware variables beside a recovery point, in both kinds of vaults.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>

#include "core/vault/layout.h"
#include "core/vault/vault.h"
#include "storage/base/checksum.h"
#include "storage/blob/directory_store.h"
#include "tests/support/azure_test_store.h"
#include "tests/support/page_blob_model.h"
#include "tests/support/page_blob_server/page_blob_server.h"
#include "tests/support/temp_dir.h"

namespace asr {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::IsOk;

struct VaultPlace {
  std::unique_ptr<testing::TempDir> directory = std::make_unique<testing::TempDir>();
  std::shared_ptr<void> server;
  std::unique_ptr<Vault> vault;
};

VaultPlace Finish(VaultPlace place, Result<std::unique_ptr<BlobStore>> store) {
  EXPECT_TRUE(IsOk(store));
  auto vault = Vault::Create(*std::move(store), "main", DigestAlgorithm::kSha256, {});
  EXPECT_TRUE(IsOk(vault));
  place.vault = *std::move(vault);
  return place;
}

VaultPlace MakeDirectoryVault() {
  VaultPlace place;
  auto store = OpenDirectoryStore(PosixFileSystem(), *place.directory / "vault", true);
  return Finish(std::move(place), std::move(store));
}

VaultPlace MakeAzureVault() {
  VaultPlace place;
  auto server = std::make_shared<testing::PageBlobServer>();
  auto store = testing::OpenTestStore(*server, *place.directory / "leases", true);
  place.server = std::move(server);
  return Finish(std::move(place), std::move(store));
}

struct VaultKind {
  std::string name;
  std::function<VaultPlace()> make;
};

const ItemId kItem{"web-1a2b3c4d"};

RecoveryPoint PointWith(const std::string& id, const std::string& content) {
  RecoveryPoint point;
  point.id = {id};
  point.item = kItem;
  point.generation = {"0badcafe"};
  point.disks = {{.name = {"vda"}, .format = "raw", .size_bytes = kMiB}};
  point.firmware = {.format = "raw",
                    .size_bytes = content.size(),
                    .sha256 = ToHex(ComputeSha256(AsBytes(content))),
                    .content = content};
  return point;
}

class FirmwareTest : public ::testing::TestWithParam<VaultKind> {
 protected:
  std::vector<std::string> Names() {
    return place_.vault->store().ListNames(layout::PointsPrefix(kItem)).value();
  }

  VaultPlace place_ = GetParam().make();
  Vault& vault_ = *place_.vault;
};

TEST_P(FirmwareTest, IsKeptBesideItsPointAndGoesWithIt) {
  const std::string content = std::string(540'672, '\xff') + std::string("\0x", 2);
  const RecoveryPoint sealed = PointWith("20261128T120000.000Z", content);
  ASSERT_TRUE(IsOk(vault_.PutPoint(sealed)));
  EXPECT_THAT(Names(), ElementsAre("20261128T120000.000Z.json", "20261128T120000.000Z.nvram"));
  const auto read = vault_.ReadPoint(kItem, sealed.id);
  ASSERT_TRUE(IsOk(read));
  RecoveryPoint expected = sealed;
  expected.firmware->content.clear();
  EXPECT_EQ(*read, expected);
  EXPECT_EQ(vault_.ReadFirmware(*read).value(), content);
  EXPECT_THAT(vault_.ListPointIds(kItem).value(), ElementsAre(sealed.id));

  ASSERT_TRUE(IsOk(vault_.PutPoint(PointWith("20261128T120001.000Z", "other"))));
  ASSERT_TRUE(IsOk(vault_.DeletePointDocument(kItem, sealed.id)));
  EXPECT_THAT(Names(), ElementsAre("20261128T120001.000Z.json", "20261128T120001.000Z.nvram"));
  EXPECT_EQ(vault_.ReadFirmware(*read).error().kind, ErrorKind::kNotFound);
}

TEST_P(FirmwareTest, WhatIsMissingOrAnotherIsDamage) {
  const RecoveryPoint sealed = PointWith("20261128T120000.000Z", "variables");
  ASSERT_TRUE(IsOk(vault_.PutPoint(sealed)));
  const std::string blob = layout::FirmwareBlob(kItem, sealed.id);
  ASSERT_TRUE(IsOk(vault_.store().Put(blob, AsBytes(std::string("Variables")))));
  EXPECT_EQ(vault_.ReadFirmware(sealed).error().code, ErrorCode::kPointCorrupt);
  ASSERT_TRUE(IsOk(vault_.store().Delete(blob)));
  EXPECT_EQ(vault_.ReadFirmware(sealed).error().code, ErrorCode::kPointCorrupt);
}

TEST_P(FirmwareTest, ThoseOfASealedPointStay) {
  const RecoveryPoint sealed = PointWith("20261128T120000.000Z", "variables");
  const std::string blob = layout::FirmwareBlob(kItem, sealed.id);
  // What an earlier, cut seal of this point left is replaced.
  ASSERT_TRUE(IsOk(vault_.store().Put(blob, AsBytes(std::string("earlier")))));
  ASSERT_TRUE(IsOk(vault_.PutPoint(sealed)));
  EXPECT_EQ(vault_.ReadFirmware(sealed).value(), "variables");
  EXPECT_FALSE(vault_.PutPoint(PointWith("20261128T120000.000Z", "late")));
  EXPECT_FALSE(vault_.PutPoint(sealed));
  EXPECT_EQ(vault_.ReadFirmware(sealed).value(), "variables");
}

// A seal that was cut before the document, and a removal that was cut after it.
TEST_P(FirmwareTest, WhatACutSealOrRemovalLeftIsRemoved) {
  const auto leave = [&](const std::string& point) {
    const std::string blob = layout::FirmwareBlob(kItem, {point});
    ASSERT_TRUE(IsOk(vault_.store().Put(blob, AsBytes(std::string("variables")))));
  };
  leave("20261128T120001.000Z");
  ASSERT_TRUE(IsOk(vault_.RemoveLostFirmware(kItem)));
  EXPECT_THAT(Names(), ElementsAre("20261128T120001.000Z.nvram"));  // it may be sealed right now
  ASSERT_TRUE(IsOk(vault_.PutPoint(PointWith("20261128T120002.000Z", "v"))));
  leave("20261128T120003.000Z");
  ASSERT_TRUE(IsOk(vault_.RemoveLostFirmware(kItem)));
  EXPECT_THAT(Names(), ElementsAre("20261128T120002.000Z.json", "20261128T120002.000Z.nvram",
                                   "20261128T120003.000Z.nvram"));
}

INSTANTIATE_TEST_SUITE_P(Vaults, FirmwareTest,
                         ::testing::Values(VaultKind{"Directory", MakeDirectoryVault},
                                           VaultKind{"Azure", MakeAzureVault}),
                         [](const auto& kind) { return kind.param.name; });

}  // namespace
}  // namespace asr
