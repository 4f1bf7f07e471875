// Protection that begins with copies of the disks that lie somewhere already.
#include <algorithm>
#include <filesystem>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/render.h"
#include "storage/image/vhd_footer.h"
#include "tests/support/cli_runner.h"
#include "tests/support/page_blob_server/page_blob_server.h"
#include "tests/support/raw_blob_client.h"
#include "tests/support/shell_command.h"

namespace asr {
namespace {

using ::testing::AllOf;
using testing::CliRunner;
using testing::CommandResult;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::PageBlobServer;
using testing::RawClient;

constexpr std::uint64_t kRootBytes = 3 * kMiB + 512;

std::string Footer(std::uint64_t size_bytes) {
  const VhdFooter footer = MakeFixedVhdFooter(size_bytes, {}, 1);
  return {reinterpret_cast<const char*>(footer.data()), footer.size()};
}

std::vector<std::string> TaskNames(const Json& job) {
  std::vector<std::string> names;
  for (const Json& task : job["tasks"]) names.push_back(task["name"]);
  return names;
}

class SeedTest : public ::testing::Test {
 protected:
  SeedTest() {
    cli.SetUpLab();
    root = cli.ReadFile(cli.Path("vms/web/root.raw"));
  }

  // Of one disk, so that no seed has to name it.
  void LeaveOneDisk() { std::filesystem::remove(cli.Path("vms/web/data.raw")); }
  // The root disk as it was, before parts of it changed.
  void WriteOldCopy(const std::string& name) {
    std::string old = root;
    std::fill_n(old.begin() + kMiB, 100, 'x');                  // of two chunks, ...
    std::fill_n(old.begin() + 2 * kMiB + 64 * kKiB, 100, 'y');  // each 64 KiB
    cli.WriteFile(name, old);
  }
  void ExpectRestored() {
    cli.Json("restore web --to {dir}/out --disk root");
    EXPECT_EQ(cli.ReadFile(cli.Path("out/root.raw")), cli.ReadFile(cli.Path("vms/web/root.raw")));
    EXPECT_EQ(cli.Json("resync web --now --deep")["stats"]["bytesSent"], 0);
  }
  // Refused before anything is written.
  Json Refused(const std::string& arguments, int exit_code) {
    const auto before = cli.Tree("vault");
    const CommandResult result = cli.Run("enable web --policy gold " + arguments + " -o json");
    EXPECT_EQ(result.exit_code, exit_code) << arguments << "\n" << result.err;
    EXPECT_TRUE(cli.Tree("vault") == before) << arguments;
    EXPECT_EQ(cli.Json("jobs list").size(), 0U) << arguments;
    return result.ErrJson()["error"];
  }

  CliRunner cli;
  std::string root;
};

TEST_F(SeedTest, OnlyWhatDiffersComesFromTheVm) {
  LeaveOneDisk();
  WriteOldCopy("old.raw");
  const Json plan = cli.Json("enable web --policy gold --seed {dir}/old.raw --dry-run")["plan"];
  EXPECT_EQ(plan[1]["step"], "Seed disk");
  EXPECT_EQ(plan[1]["disk"], "root");
  EXPECT_EQ(plan[1]["bytes"], kRootBytes);
  const Json job = cli.Json("enable web --policy gold --seed {dir}/old.raw");
  EXPECT_THAT(TaskNames(job),
              ElementsAre("Check prerequisites", "Enable protection", "Prepare replica",
                          "Seed disk root", "Take snapshot", "Initial replication of disk root",
                          "Seal recovery point", "Finalize protection"));
  EXPECT_EQ(job["tasks"][3]["bytesDone"], kRootBytes);
  EXPECT_EQ(job["stats"]["bytesSent"], 2 * 64 * kKiB);
  EXPECT_EQ(job["stats"]["bytesRead"], kRootBytes);
  EXPECT_EQ(job["stats"]["bytesSeeded"], kRootBytes);
  EXPECT_EQ(job["stats"]["bytesResumed"], kRootBytes - 2 * 64 * kKiB);
  ExpectRestored();
}

TEST_F(SeedTest, EveryFormatThatIsReadCanBeASeed) {
  LeaveOneDisk();
  WriteOldCopy("old.raw");
  for (const char* format :
       {"vpc -o force_size=on", "vpc -o subformat=fixed,force_size=on", "vhdx", "qcow2"}) {
    const std::string kind(format);
    const std::string name =
        "seed." + (kind.starts_with("vpc") ? "vhd" : kind.substr(0, kind.find(' ')));
    const auto converted = testing::RunShell(fmt::format(
        "cd {} && qemu-img convert -f raw -O {} old.raw {}", cli.Path(""), format, name));
    ASSERT_EQ(converted.exit_code, 0) << converted.text;
    const Json job = cli.Json("enable web --policy gold --seed root={dir}/" + name);
    EXPECT_EQ(job["stats"]["bytesSent"], 2 * 64 * kKiB) << format;
    ExpectRestored();
    cli.Json("disable web --yes");
    std::filesystem::remove_all(cli.Path("out"));
  }
}

TEST_F(SeedTest, ASeedOfAnotherDiskEndsInTheSame) {
  // Also where the VM's disk has zeros, and the seed has none.
  cli.WriteDisk("root.raw", kMiB, std::string(kMiB, '\0'));
  cli.WriteFile("other.raw", std::string(kRootBytes, 'o'));
  const Json job = cli.Json("enable web --policy gold --seed root={dir}/other.raw");
  EXPECT_EQ(job["stats"]["bytesSent"], kRootBytes - kMiB + kMiB);  // and that of disk data
  EXPECT_EQ(job["stats"]["bytesCleared"], kMiB);
  EXPECT_EQ(job["stats"]["bytesResumed"], 0);
  ExpectRestored();
}

TEST_F(SeedTest, EachDiskCanHaveItsSeed) {
  const Json job = cli.Json(
      "enable web --policy gold --seed data={dir}/vms/web/data.raw --seed "
      "root=file://{dir}/vms/web/root.raw");
  EXPECT_EQ(job["stats"]["bytesSent"], 0);  // the very images do no harm
  ExpectRestored();
}

TEST_F(SeedTest, WhatWasKeptOfAnEarlierProtectionIsASeed) {
  cli.Json("enable web --policy gold");
  const std::string id = cli.Json("items show web")["id"];
  cli.Json("disable web --keep-data");
  cli.WriteDisk("root.raw", 70'000, "new");
  // A replica is padded to a whole MiB.
  const Json job =
      cli.Json("enable web --policy gold --seed root={dir}/vault/items/" + id + "/disks/root.vhd");
  EXPECT_EQ(job["stats"]["bytesSent"], 64 * kKiB + kMiB);
  ExpectRestored();
}

TEST_F(SeedTest, WhatCannotBeASeedIsRefusedBeforeAnythingIsWritten) {
  WriteOldCopy("old.raw");
  cli.WriteFile("short.raw", root.substr(0, kMiB));
  cli.WriteFile("long.raw", root + std::string(2 * kMiB, 'l'));
  cli.WriteFile("damaged.vhd", root + std::string(512, 'd'));
  cli.WriteFile("old.img", root);
  const Json plain = Refused("--seed {dir}/old.raw", 2);
  EXPECT_THAT(plain["action"].get<std::string>(), HasSubstr("--seed data="));
  for (const char* size : {"short", "long"}) {
    const Json error = Refused(fmt::format("--seed root={{dir}}/{}.raw", size), 4);
    EXPECT_THAT(error["message"].get<std::string>(),
                AllOf(HasSubstr("disk root"), HasSubstr(std::to_string(kRootBytes))));
    EXPECT_THAT(error["action"].get<std::string>(), HasSubstr("asr enable web"));
  }
  EXPECT_EQ(Refused("--seed root={dir}/none.raw", 3)["code"], "ASR1002");
  EXPECT_EQ(Refused("--seed root={dir}/damaged.vhd", 1)["code"], "ASR1101");
  EXPECT_EQ(Refused("--seed root={dir}/old.img", 4)["code"], "ASR1103");
  EXPECT_THAT(Refused("--seed swap={dir}/old.raw", 3)["action"].get<std::string>(),
              HasSubstr("asr vm show web"));
  Refused("--seed root={dir}/old.raw --seed root={dir}/old.raw", 2);
  Refused("--seed data={dir}/old.raw --exclude-disk data", 2);
  Refused("--seed root=", 2);
  Refused("--seed root=s3://bucket/old.raw", 2);
  Refused("--seed root=file://old.raw", 2);
  Refused("--seed root={dir}/old.raw --seed-credential store", 2);
  Refused("--seed-credential store", 2);
  Refused("--seed root={dir}/none.raw --dry-run", 3);
}

TEST_F(SeedTest, ASecretInASeedsUrlIsRefusedUnseen) {
  const Json error = Refused("--seed root=https://a.blob.core.windows.net/box/x.vhd?sig=hush", 2);
  EXPECT_THAT(error.dump(), AllOf(HasSubstr("--seed-credential"), Not(HasSubstr("hush"))));
  for (const char* url : {"https://a.blob.core.windows.net/box", "https://a.blob.core.windows.net",
                          "https://a.blob.core.windows.net/box/x.vhd?versionid=1"}) {
    Refused(fmt::format("--seed root={}", url), 2);
  }
  EXPECT_THAT(Refused("--seed x?sig=hush", 3).dump(), Not(HasSubstr("hush")));
  // Before it is looked for a VM.
  for (const std::string seed :
       {"ftp://a/b.vhd", "root=https://a.blob.core.windows.net/b/c?sig=hush"}) {
    const CommandResult unknown = cli.Run("enable nobody --policy gold --seed " + seed);
    EXPECT_EQ(unknown.exit_code, 2) << seed;
    EXPECT_THAT(unknown.err, Not(HasSubstr("hush")));
  }
}

TEST_F(SeedTest, AProtectedVmIsNotSeeded) {
  LeaveOneDisk();
  cli.Json("enable web --policy gold");
  const CommandResult protected_already =
      cli.Run("enable web --policy gold --seed {dir}/vms/web/root.raw -o json");
  EXPECT_EQ(protected_already.exit_code, 4);
  EXPECT_EQ(protected_already.ErrJson()["error"]["code"], "ASR2202");
}

class BlobSeedTest : public SeedTest {
 protected:
  BlobSeedTest() : raw(server) {
    cli.variables["AZURE_STORAGE_CONNECTION_STRING"] = server.ConnectionString();
    LeaveOneDisk();
    WriteOldCopy("old.raw");
  }

  // A page blob of the server's container "box".
  void Upload(const std::string& name, const std::string& content) {
    ASSERT_EQ(raw.Create(name, content.size()), 201);
    for (std::size_t at = 0; at < content.size(); at += 4 * kMiB) {
      ASSERT_EQ(raw.Write(name, at, content.substr(at, 4 * kMiB)), 201);
    }
  }
  [[nodiscard]] std::string Url(const std::string& name) const {
    return server.url() + "/box/" + name;
  }

  PageBlobServer server;
  RawClient raw;
};

TEST_F(BlobSeedTest, APageBlobIsASeedForAnyVault) {
  Upload("dir/old%20copy.vhd", cli.ReadFile(cli.Path("old.raw")) + Footer(kRootBytes));
  const std::string url = Url("dir/old%20copy.vhd");
  const Json plan = cli.Json("enable web --policy gold --seed " + url + " --dry-run")["plan"];
  EXPECT_EQ(plan[1]["bytes"], kRootBytes);
  const Json job = cli.Json("enable web --policy gold --seed root=" + url);
  EXPECT_EQ(job["stats"]["bytesSent"], 2 * 64 * kKiB);
  ExpectRestored();

  cli.Json("vault create azure --target " + server.url() + "/vault");
  cli.Json("policy set gold --vault azure");
  const Json again = cli.Json("enable web --policy gold --vault azure --seed " + url);
  EXPECT_EQ(again["stats"]["bytesSent"], 2 * 64 * kKiB);
  cli.Json("restore web --vault azure --to {dir}/cloud");
  EXPECT_EQ(cli.ReadFile(cli.Path("cloud/root.raw")), root);
}

// What is the seed's goes over this machine's line once, not twice.
TEST_F(BlobSeedTest, AVaultsServiceCopiesTheSeedItself) {
  Upload("old.vhd", cli.ReadFile(cli.Path("old.raw")) + Footer(kRootBytes));
  cli.Json("vault create azure --target " + server.url() + "/vault");
  cli.Json("vault use azure");
  cli.Json("policy set gold");
  struct Way {
    std::string code;  // of what the service answers to copies; empty: it copies
    std::uint64_t most_sent_bytes;
  };
  constexpr std::uint64_t kDifferent = 2 * 64 * kKiB;
  for (const Way& way : {Way{"", kDifferent + 4 * kKiB}, Way{"NotImplemented", 2 * kRootBytes},
                         Way{"Crc64Mismatch", 2 * kRootBytes}}) {
    if (!way.code.empty()) {
      server.AddFault({.action = testing::FaultAction::kRefuse,
                       .operation = "PutPageFromURL",
                       .times = -1,
                       .code = way.code});
    }
    server.ClearLog();
    const Json job = cli.Json("enable web --policy gold --seed " + Url("old.vhd"));
    EXPECT_EQ(job["stats"]["bytesSeeded"], kRootBytes) << way.code;
    EXPECT_EQ(job["stats"]["bytesSent"], kDifferent) << way.code;
    std::uint64_t sent_bytes = 0;
    for (const auto& record : server.Log()) {
      if (record.blob.ends_with("disks/root.vhd")) sent_bytes += record.received_bytes;
    }
    EXPECT_LE(sent_bytes, way.most_sent_bytes) << way.code;
    EXPECT_EQ(sent_bytes < kRootBytes, way.code.empty()) << way.code;
    EXPECT_GT(server.Counts()["PutPageFromURL"], 0U) << way.code;
    ExpectRestored();
    cli.Json("disable web --yes");
    std::filesystem::remove_all(cli.Path("out"));
    server.ClearFaults();
  }
}

// What reads the seed is for no other server to know.
TEST_F(BlobSeedTest, AnotherServiceIsNotToldOfTheSeed) {
  Upload("old.vhd", cli.ReadFile(cli.Path("old.raw")) + Footer(kRootBytes));
  PageBlobServer other({.account = "othersaccount"});
  cli.WriteFile("key", other.key());
  std::filesystem::permissions(cli.Path("key"), std::filesystem::perms::owner_read);
  cli.Json("credential add other --account othersaccount --key-file {dir}/key");
  cli.Json("vault create azure --target " + other.url() + "/vault --credential other");
  cli.Json("vault use azure");
  cli.Json("policy set gold");
  const Json job = cli.Json("enable web --policy gold --seed " + Url("old.vhd"));
  EXPECT_EQ(job["stats"]["bytesSent"], 2 * 64 * kKiB);
  EXPECT_EQ(other.Counts()["PutPageFromURL"], 0U);
  ExpectRestored();
}

TEST_F(BlobSeedTest, OnlyPagesThatWereWrittenAreRead) {
  const std::string content = std::string(kMiB, '\0') + std::string(512, 'a') +
                              std::string(2 * kMiB - 512, '\0') + std::string(512, 'b');
  ASSERT_EQ(content.size(), kRootBytes);
  const std::string target = "box/sparse.vhd";
  Upload("sparse.vhd", content + Footer(kRootBytes));
  for (const auto& [from, to] :
       {std::pair<std::uint64_t, std::uint64_t>{0, kMiB}, {kMiB + 512, 3 * kMiB}}) {
    ASSERT_EQ(
        raw.Status("PUT", target + "?comp=page",
                   fmt::format("-H x-ms-page-write:clear -H x-ms-range:bytes={}-{}", from, to - 1)),
        201);
  }
  const Json job = cli.Json("enable web --policy gold --seed " + Url("sparse.vhd"));
  EXPECT_EQ(job["tasks"][3]["bytesTotal"], 64 * kKiB + 512);
  EXPECT_EQ(job["tasks"][3]["bytesDone"], 64 * kKiB + 512);
  ExpectRestored();
}

TEST_F(BlobSeedTest, ASnapshotIsASeed) {
  Upload("old.vhd", cli.ReadFile(cli.Path("old.raw")) + Footer(kRootBytes));
  const std::string reply = raw.Send("PUT", "box/old.vhd?comp=snapshot");
  const std::size_t at = reply.find("x-ms-snapshot: ");
  ASSERT_NE(at, std::string::npos) << reply.substr(0, 500);
  const std::string time = reply.substr(at + 15, reply.find('\r', at) - at - 15);
  Upload("old.vhd", std::string(kRootBytes, 'n') + Footer(kRootBytes));
  const Json job = cli.Json("enable web --policy gold --seed " + Url("old.vhd?snapshot=") + time);
  EXPECT_EQ(job["stats"]["bytesSent"], 2 * 64 * kKiB);
  ExpectRestored();
}

TEST_F(BlobSeedTest, ABlobThatIsNoFixedVhdOfTheDiskIsRefused) {
  const std::string old = cli.ReadFile(cli.Path("old.raw"));
  Upload("bare.vhd", old);
  std::string damaged = Footer(kRootBytes);
  damaged[60] ^= 1;
  Upload("damaged.vhd", old + damaged);
  Upload("cut.vhd", old.substr(0, kMiB) + Footer(kRootBytes));
  Upload("short.vhd", old.substr(0, kMiB) + Footer(kMiB));
  const VhdFooter dynamic = MakeDynamicVhdFooter(kRootBytes, {}, 1);
  Upload("dynamic.vhd",
         old + std::string(reinterpret_cast<const char*>(dynamic.data()), dynamic.size()));
  ASSERT_EQ(raw.Status("PUT", "box/block.vhd", "-H x-ms-blob-type:BlockBlob", "x"), 201);
  EXPECT_EQ(Refused("--seed " + Url("bare.vhd"), 1)["code"], "ASR1101");
  EXPECT_EQ(Refused("--seed " + Url("damaged.vhd"), 1)["code"], "ASR1101");
  EXPECT_EQ(Refused("--seed " + Url("cut.vhd"), 1)["code"], "ASR1101");
  EXPECT_EQ(Refused("--seed " + Url("short.vhd"), 4)["code"], "ASR1102");
  EXPECT_EQ(Refused("--seed " + Url("dynamic.vhd"), 4)["code"], "ASR1102");
  EXPECT_THAT(Refused("--seed " + Url("block.vhd"), 4)["action"].get<std::string>(),
              HasSubstr("PageBlob"));
  EXPECT_EQ(Refused("--seed " + Url("none.vhd"), 3)["code"], "ASR1201");
  EXPECT_EQ(Refused("--seed " + server.url() + "/nowhere/x.vhd", 1)["code"], "ASR1503");
  EXPECT_EQ(Refused("--seed " + Url("bare.vhd") + " --seed-credential none", 3)["code"], "ASR1603");
  cli.variables.erase("AZURE_STORAGE_CONNECTION_STRING");
  EXPECT_EQ(Refused("--seed " + Url("bare.vhd"), 3)["code"], "ASR1603");
}

TEST_F(BlobSeedTest, TheSeedsAccountCanHaveACredentialOfItsOwn) {
  Upload("old.vhd", cli.ReadFile(cli.Path("old.raw")) + Footer(kRootBytes));
  cli.variables.erase("AZURE_STORAGE_CONNECTION_STRING");
  cli.WriteFile("key", server.key());
  std::filesystem::permissions(cli.Path("key"), std::filesystem::perms::owner_read);
  cli.Json("credential add store --account " + server.account() + " --key-file {dir}/key");
  const Json job =
      cli.Json("enable web --policy gold --seed-credential store --seed " + Url("old.vhd"));
  EXPECT_EQ(job["stats"]["bytesSent"], 2 * 64 * kKiB);
}

// What broke half-way is named, and the same command goes on without it.
TEST_F(BlobSeedTest, ASeedThatCannotBeReadAnyMoreIsNamed) {
  Upload("old.vhd", cli.ReadFile(cli.Path("old.raw")) + Footer(kRootBytes));
  server.AddFault({.action = testing::FaultAction::kRefuse,
                   .operation = "GetBlob",
                   .skip = 1,
                   .times = 1,
                   .code = "BlobNotFound"});
  const CommandResult failed =
      cli.Run("enable web --policy gold --seed " + Url("old.vhd") + " -o json");
  EXPECT_EQ(failed.exit_code, 3);
  const Json error = failed.ErrJson()["error"];
  EXPECT_THAT(error["message"].get<std::string>(),
              AllOf(HasSubstr("Seed disk root"), HasSubstr("/box/old.vhd"), HasSubstr("offset 0")));
  EXPECT_THAT(error["action"].get<std::string>(),
              HasSubstr("without the seed: asr enable web --policy gold"));
  // The replica that it had begun is no seed of itself.
  const std::string id = cli.Json("items list")[0]["id"];
  const CommandResult itself = cli.Run("enable web --policy gold --seed {dir}/vault/items/" + id +
                                       "/disks/root.vhd -o json");
  EXPECT_EQ(itself.exit_code, 4);
  EXPECT_THAT(itself.ErrJson()["error"]["message"].get<std::string>(), HasSubstr("to be written"));
  const Json job = cli.Json("enable web --policy gold");
  EXPECT_EQ(job["stats"]["bytesSent"], kRootBytes);
  ExpectRestored();
}

}  // namespace
}  // namespace asr
