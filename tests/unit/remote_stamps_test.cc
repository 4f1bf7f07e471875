#include "core/source/remote_stamps.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include <fmt/format.h>

#include "tests/support/shell_command.h"
#include "tests/support/temp_dir.h"

namespace asr {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(RemoteStampsTest, AreWhatTheFilesHave) {
  const testing::TempDir directory;
  const std::vector<std::string> files = {directory / "odd '$name\"", directory / "base"};
  for (const std::string& file : files) std::ofstream(file) << "content";
  const std::string said = testing::MustRunShell(RemoteStampsCommand(files));
  // They are too young to tell.
  EXPECT_THAT(ParseRemoteStamps(files, said).stamps, IsEmpty());
  const std::size_t last = said.rfind('\n', said.size() - 2);
  const std::string later =
      fmt::format("{}\n{}\n", said.substr(0, last), std::stoll(said.substr(last + 1)) + 10);
  const RemoteStamps found = ParseRemoteStamps(files, later);
  EXPECT_EQ(found.text, ParseRemoteStamps(files, said).text);
  ASSERT_THAT(found.stamps, SizeIs(2));
  for (std::size_t i = 0; i < 2; ++i) {
    struct stat status {};
    ASSERT_EQ(::stat(files[i].c_str(), &status), 0);
    EXPECT_EQ(found.stamps[i].path, files[i]);
    EXPECT_EQ(found.stamps[i].stamp.device, status.st_dev);
    EXPECT_EQ(found.stamps[i].stamp.inode, status.st_ino);
    EXPECT_EQ(found.stamps[i].stamp.size_bytes, 7u);
    EXPECT_EQ(found.stamps[i].stamp.changed_ns,
              status.st_ctim.tv_sec * 1'000'000'000 + status.st_ctim.tv_nsec);
  }
  std::ofstream(files[1]) << "changed";
  EXPECT_NE(ParseRemoteStamps(files, testing::MustRunShell(RemoteStampsCommand(files))).text,
            found.text);
  EXPECT_NE(testing::RunShell(RemoteStampsCommand({"/nowhere/at/all"})).exit_code, 0);
}

TEST(RemoteStampsTest, WhatIsNotUnderstoodIsNoStamp) {
  const std::vector<std::string> files = {"/a", "/b"};
  const std::string good = "81a4 1 2 7 5.000000001 5.000000002 x\n";
  EXPECT_THAT(ParseRemoteStamps(files, good + good + "100\n").stamps, SizeIs(2));
  EXPECT_THAT(ParseRemoteStamps(files, good + "100\n").stamps, IsEmpty());
  EXPECT_THAT(ParseRemoteStamps(files, good + good + good + "100\n").stamps, IsEmpty());
  EXPECT_THAT(ParseRemoteStamps(files, good + good + "7\n").stamps, IsEmpty());
  EXPECT_THAT(ParseRemoteStamps(files, "").stamps, IsEmpty());
  for (const char* bad : {"81a4 1 2 7 5.0 5.0 x\n", "81a4 1 2 7 5 5\n", "?\n",
                          "81a4 1 2 7 %.9Y %.9Z\n", "41ed 1 2 7 5.000000001 5.000000002 x\n"}) {
    EXPECT_THAT(ParseRemoteStamps(files, good + bad + "100\n").stamps, IsEmpty()) << bad;
  }
  const std::string device = "6180 6 102 0 5.000000001 5.000000002 x\nwritten 1 2 3 counted 1\n";
  const RemoteStamps found = ParseRemoteStamps({"/dev/a"}, device + "100\n");
  EXPECT_TRUE(found.leaf_is_device);
  EXPECT_THAT(found.stamps, IsEmpty());
  EXPECT_EQ(found.text, device);
  EXPECT_TRUE(found.tells_writes);
  const std::string uncounted = "6180 6 102 0 5.000000001 5.000000002 x\nwritten 1 2 3 counted 0\n";
  EXPECT_FALSE(ParseRemoteStamps({"/dev/a"}, uncounted + "100\n").tells_writes);
}

TEST(RemoteStampsTest, AChainIsWhatQemuImgSays) {
  const testing::TempDir directory;
  const std::string base = directory / "base.qcow2";
  const std::string top = directory / "top,1.qcow2";
  const auto chain_of = [](const std::string& image) {
    return ParseRemoteChain(
        testing::MustRunShell("qemu-img info --backing-chain --output=json '" + image + "'"));
  };
  testing::MustRunShell(fmt::format(
      "qemu-img create -q -f qcow2 {0} 1M && qemu-img create -q -f qcow2 -F qcow2 -b {0} {1}", base,
      top));
  const auto chain = chain_of(top);
  ASSERT_TRUE(chain);
  EXPECT_EQ(chain->files, (std::vector<std::string>{top, base}));
  EXPECT_TRUE(chain->is_told_by_stamps);
  // Its data lies in yet another file.
  testing::MustRunShell(fmt::format("qemu-img create -q -f qcow2 -o data_file={0}.data {0} 1M",
                                    directory / "split.qcow2"));
  const auto split = chain_of(directory / "split.qcow2");
  ASSERT_TRUE(split);
  EXPECT_FALSE(split->is_told_by_stamps);
  for (const char* bad : {"", "[]", "{}", "[{}]", "[{\"filename\": \"/a\"}, 7]"}) {
    EXPECT_FALSE(ParseRemoteChain(bad)) << bad;
  }
}

}  // namespace
}  // namespace asr
