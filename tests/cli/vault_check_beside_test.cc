// A check of the vault beside those who work on it, and where it cannot read everything.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <functional>

#include "core/jobs/check_vault.h"
#include "core/jobs/vaults.h"
#include "core/vault/layout.h"
#include "tests/support/counting_store.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/protected_lab.h"

namespace asr::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Lets others work at a given read, once.
class BusyStore : public CountingStore {
 public:
  BusyStore(std::unique_ptr<BlobStore> base, int at, std::function<void()> work)
      : CountingStore(std::move(base)), at_(at), work_(std::move(work)) {}

  Result<std::string> Get(const std::string& name) override {
    Step();
    return CountingStore::Get(name);
  }
  Result<std::vector<BlobInfo>> List(const std::string& prefix) override {
    Step();
    return CountingStore::List(prefix);
  }
  Result<std::vector<std::string>> ListNames(const std::string& prefix) override {
    Step();
    return CountingStore::ListNames(prefix);
  }
  Result<std::vector<SnapshotId>> ListSnapshots(const std::string& name) override {
    Step();
    return CountingStore::ListSnapshots(name);
  }
  Result<std::unique_ptr<PageBlobReader>> OpenPageBlobReader(
      const std::string& name, const std::optional<SnapshotId>& snapshot) override {
    Step();
    return CountingStore::OpenPageBlobReader(name, snapshot);
  }

  [[nodiscard]] bool has_worked() const { return steps_ >= at_; }

 private:
  void Step() {
    if (++steps_ == at_) work_();
  }

  int steps_ = 0;
  int at_;
  std::function<void()> work_;
};

constexpr const char* kWhileItIsCopied =
    "if the vault is being copied or brought back, let that end first; then ";

class VaultCheckBesideTest : public ::testing::Test {
 protected:
  // Errors and warnings of a check that is overtaken at its `at`th step. `done` is set once the
  // check ended before that.
  std::vector<std::string> Check(int at, const std::function<void()>& work, bool& done) {
    BusyStore store(OpenDirectoryStore(PosixFileSystem(), lab.cli.Path("vault"), false).value(), at,
                    work);
    const auto report = CheckContent(store, SystemClock().Now(), {});
    EXPECT_TRUE(report.has_value());
    done = !store.has_worked();
    std::vector<std::string> texts;
    if (!report) return texts;
    for (const Finding& finding : report->findings) {
      if (finding.severity != Severity::kNote)
        texts.push_back(finding.blob + ": " + finding.message);
    }
    return texts;
  }

  ProtectedLab lab;
};

TEST_F(VaultCheckBesideTest, AReplicationIsNoFinding) {
  bool done = false;
  for (int at = 1; !done; ++at) {
    const auto found = Check(
        at, [&] { lab.Replicate(at % 9 + 1); }, done);
    EXPECT_THAT(found, IsEmpty()) << "step " << at;
    while (lab.points().size() > 2) lab.Remove(lab.points().back());
  }
}

TEST_F(VaultCheckBesideTest, AResyncAndARemovalAreNoFindings) {
  bool done = false;
  for (int at = 1; !done; ++at) {
    const auto work = [&] {
      lab.cli.Json("resync web --now");
      lab.Remove(lab.points().back());
    };
    EXPECT_THAT(Check(at, work, done), IsEmpty()) << "step " << at;
  }
}

TEST_F(VaultCheckBesideTest, ADeletionIsNoFinding) {
  for (const bool kept : {false, true}) {
    bool done = false;
    for (int at = 1; !done; ++at) {
      if (kept) lab.cli.Json("disable web --keep-data");
      const auto work = [&] { lab.cli.Json(kept ? "items delete web -y" : "disable web -y"); };
      EXPECT_THAT(Check(at, work, done), IsEmpty()) << "step " << at << " kept " << kept;
      if (done && kept) lab.cli.Json("items delete web -y");
      if (!done || kept) lab.cli.Json("enable web --policy gold");
    }
  }
}

TEST_F(VaultCheckBesideTest, AnItemThatIsDamagedMeanwhileIsFound) {
  bool done = false;
  const std::string document = "vault/" + layout::ItemDocument(lab.item().id);
  const std::string whole = lab.cli.ReadFile(lab.cli.Path(document));
  // Not in the first steps, which look for the vault's own documents.
  const auto found = Check(
      6, [&] { lab.cli.WriteFile(document, "x"); }, done);
  EXPECT_FALSE(found.empty());
}

TEST_F(VaultCheckBesideTest, UndoFilesOffTheChain) {
  lab.Replicate(1);
  const std::string older = lab.points().back().value;
  // Between the two in the order of names; no header names it.
  lab.cli.WriteFile("vault/items/" + lab.item().id.value + "/disks/root.vhd.undo/" + older + "a",
                    "");
  const auto findings = lab.cli.Json("vault check")["findings"];
  ASSERT_EQ(findings.size(), 1U) << findings.dump(2);
  EXPECT_EQ(findings[0]["severity"], "note");
  EXPECT_EQ(findings[0]["blob"], "items/" + lab.item().id.value + "/disks/root.vhd");
  EXPECT_THAT(findings[0]["message"].get<std::string>(), HasSubstr(older + "a"));
  lab.Replicate(2);
  EXPECT_THAT(lab.cli.Json("vault check")["findings"], IsEmpty());
}

TEST_F(VaultCheckBesideTest, UndoFilesOfNoDisk) {
  for (const std::string& item : {lab.item().id.value, std::string("gone-12345678")}) {
    const std::string ghost = "vault/items/" + item + "/disks/old.vhd.undo";
    std::filesystem::create_directories(lab.cli.Path(ghost));
    lab.cli.WriteFile(ghost + "/20200101T000000.000Z", "");
    const auto findings = lab.cli.Json("vault check")["findings"];
    ASSERT_EQ(findings.size(), 1U) << findings.dump(2);
    EXPECT_EQ(findings[0]["severity"], "warning");
    EXPECT_THAT(
        findings[0]["action"].get<std::string>(),
        ::testing::AllOf(::testing::StartsWith(kWhileItIsCopied), HasSubstr("disks/old.vhd.undo")));
    std::filesystem::remove_all(lab.cli.Path(ghost));
  }
}

// A vault that is being copied lacks documents and disks for a while.
TEST_F(VaultCheckBesideTest, NoAdviceLosesWhatIsBeingCopied) {
  const std::string gone = "vault/items/gone-12345678/disks";
  std::filesystem::create_directories(lab.cli.Path(gone));
  lab.cli.WriteFile(gone + "/old.vhd", "x");
  const auto findings = lab.cli.Json("vault check")["findings"];
  ASSERT_EQ(findings.size(), 1U) << findings.dump(2);
  EXPECT_THAT(findings[0]["action"].get<std::string>(), ::testing::StartsWith(kWhileItIsCopied));
}

// Undo files of an item whose document is missing, or cannot be read just now, may be needed.
TEST_F(VaultCheckBesideTest, UndoFilesOfAnItemThatCannotBeReadAreNotGivenUp) {
  lab.Replicate(1);
  const std::string document = lab.ItemPath("item.json");
  const std::string points = lab.ItemPath("points");
  std::filesystem::remove(lab.ItemPath("disks/root.vhd"));
  const auto state = StateDatabase::Open(PosixFileSystem(), SystemClock(), lab.cli.Path("state"));
  ASSERT_TRUE(state.has_value());
  const auto registration = (*state)->FindVault("main");
  ASSERT_TRUE(registration.has_value());
  const auto advised = [&](bool document_is_readable) {
    FaultFileSystem fs(PosixFileSystem());
    fs.before_read = [&](const std::string& path, Extent) -> Status {
      if (document_is_readable || !path.ends_with("/item.json")) return {};
      return Fail(ErrnoError(EIO, "cannot read " + path));
    };
    Environment environment{.fs = fs,
                            .clock = SystemClock(),
                            .state = **state,
                            .progress = NoProgress(),
                            .state_directory = lab.cli.Path("state"),
                            .stop = {}};
    const auto report = CheckVault(environment, *registration);
    EXPECT_TRUE(report.has_value());
    return report && std::ranges::any_of(report->findings, [](const Finding& finding) {
             return finding.action.find(".undo by hand") != std::string::npos;
           });
  };
  std::filesystem::rename(document, lab.cli.Path("kept.json"));
  EXPECT_FALSE(advised(true));
  std::filesystem::rename(lab.cli.Path("kept.json"), document);
  std::filesystem::remove_all(points);
  EXPECT_FALSE(advised(false));
  // Without both it is no item.
  std::filesystem::remove(document);
  EXPECT_TRUE(advised(true));
}

// A deletion that was cut leaves such files; the next one of the item takes them along.
TEST_F(VaultCheckBesideTest, ADeletionTakesGhostsAlong) {
  const std::string directory = lab.ItemPath("");
  std::filesystem::remove(lab.ItemPath("disks/root.vhd"));
  std::filesystem::create_directories(lab.ItemPath("disks/old.vhd.undo"));
  lab.cli.Json("disable web -y");
  EXPECT_FALSE(std::filesystem::exists(directory));
}

// What could not be read may be whole.
TEST_F(VaultCheckBesideTest, TroubleWithReadingIsNoDamage) {
  const auto state = StateDatabase::Open(PosixFileSystem(), SystemClock(), lab.cli.Path("state"));
  ASSERT_TRUE(state.has_value());
  const auto registration = (*state)->FindVault("main");
  ASSERT_TRUE(registration.has_value());
  int told = 0;
  for (const int errno_value : {EMFILE, EACCES, EIO}) {
    bool failed = true;
    for (std::uint64_t call = 1; failed; ++call) {
      FaultFileSystem fs(PosixFileSystem());
      Environment environment{.fs = fs,
                              .clock = SystemClock(),
                              .state = **state,
                              .progress = NoProgress(),
                              .state_directory = lab.cli.Path("state"),
                              .stop = {}};
      fs.FailAt(call, errno_value);
      const auto report = CheckVault(environment, *registration);
      failed = fs.has_failed();
      if (!report) continue;
      for (const Finding& finding : report->findings) {
        EXPECT_THAT(finding.message, HasSubstr("could not be read")) << errno_value << " " << call;
        EXPECT_FALSE(finding.action.empty());
        ++told;
      }
    }
  }
  EXPECT_GT(told, 10);
}

}  // namespace
}  // namespace asr::testing
