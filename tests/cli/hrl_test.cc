// Looking into change logs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/render.h"
#include "tests/support/cli_runner.h"
#include "tests/support/hrl_builder.h"
#include "tests/support/image_file.h"

namespace asr {
namespace {

using testing::CliRunner;
using ::testing::HasSubstr;
using testing::HrlBuilder;

class HrlCommandTest : public ::testing::Test {
 protected:
  HrlCommandTest() {
    builder_.blocks = {{{.disk_offset = 4096,
                         .data = std::vector<std::byte>(1024, std::byte{3}),
                         .has_data_checksum = true},
                        {.disk_offset = 8192, .data = std::vector<std::byte>(512, std::byte{4})}}};
  }
  void Write() { testing::ImageFileMaker(cli_.Path("disk.hrl")).Put(0, builder_.Bytes()); }

  Json ErrorOf(const std::string& line, int exit_code) {
    const testing::CommandResult result = cli_.Run(line + " -o json");
    EXPECT_EQ(result.exit_code, exit_code) << result.out << result.err;
    return result.ErrJson()["error"];
  }

  CliRunner cli_;
  HrlBuilder builder_;
};

TEST_F(HrlCommandTest, ShowsALogOfHyperV) {
  Write();
  const Json log = cli_.Json("hrl show {dir}/disk.hrl");
  EXPECT_EQ(log["state"], "closed");
  EXPECT_EQ(log["version"], 2);
  EXPECT_EQ(log["creator"], "ct");
  EXPECT_EQ(log["created"], "2017-02-08T04:13:00.000Z");
  EXPECT_EQ(log["id"], "57575757-5757-5757-5757-575757575757");
  EXPECT_EQ(log["previousId"], "a8a8a8a8-a8a8-a8a8-a8a8-a8a8a8a8a8a8");
  EXPECT_EQ(log["dataWriteGuid"], "b9b9b9b9-b9b9-b9b9-b9b9-b9b9b9b9b9b9");
  EXPECT_EQ(log["entries"], 2);
  EXPECT_EQ(log["dataBytes"], 1536);
  EXPECT_EQ(log["checksummedBytes"], 0);
  EXPECT_TRUE(log["problems"].empty());
  EXPECT_EQ(cli_.Json("hrl verify {dir}/disk.hrl")["checksummedBytes"], 1024);
}

TEST_F(HrlCommandTest, VerifyFindsDamagedData) {
  Write();
  std::vector<std::byte> other(1, std::byte{9});
  testing::OverwriteFile(cli_.Path("disk.hrl"), 8192 + 700, other);
  EXPECT_EQ(cli_.Json("hrl show {dir}/disk.hrl")["entries"], 2);
  const Json error = ErrorOf("hrl verify {dir}/disk.hrl", 1);
  EXPECT_EQ(error["code"], "ASR1401");
  EXPECT_THAT(error["message"].get<std::string>(), HasSubstr("disk.hrl"));
}

TEST_F(HrlCommandTest, ALogThatIsBeingWrittenIsShownAndNotVerified) {
  builder_.is_closed = false;
  Write();
  const Json log = cli_.Json("hrl show {dir}/disk.hrl");
  EXPECT_EQ(log["state"], "open");
  EXPECT_TRUE(log["dataBytes"].is_null());
  EXPECT_EQ(log["problems"].size(), 1);
  EXPECT_EQ(ErrorOf("hrl verify {dir}/disk.hrl", 1)["code"], "ASR1402");
}

TEST_F(HrlCommandTest, CtrlCEndsIt) {
  Write();
  cli_.stop.request_stop();
  EXPECT_EQ(ErrorOf("hrl verify {dir}/disk.hrl", 130)["code"], "ASR5004");
}

TEST_F(HrlCommandTest, AFileThatIsNotThereIsNotFound) {
  EXPECT_EQ(ErrorOf("hrl show {dir}/none.hrl", 3)["code"], "ASR1002");
}

}  // namespace
}  // namespace asr
