// asr vault check
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "core/jobs/check_vault.h"
#include "core/jobs/vaults.h"
#include "core/vault/digest_table.h"
#include "core/vault/documents.h"
#include "core/vault/layout.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/protected_lab.h"

namespace asr::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Json = nlohmann::ordered_json;

class VaultCheckTest : public ::testing::Test {
 protected:
  void SetUp() override {
    lab.Replicate(1);
    for (const PointId& point : lab.points()) points.push_back(point.value);
    prefix = "items/" + lab.item().id.value + "/";
  }

  // The only finding; checks its severity and the exit code that goes with it.
  Json OnlyFinding(const std::string& severity) {
    const Json findings = Findings(severity == "error" ? 1 : 0);
    EXPECT_EQ(findings.size(), 1U) << findings.dump(2);
    if (findings.size() != 1) return Json::object();
    EXPECT_EQ(findings[0]["severity"], severity) << findings.dump(2);
    EXPECT_FALSE(findings[0]["message"].get<std::string>().empty());
    EXPECT_FALSE(findings[0]["action"].get<std::string>().empty());
    return findings[0];
  }

  Json Findings(int exit_code) {
    const auto before = lab.cli.Tree("vault");
    const CommandResult result = lab.cli.Run("vault check -o json");
    EXPECT_EQ(result.exit_code, exit_code) << result.out << result.err;
    EXPECT_EQ(lab.cli.Tree("vault"), before);
    EXPECT_EQ(result.OutJson()["healthy"], exit_code == 0);
    return result.OutJson()["findings"];
  }

  void PutItem(const std::function<void(Item&)>& change) {
    Item item = lab.item();
    change(item);
    ASSERT_TRUE(lab.vault->store()
                    .Put(layout::ItemDocument(item.id), AsBytes(EncodeItem(item)))
                    .has_value());
  }

  ProtectedLab lab;
  std::vector<std::string> points;
  std::string prefix;  // of the item's blobs
};

TEST_F(VaultCheckTest, NothingIsWrong) {
  const Json report = lab.cli.Json("vault check");
  EXPECT_THAT(Keys(report), ElementsAre("vault", "healthy", "findings", "checked"));
  EXPECT_EQ(report["vault"], "main");
  EXPECT_EQ(report["healthy"], true);
  EXPECT_EQ(report["findings"], Json::array());
  EXPECT_THAT(Keys(report["checked"]), ElementsAre("documents", "items", "points", "blobs"));
  EXPECT_EQ(report["checked"]["documents"], 5);  // vault, policy, item, two points
  EXPECT_EQ(report["checked"]["items"], 1);
  EXPECT_EQ(report["checked"]["points"], 2);
  EXPECT_EQ(report["checked"]["blobs"], 4);
  EXPECT_EQ(lab.cli.Run("vault check main").err, "Nothing is wrong.\n");
}

TEST_F(VaultCheckTest, OneDamagedThingHidesNoOther) {
  std::filesystem::copy(lab.cli.Path("vms/web"), lab.cli.Path("vms/mail"));
  lab.cli.Json("enable mail --policy gold");
  lab.cli.WriteFile("vault/vault.json", "{}");
  lab.cli.WriteFile("vault/policies/gold.json", "{}");
  lab.cli.WriteFile("vault/" + prefix + "points/" + points[0] + ".json", "");
  const Item mail = lab.vault->FindItem("mail").value();
  lab.cli.WriteFile("vault/items/" + mail.id.value + "/item.json", "x");
  std::vector<std::string> blobs;
  for (const Json& finding : Findings(1)) {
    EXPECT_EQ(finding["severity"], "error");
    blobs.push_back(finding["blob"]);
  }
  EXPECT_THAT(blobs, ::testing::UnorderedElementsAre("vault.json", "policies/gold.json",
                                                     prefix + "points/" + points[0] + ".json",
                                                     "items/" + mail.id.value + "/item.json"));
}

TEST_F(VaultCheckTest, TheErrorNamesCauseAndAction) {
  std::filesystem::remove(lab.ItemPath("disks/root.digests"));
  const CommandResult result = lab.cli.Run("vault check -o json");
  EXPECT_EQ(result.exit_code, 1);
  const Json error = result.ErrJson()["error"];
  EXPECT_EQ(error["code"], "ASR2005");
  EXPECT_FALSE(error["causes"].empty());
  EXPECT_FALSE(error["action"].get<std::string>().empty());
  EXPECT_THAT(lab.cli.Run("vault check").out, HasSubstr("Findings"));
}

TEST_F(VaultCheckTest, MissingAndCutBlobs) {
  std::filesystem::resize_file(lab.ItemPath("disks/data.vhd"), kMiB);
  EXPECT_EQ(OnlyFinding("error")["blob"], prefix + "disks/data.vhd");
  std::filesystem::remove(lab.ItemPath("disks/data.vhd"));
  // The blob, and both points that cannot be read without it.
  EXPECT_EQ(Findings(1).size(), 3U);
}

TEST_F(VaultCheckTest, AMissingUndoFile) {
  std::filesystem::remove(lab.ItemPath("disks/root.digests.undo/" + points[0]));
  const Json finding = OnlyFinding("error");
  EXPECT_EQ(finding["blob"], prefix + "points/" + points[0] + ".json");
  EXPECT_EQ(finding["item"], "web");
}

TEST_F(VaultCheckTest, AnItemWithoutItsPolicy) {
  std::filesystem::remove(lab.cli.Path("vault/policies/gold.json"));
  const Json finding = OnlyFinding("error");
  EXPECT_THAT(finding["message"].get<std::string>(), HasSubstr("'gold'"));
  EXPECT_THAT(finding["action"].get<std::string>(), HasSubstr("asr policy set gold"));
}

TEST_F(VaultCheckTest, DocumentsUnderTheNamesOfOthers) {
  std::filesystem::copy_file(lab.cli.Path("vault/policies/gold.json"),
                             lab.cli.Path("vault/policies/silver.json"));
  EXPECT_THAT(OnlyFinding("error")["message"].get<std::string>(), HasSubstr("'gold'"));
  std::filesystem::remove(lab.cli.Path("vault/policies/silver.json"));
  std::filesystem::copy_file(lab.ItemPath("points/" + points[1] + ".json"),
                             lab.ItemPath("points/" + points[0] + ".json"),
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_THAT(OnlyFinding("error")["message"].get<std::string>(), HasSubstr(points[1]));
}

TEST_F(VaultCheckTest, AParentThatIsNotOlder) {
  RecoveryPoint point = lab.vault->ReadPoint(lab.item().id, {points[1]}).value();
  point.parent = PointId{points[0]};
  lab.cli.WriteFile("vault/" + prefix + "points/" + points[1] + ".json", EncodePoint(point));
  EXPECT_THAT(OnlyFinding("error")["message"].get<std::string>(), HasSubstr("parent"));
}

TEST_F(VaultCheckTest, AnItemsDocumentThatIsLost) {
  std::filesystem::remove(lab.ItemPath("item.json"));
  EXPECT_EQ(OnlyFinding("error")["blob"], prefix + "item.json");
}

TEST_F(VaultCheckTest, WhatDoesNotBelongThere) {
  lab.cli.WriteFile("vault/notes.txt", "mine");
  EXPECT_EQ(OnlyFinding("warning")["blob"], "notes.txt");
  std::filesystem::remove(lab.cli.Path("vault/notes.txt"));
  lab.cli.WriteFile("vault/" + prefix + "disks/old.vhd", "mine");
  EXPECT_EQ(OnlyFinding("warning")["blob"], prefix + "disks/old.vhd");
  std::filesystem::remove(lab.ItemPath("disks/old.vhd"));
  lab.cli.WriteFile("vault/items/readme", "mine");
  EXPECT_EQ(OnlyFinding("warning")["blob"], "items/readme");
}

TEST_F(VaultCheckTest, AnItemWithoutPoints) {
  for (const std::string& point : points) lab.Remove({point});
  EXPECT_THAT(OnlyFinding("error")["action"].get<std::string>(), HasSubstr("bring them back"));
}

// Their snapshots are all that is left: nothing drops them before the documents are back.
TEST_F(VaultCheckTest, LostPointDocumentsCostNoSnapshot) {
  const std::string kept = lab.cli.Path("kept");
  std::filesystem::rename(lab.ItemPath("points"), kept);
  EXPECT_THAT(OnlyFinding("error")["message"].get<std::string>(), HasSubstr("all its recovery"));
  for (const char* verb : {"replicate web", "points prune web -y", "resync web --now"}) {
    const CommandResult refused = lab.cli.Run(verb);
    EXPECT_EQ(refused.exit_code, 1) << verb;
    EXPECT_THAT(refused.err, HasSubstr("back from a copy")) << verb;
  }
  std::filesystem::remove_all(lab.ItemPath("points"));
  std::filesystem::rename(kept, lab.ItemPath("points"));
  EXPECT_EQ(lab.cli.Run("points verify web").exit_code, 0);
  EXPECT_THAT(Findings(0), IsEmpty());
}

// Two older ones, or two newer ones, are more than a crash leaves.
TEST_F(VaultCheckTest, SomeLostPointDocumentsCostNoSnapshot) {
  lab.Replicate(2);
  lab.Replicate(3);
  const std::vector<PointId> all = lab.points();
  ASSERT_EQ(all.size(), 4U);
  for (const std::size_t first : {0U, 1U, 2U}) {
    for (const std::size_t i : {first, first + 1}) {
      std::filesystem::rename(lab.ItemPath("points/" + all[i].value + ".json"),
                              lab.cli.Path(all[i].value));
    }
    const Json finding = OnlyFinding("error");
    EXPECT_EQ(finding["blob"], prefix + "points/");
    EXPECT_THAT(finding["action"].get<std::string>(), HasSubstr("asr points prune web"));
    for (const char* verb :
         {"replicate web", "resync web --now", "resync web --now --deep", "vault rollback web"}) {
      const CommandResult refused = lab.cli.Run(verb);
      EXPECT_EQ(refused.exit_code, 1) << verb;
      EXPECT_THAT(refused.err, HasSubstr("back from a copy")) << verb;
    }
    EXPECT_EQ(lab.cli.Run("points prune web").exit_code, 2);
    EXPECT_EQ(lab.cli.Json("points prune web --dry-run")["plan"].size(), 2U);
    for (const std::size_t i : {first, first + 1}) {
      std::filesystem::rename(lab.cli.Path(all[i].value),
                              lab.ItemPath("points/" + all[i].value + ".json"));
    }
    EXPECT_EQ(lab.DamageOfPoints(), std::vector<std::string>());
    EXPECT_THAT(Findings(0), IsEmpty());
  }
}

TEST_F(VaultCheckTest, WhoDoesNotNeedLostPointsPrunes) {
  lab.Replicate(2);
  lab.Replicate(3);
  const std::vector<PointId> all = lab.points();
  for (const std::size_t i : {1U, 2U}) {
    std::filesystem::remove(lab.ItemPath("points/" + all[i].value + ".json"));
  }
  lab.cli.terminal.in_is_terminal = true;
  lab.cli.typed = "n\n";
  const CommandResult asked = lab.cli.Run("points prune web");
  EXPECT_EQ(asked.exit_code, 130);
  EXPECT_THAT(asked.err, HasSubstr("2 more hold whose documents are gone"));
  lab.cli.terminal.in_is_terminal = false;
  EXPECT_EQ(OnlyFinding("error")["blob"], prefix + "points/");
  EXPECT_EQ(lab.cli.Run("points prune web --yes").exit_code, 0);
  EXPECT_THAT(Findings(0), IsEmpty());
  EXPECT_THAT(lab.points(), ElementsAre(all[0], all[3]));
  EXPECT_EQ(lab.cli.Run("points verify web").exit_code, 0);
  lab.Replicate(4);
}

// What a removal that was cut, and a seal that was cut, leave at most.
TEST_F(VaultCheckTest, OneOlderAndOneNewerSnapshotAreDropped) {
  lab.Replicate(2);
  const std::vector<PointId> all = lab.points();
  for (const std::size_t i : {0U, 2U}) {
    std::filesystem::remove(lab.ItemPath("points/" + all[i].value + ".json"));
  }
  for (const Json& finding : Findings(0)) EXPECT_EQ(finding["severity"], "note");
  EXPECT_EQ(Findings(0).size(), 2U);
  lab.Replicate(3);
  EXPECT_THAT(Findings(0), IsEmpty());
  EXPECT_EQ(lab.cli.Run("points verify web").exit_code, 0);
}

TEST_F(VaultCheckTest, AnInterruptedSealIsDroppedByTheNextReplication) {
  std::filesystem::remove(lab.ItemPath("points/" + points[0] + ".json"));
  EXPECT_THAT(OnlyFinding("note")["message"].get<std::string>(), HasSubstr(points[0]));
  lab.Replicate(2);
  EXPECT_THAT(Findings(0), IsEmpty());
}

TEST_F(VaultCheckTest, WriteIntentsOfAnInterruptedReplication) {
  {
    const Item item = lab.item();
    auto table =
        DigestTable::Open(lab.vault->store(), layout::DigestBlob(item.id, item.disks[0].name),
                          lab.vault->identity().algorithm, item.disks[0].size_bytes);
    ASSERT_TRUE(table.has_value());
    const std::vector<ChangedChunks> changes = {{.group = 0, .chunk_mask = 0b111}};
    ASSERT_TRUE(table->MarkUnknown(changes).has_value());
  }
  EXPECT_THAT(OnlyFinding("note")["action"].get<std::string>(),
              HasSubstr("the next replication sends 3 chunk(s) again"));
  EXPECT_EQ(lab.cli.Run("points verify web").exit_code, 0);
  lab.Replicate(2);
  EXPECT_THAT(Findings(0), IsEmpty());
}

TEST_F(VaultCheckTest, InterruptedStatesNameTheCommand) {
  PutItem([](Item& item) { item.state = ProtectionState::kInitialReplicationInProgress; });
  EXPECT_THAT(OnlyFinding("note")["action"].get<std::string>(),
              HasSubstr("asr enable web --policy gold"));
  PutItem([](Item& item) { item.state = ProtectionState::kDisablingProtection; });
  EXPECT_THAT(OnlyFinding("note")["action"].get<std::string>(), HasSubstr("asr disable web"));
}

TEST_F(VaultCheckTest, PinsThatKeepNothing) {
  const ItemId item = lab.item().id;
  const Timestamp now = SystemClock().Now();
  auto pin = lab.vault->PinPoint(item, {points[0]}, "test", now - std::chrono::hours(1));
  ASSERT_TRUE(pin.has_value());
  EXPECT_THAT(OnlyFinding("note")["message"].get<std::string>(), HasSubstr("expired"));
  ASSERT_TRUE(lab.vault->UnpinPoint(item, *pin).has_value());
  pin = lab.vault->PinPoint(item, {"20000101T000000.000Z"}, "test", now + std::chrono::hours(1));
  ASSERT_TRUE(pin.has_value());
  EXPECT_THAT(OnlyFinding("note")["message"].get<std::string>(), HasSubstr("gone"));
}

TEST_F(VaultCheckTest, ChangesThatWaitOnThisMachine) {
  const std::string folder =
      "state/changes/" + lab.vault->identity().id + "/" + lab.item().id.value + "/";
  std::filesystem::create_directories(lab.cli.Path(folder));
  lab.cli.WriteFile(folder + "20261123T063000.123Z.json", "{}");
  EXPECT_THAT(OnlyFinding("note")["message"].get<std::string>(), HasSubstr("20261123T063000.123Z"));
}

TEST_F(VaultCheckTest, AnotherVaultInItsPlace) {
  lab.cli.Json("vault create other --target {dir}/other");
  std::filesystem::copy_file(lab.cli.Path("other/vault.json"), lab.cli.Path("vault/vault.json"),
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_THAT(OnlyFinding("error")["action"].get<std::string>(), HasSubstr("asr vault connect"));
}

TEST_F(VaultCheckTest, APlaceThatIsNotThereIs3) {
  std::filesystem::rename(lab.cli.Path("vault"), lab.cli.Path("elsewhere"));
  EXPECT_EQ(lab.cli.Run("vault check").exit_code, 3);
  std::filesystem::create_directory(lab.cli.Path("vault"));
  EXPECT_EQ(lab.cli.Run("vault check").exit_code, 3);
}

// A machine's files that lie on NFS.
struct NetworkFileSystem : FaultFileSystem {
  using FaultFileSystem::FaultFileSystem;
  Result<std::string> NetworkType(const std::string&) override { return std::string("NFS"); }
};

TEST_F(VaultCheckTest, PicturesOfProofsArePartOfThePointAndGoWithIt) {
  const PointId point{points.back()};
  const auto now = SystemClock().Now();
  const auto add = [&](const std::string& picture) {
    return lab.vault->AddProof(lab.item().id, point, {.booted = true}, now, picture);
  };
  ASSERT_TRUE(add("a picture"));
  EXPECT_THAT(Findings(0), IsEmpty());
  const auto proof = lab.vault->ReadProof(lab.item().id, point);
  ASSERT_TRUE(proof && *proof && (*proof)->screenshot);
  EXPECT_EQ(lab.vault->ReadScreenshot(*(*proof)->screenshot).value(), "a picture");
  const std::string blob = lab.cli.Path("vault/" + (*proof)->screenshot->path);
  const auto write = [&](const std::string& text) { std::ofstream(blob) << text; };
  write("b picture");
  EXPECT_THAT(OnlyFinding("warning")["message"], HasSubstr("not the one"));
  EXPECT_FALSE(lab.vault->ReadScreenshot(*(*proof)->screenshot));
  std::filesystem::remove(blob);
  EXPECT_THAT(OnlyFinding("warning")["message"], HasSubstr("missing"));
  write("a picture");
  EXPECT_THAT(Findings(0), IsEmpty());
  lab.Remove(point);
  EXPECT_THAT(lab.cli.Tree("vault/" + prefix + "points/" + point.value + ".proof"), IsEmpty());
  // A test that ends when its point is gone leaves nothing.
  ASSERT_TRUE(add("a picture"));
  EXPECT_THAT(lab.cli.Tree("vault/" + prefix + "points/" + point.value + ".proof"), IsEmpty());
  EXPECT_THAT(Findings(0), IsEmpty());
}

TEST_F(VaultCheckTest, ANetworkFileSystemIsAWarning) {
  NetworkFileSystem fs(PosixFileSystem());
  const auto state = StateDatabase::Open(PosixFileSystem(), SystemClock(), lab.cli.Path("state"));
  ASSERT_TRUE(state.has_value());
  Environment environment{.fs = fs,
                          .clock = SystemClock(),
                          .state = **state,
                          .progress = NoProgress(),
                          .state_directory = lab.cli.Path("state"),
                          .stop = {}};
  const auto registration = (*state)->FindVault("main");
  ASSERT_TRUE(registration.has_value());
  const auto report = CheckVault(environment, *registration);
  ASSERT_TRUE(report.has_value()) << report.error().Line();
  ASSERT_EQ(report->findings.size(), 1U);
  EXPECT_EQ(report->findings[0].severity, Severity::kWarning);
  EXPECT_THAT(report->findings[0].message, HasSubstr("NFS"));
  EXPECT_TRUE(report->is_healthy());
  EXPECT_THAT(NetworkWarning(environment, *registration), HasSubstr("NFS"));
}

}  // namespace
}  // namespace asr::testing
