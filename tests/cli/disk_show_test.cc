// What `asr disk show` says of an image, as scripts read it.
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/cli_runner.h"
#include "tests/support/image_file.h"
#include "tests/support/qcow2_builder.h"
#include "tests/support/qemu_lock.h"
#include "tests/support/vhd_builder.h"
#include "tests/support/vhdx_builder.h"
#include "tests/support/vhdx_log_builder.h"

namespace asr::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using Json = nlohmann::ordered_json;

class DiskShowTest : public ::testing::Test {
 protected:
  DiskShowTest() { content_.AddPiece(kMiB, 4096); }

  std::vector<std::string> ProblemsOf(const Json& disk) {
    std::vector<std::string> problems;
    for (const Json& problem : disk["problems"]) problems.push_back(problem["message"]);
    return problems;
  }

  CliRunner cli;
  DiskContent content_{8 * kMiB};
};

TEST_F(DiskShowTest, AChainOfVhdxWithItsIds) {
  VhdxBuilder base(content_, 1024 * 1024, 4096);
  base.data_write_guid = VhdxBuilder::GuidOf(1);
  base.Write(cli.Path("base.vhdx"));
  VhdxBuilder leaf(content_, 2 * 1024 * 1024, 4096);
  leaf.data_write_guid = VhdxBuilder::GuidOf(2);
  leaf.MakeChildOf(VhdxBuilder::GuidOf(1), u"base.vhdx");
  leaf.Write(cli.Path("leaf.avhdx"));
  const Json disk = cli.Json("disk show {dir}/leaf.avhdx");
  EXPECT_EQ(disk["path"], cli.Path("leaf.avhdx"));
  EXPECT_EQ(disk["format"], "vhdx");
  EXPECT_EQ(disk["kind"], "differencing");
  EXPECT_EQ(disk["sizeBytes"], 8 * kMiB);
  EXPECT_EQ(disk["logicalSectorBytes"], 4096);
  EXPECT_EQ(disk["physicalSectorBytes"], 4096);
  EXPECT_EQ(disk["blockBytes"], 2 * kMiB);
  EXPECT_EQ(disk["logState"], "clean");
  EXPECT_TRUE(disk["problems"].empty());
  ASSERT_EQ(disk["chain"].size(), 2U);
  const Json& child = disk["chain"][0];
  const Json& parent = disk["chain"][1];
  EXPECT_THAT(child["id"].get<std::string>(), MatchesRegex(".*02020202.*"));
  EXPECT_EQ(child["parentIds"], Json::array({parent["id"]}));
  EXPECT_EQ(child["format"], "vhdx");
  EXPECT_EQ(child["fileBytes"], FileSize(cli.Path("leaf.avhdx")));
  EXPECT_THAT(parent["id"].get<std::string>(), MatchesRegex(".*01010101.*"));
  EXPECT_EQ(parent["kind"], "dynamic");
  EXPECT_TRUE(parent["parentIds"].empty());
}

TEST_F(DiskShowTest, AllocationIsWhatIsNotAHole) {
  VhdBuilder builder(content_);
  builder.data_alignment_bytes = 4096;
  builder.Write(cli.Path("disk.vhd"));
  const Json disk = cli.Json("disk show {dir}/disk.vhd");
  EXPECT_EQ(disk["kind"], "dynamic");
  EXPECT_EQ(disk["logicalSectorBytes"], 512);
  EXPECT_EQ(disk["allocatedBytes"], 4096);
  EXPECT_TRUE(disk["logState"].is_null());
}

TEST_F(DiskShowTest, ALogThatWasReplayed) {
  VhdxBuilder(content_).Write(cli.Path("disk.vhdx"));
  VhdxLogBuilder log(cli.Path("disk.vhdx"));
  VhdxLogEntry entry;
  log.Undo({VhdxBuilder::kTableOffset, 4096}, entry);
  log.Append(entry);
  const Json disk = cli.Json("disk show {dir}/disk.vhdx");
  EXPECT_EQ(disk["logState"], "dirty");
  EXPECT_EQ(disk["chain"][0]["logState"], disk["logState"]);
}

TEST_F(DiskShowTest, ProblemsNameTheirFile) {
  VhdBuilder builder(content_);
  builder.footer_is_missing = true;
  builder.Write(cli.Path("disk.vhd"));
  const QemuLock writer(cli.Path("disk.vhd"));
  const Json disk = cli.Json("disk show {dir}/disk.vhd");
  EXPECT_THAT(ProblemsOf(disk), ElementsAre(cli.Path("disk.vhd") + ": QEMU has it open for writing",
                                            HasSubstr("disk.vhd: the footer")));
}

TEST_F(DiskShowTest, AQcow2InUseIsRefused) {
  Qcow2Builder().Write(cli.Path("disk.qcow2"));
  const QemuLock writer(cli.Path("disk.qcow2"));
  const CommandResult shown = cli.Run("disk show {dir}/disk.qcow2 -o json");
  EXPECT_EQ(shown.ErrJson()["error"]["code"], "ASR1107");
}

TEST_F(DiskShowTest, AQcow2OverARawSaysWhichIsWhich) {
  ImageFileMaker(cli.Path("base.img")).Resize(kMiB);
  Qcow2Builder leaf;
  leaf.disk_bytes = kMiB;
  leaf.incompatible_features = 1;  // its writer was killed
  leaf.SetBacking("base.img", "raw");
  leaf.Write(cli.Path("leaf.qcow2"));
  const Json disk = cli.Json("disk show {dir}/leaf.qcow2");
  ASSERT_EQ(disk["chain"].size(), 2U);
  EXPECT_EQ(disk["chain"][0]["format"], "qcow2");
  EXPECT_EQ(disk["chain"][1]["format"], "raw");
  EXPECT_THAT(disk["chain"][1]["path"].get<std::string>(), EndsWith("base.img"));
  EXPECT_THAT(ProblemsOf(disk), ElementsAre(HasSubstr("leaf.qcow2: QEMU was killed")));
  EXPECT_THAT(cli.Run("disk show {dir}/leaf.qcow2").out, HasSubstr("raw"));
}

}  // namespace
}  // namespace asr::testing
