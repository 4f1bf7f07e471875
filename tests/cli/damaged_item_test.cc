// Documents that are damaged stop what needs them, and nothing else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "core/vault/documents.h"
#include "core/vault/layout.h"
#include "tests/support/protected_lab.h"

namespace asr::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Json = nlohmann::ordered_json;

class DamagedItemTest : public ::testing::Test {
 protected:
  void SetUp() override {
    lab.Replicate(1);
    id = lab.item().id;
    points = lab.points();
    document = lab.ItemPath("item.json");
  }

  void Damage() {
    lab.cli.WriteFile("vault/" + layout::ItemDocument(id), "{ \"version\": 1, torn");
  }

  void AddVm(const std::string& name) {
    std::filesystem::copy(lab.cli.Path("vms/web"), lab.cli.Path("vms/" + name));
  }

  // The newest point, restored, is what the disks hold now.
  void ExpectRestorable(const std::string& name) {
    const std::string out = "out-" + std::to_string(++restores_);
    const CommandResult restored = lab.cli.Run("restore " + name + " --to {dir}/" + out);
    ASSERT_EQ(restored.exit_code, 0) << restored.err;
    EXPECT_THAT(restored.err, HasSubstr(layout::ItemDocument(id)));
    for (const char* disk : {"root.raw", "data.raw"}) {
      EXPECT_EQ(lab.cli.ReadFile(lab.cli.Path(out + "/" + disk)),
                lab.cli.ReadFile(lab.cli.Path(std::string("vms/web/") + disk)));
    }
  }

  ProtectedLab lab;
  ItemId id;
  std::vector<PointId> points;
  std::string document;

 private:
  int restores_ = 0;
};

TEST_F(DamagedItemTest, StopsNoOtherVm) {
  Damage();
  AddVm("mail");
  const CommandResult planned = lab.cli.Run("enable mail --policy gold --dry-run -o json");
  EXPECT_EQ(planned.exit_code, 0) << planned.err;
  EXPECT_THAT(planned.OutJson()["warnings"].dump(), HasSubstr(layout::ItemDocument(id)));
  const CommandResult enabled = lab.cli.Run("enable mail --policy gold");
  EXPECT_EQ(enabled.exit_code, 0) << enabled.err;
  EXPECT_THAT(enabled.err, HasSubstr(layout::ItemDocument(id)));
  EXPECT_EQ(lab.cli.Json("replicate mail")["job"]["state"], "Succeeded");
  EXPECT_EQ(lab.cli.Run("items show nobody").exit_code, 3);
}

TEST_F(DamagedItemTest, MayBeTheVmThatIsEnabled) {
  Damage();
  AddVm("WEB");
  for (const char* name : {"web", "WEB"}) {
    const CommandResult refused = lab.cli.Run(std::string("enable ") + name + " --policy gold");
    EXPECT_EQ(refused.exit_code, 1) << name;
    EXPECT_THAT(refused.err, AllOf(HasSubstr(id.value), HasSubstr("asr items delete"))) << name;
  }
}

TEST_F(DamagedItemTest, ItsPointsAreListedAndRestored) {
  for (const bool missing : {false, true}) {
    if (missing) std::filesystem::remove(document);
    if (!missing) Damage();
    const Json list = lab.cli.Json("points list web");
    ASSERT_EQ(list.size(), 2U);
    EXPECT_EQ(list[0]["id"], points[0].value);
    EXPECT_EQ(lab.cli.Json("points show " + id.value)["id"], points[0].value);
    ExpectRestorable("web");
    ExpectRestorable(id.value);
    const Json plan = lab.cli.Json("test-failover web --dry-run");
    EXPECT_EQ(plan["plan"].size(), 5U);  // space, two disks, start, wait
    // What writes needs the document.
    for (const char* verb : {"replicate web", "resync web --now", "vault rollback web"}) {
      EXPECT_EQ(lab.cli.Run(verb).exit_code, 1) << verb;
    }
  }
}

TEST_F(DamagedItemTest, AnOlderPointIsEnoughToRestore) {
  Damage();
  lab.cli.WriteFile("vault/" + layout::PointDocument(id, points[0]), "x");
  EXPECT_EQ(lab.cli.Run("restore web --to {dir}/a --point " + points[1].value).exit_code, 0);
  lab.cli.WriteFile("vault/" + layout::PointDocument(id, points[1]), "x");
  EXPECT_EQ(lab.cli.Run("restore web --to {dir}/b").exit_code, 1);
}

TEST_F(DamagedItemTest, IsDeletedByWhoInsists) {
  int round = 1;
  for (const char* verb : {"items delete web", "disable web"}) {
    Damage();
    EXPECT_EQ(lab.cli.Run(verb).exit_code, 2) << verb;
    const CommandResult planned = lab.cli.Run(std::string(verb) + " --dry-run -o json");
    EXPECT_EQ(planned.OutJson()["plan"].size(), 3U) << planned.out << planned.err;
    lab.cli.terminal.in_is_terminal = true;
    lab.cli.typed = "n\n";
    const CommandResult asked = lab.cli.Run(verb);
    EXPECT_EQ(asked.exit_code, 130) << verb;
    EXPECT_THAT(asked.err, AllOf(HasSubstr(id.value), HasSubstr("2 recovery points")));
    lab.cli.terminal.in_is_terminal = false;
    EXPECT_THAT(lab.vault->ListPointIds(id).value(), ::testing::SizeIs(2));
    EXPECT_EQ(lab.cli.Run(std::string(verb) + " --yes").exit_code, 0) << verb;
    EXPECT_FALSE(std::filesystem::exists(lab.cli.Path("vault/items/" + id.value)));
    lab.cli.Json("enable web --policy gold");
    lab.Replicate(++round);
    id = lab.item().id;
  }
}

TEST_F(DamagedItemTest, GoesWithItsVault) {
  // What is left of this disk shows in no list of blobs.
  std::filesystem::remove(lab.ItemPath("disks/root.vhd"));
  Damage();
  const CommandResult planned = lab.cli.Run("vault delete main --dry-run -o json");
  EXPECT_THAT(planned.out, AllOf(HasSubstr("Delete 2 recovery points"), HasSubstr(id.value)));
  lab.cli.terminal.in_is_terminal = true;
  lab.cli.typed = "n\n";
  const CommandResult asked = lab.cli.Run("vault delete main");
  EXPECT_EQ(asked.exit_code, 130);
  EXPECT_THAT(asked.err, HasSubstr("1 replicated items and 2 recovery points"));
  lab.cli.terminal.in_is_terminal = false;
  {
    const auto lease = lab.vault->store().AcquireLease(layout::ItemLease(id));
    ASSERT_TRUE(lease.has_value());
    EXPECT_NE(lab.cli.Run("vault delete main --yes").exit_code, 0);
    EXPECT_THAT(lab.vault->ListPointIds(id).value(), ::testing::SizeIs(2));
  }
  const CommandResult deleted = lab.cli.Run("vault delete main --yes");
  EXPECT_EQ(deleted.exit_code, 0) << deleted.err;
  EXPECT_FALSE(std::filesystem::exists(lab.cli.Path("vault/items/" + id.value)));
}

TEST_F(DamagedItemTest, WhatIsNoDamageIsNotDeleted) {
  lab.cli.WriteFile("vault/" + layout::ItemDocument(id), "{\"version\": 99}");
  EXPECT_EQ(lab.cli.Run("items delete web -y").exit_code, 4);
  Damage();
  EXPECT_EQ(lab.cli.Run("disable web --keep-data").exit_code, 1);
  EXPECT_THAT(lab.vault->ListPointIds(id).value(), ::testing::SizeIs(2));
  // A process that has the item's lease writes it now.
  const auto lease = lab.vault->store().AcquireLease(layout::ItemLease(id));
  ASSERT_TRUE(lease.has_value());
  EXPECT_NE(lab.cli.Run("items delete web -y").exit_code, 0);
  EXPECT_THAT(lab.vault->ListPointIds(id).value(), ::testing::SizeIs(2));
}

TEST_F(DamagedItemTest, ADocumentThatIsBackIsNotDeleted) {
  EXPECT_EQ(lab.vault->DeleteDamagedItem(id).error().code, ErrorCode::kItemState);
  EXPECT_THAT(lab.vault->ListPointIds(id).value(), ::testing::SizeIs(2));
}

// Which of the two is meant, nobody can tell.
TEST_F(DamagedItemTest, IsNotTakenForAKeptOne) {
  lab.cli.Json("disable web --keep-data");
  lab.cli.Json("enable web --policy gold");
  const Item live = lab.item();
  ASSERT_NE(live.id, id);
  lab.cli.WriteFile("vault/" + layout::ItemDocument(live.id), "x");
  const CommandResult refused = lab.cli.Run("restore web --to {dir}/out");
  EXPECT_EQ(refused.exit_code, 4);
  EXPECT_THAT(refused.err, AllOf(HasSubstr(id.value), HasSubstr(live.id.value)));
  EXPECT_EQ(lab.cli.Run("restore " + id.value + " --to {dir}/out").exit_code, 0);
}

TEST_F(DamagedItemTest, VaultCheckTellsWhatToDo) {
  Damage();
  const CommandResult checked = lab.cli.Run("vault check -o json");
  EXPECT_EQ(checked.exit_code, 1);
  const Json findings = checked.OutJson()["findings"];
  ASSERT_EQ(findings.size(), 1U) << findings.dump(2);
  EXPECT_THAT(findings[0]["action"].get<std::string>(), HasSubstr("asr restore " + id.value));
  std::filesystem::remove(document);
  EXPECT_THAT(
      lab.cli.Run("vault check -o json").OutJson()["findings"][0]["action"].get<std::string>(),
      HasSubstr("asr restore " + id.value));
}

class DamagedPinTest : public DamagedItemTest {
 protected:
  std::string PinPath(const std::string& pin) {
    return "vault/" + layout::PinsPrefix(id) + pin + ".json";
  }
};

TEST_F(DamagedPinTest, AHoldIsToldByItsName) {
  lab.cli.Json("points hold web " + points[1].value);
  lab.cli.WriteFile(PinPath("hold-" + points[1].value), "x");
  const CommandResult listed = lab.cli.Run("points list web -o json");
  ASSERT_EQ(listed.exit_code, 0) << listed.err;
  EXPECT_EQ(listed.OutJson()[0]["held"], false);
  EXPECT_EQ(listed.OutJson()[1]["held"], true);
  EXPECT_THAT(listed.err, HasSubstr("hold-" + points[1].value));
  const auto pins = lab.vault->ListPins(id, SystemClock().Now()).value();
  EXPECT_FALSE(pins.may_pin_others);
  ASSERT_EQ(pins.pins.size(), 1U);
  EXPECT_EQ(pins.pins[0].point, points[1]);
  const CommandResult checked = lab.cli.Run("vault check -o json");
  EXPECT_THAT(checked.OutJson()["findings"][0]["action"].get<std::string>(),
              HasSubstr("asr points release"));
  lab.cli.Json("points release web " + points[1].value);
  EXPECT_THAT(lab.cli.Json("vault check")["findings"], IsEmpty());
}

TEST_F(DamagedPinTest, AReadersPinMayKeepAnyPoint) {
  const auto pin =
      lab.vault->PinPoint(id, points[1], "restore", SystemClock().Now() + std::chrono::hours(1));
  ASSERT_TRUE(pin.has_value());
  lab.cli.WriteFile(PinPath(pin->value), "x");
  EXPECT_EQ(lab.cli.Json("points list web").size(), 2U);
  EXPECT_EQ(lab.cli.Json("items show web")["latestPoint"]["id"], points[0].value);
  EXPECT_TRUE(lab.vault->ListPins(id, SystemClock().Now())->may_pin_others);
  const CommandResult pruned = lab.cli.Run("points prune web -y");
  EXPECT_EQ(pruned.exit_code, 0) << pruned.err;
  EXPECT_THAT(pruned.err, AllOf(HasSubstr(pin->value), HasSubstr("removes none")));
  EXPECT_THAT(
      lab.cli.Run("vault check -o json").OutJson()["findings"][0]["action"].get<std::string>(),
      HasSubstr("by hand"));
}

class ProofTest : public DamagedItemTest {
 protected:
  std::vector<std::string> Names(const PointId& point) {
    std::vector<std::string> names;
    const auto blobs = lab.vault->store().List(layout::ProofPrefix(id, point));
    for (const BlobInfo& blob : blobs.value()) {
      names.push_back(blob.name.substr(blob.name.rfind('/') + 1));
    }
    return names;
  }
  void Prove(const std::string& time, const Proof& proof) {
    ASSERT_TRUE(lab.vault->AddProof(id, points[0], proof, *ParseCompactTime(time)).has_value());
  }
};

TEST_F(ProofTest, OneDocumentForEachKind) {
  for (int i = 0; i < 3; ++i) ASSERT_EQ(lab.cli.Run("points verify web").exit_code, 0);
  for (const PointId& point : points) EXPECT_THAT(Names(point), ::testing::SizeIs(1));
}

TEST_F(ProofTest, OnlyWhatALaterOneTellsGoes) {
  const Timestamp time = *ParseCompactTime("20200101T000000.000Z");
  Prove("20200101T000001.000Z", {.notes = "came up"});
  Prove("20200101T000002.000Z", {.verified_at = time});
  Prove("20200101T000003.000Z",
        {.booted = true, .boot_seconds = 3.5, .sign_of_life = "login:", .tested_at = time});
  Prove("20200101T000004.000Z", {.verified_at = time});
  Prove("20200101T000005.000Z", {.booted = false, .tested_at = time});
  EXPECT_THAT(Names(points[0]),
              ElementsAre("20200101T000001.000Z.json", "20200101T000004.000Z.json",
                          "20200101T000005.000Z.json"));
  const Proof proof = **lab.vault->ReadProof(id, points[0]);
  EXPECT_EQ(proof,
            (Proof{.verified_at = time, .booted = false, .tested_at = time, .notes = "came up"}));
}

}  // namespace
}  // namespace asr::testing
