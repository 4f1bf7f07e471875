#include "cli/errors.h"

#include <sstream>

#include <gtest/gtest.h>

#include "cli/exit_codes.h"

namespace asr {
namespace {

Error TestError() {
  return MakeError(ErrorKind::kNotFound, ErrorCode::kVmNotFound, "there is no VM 'wbe'")
      .WithContext("vault main")
      .WithCause("its name is another")
      .WithCause("its host is not registered")
      .WithAction("see what there is: asr vm list");
}

TEST(ErrorsTest, TextNamesCodeCausesAndAction) {
  EXPECT_EQ(ErrorText(TestError(), false),
            "ERROR ASR3101: vault main: there is no VM 'wbe'\n"
            "Likely cause: its name is another\n"
            "Likely cause: its host is not registered\n"
            "What to do: see what there is: asr vm list\n");
}

TEST(ErrorsTest, JsonIsOneLineWithTheKeysOfTheContract) {
  std::ostringstream err;
  PrintError(err, TestError(), OutputFormat::kJson, false);
  EXPECT_EQ(err.str(),
            "{\"error\":{\"code\":\"ASR3101\",\"message\":\"vault main: there is no VM 'wbe'\","
            "\"causes\":[\"its name is another\",\"its host is not registered\"],"
            "\"action\":\"see what there is: asr vm list\",\"retryable\":false}}\n");
}

TEST(ErrorsTest, ForeignTextStaysOnItsLine) {
  const Error error = MakeError(ErrorKind::kIo, ErrorCode::kIo, "cannot read \x1b[2J\nERROR fake");
  EXPECT_EQ(ErrorText(error, false), "ERROR ASR1001: cannot read ?[2J?ERROR fake\n");
}

TEST(ErrorsTest, AnInterruptedJobTellsThatItGoesOn) {
  const Error error = MakeError(ErrorKind::kCancelled, ErrorCode::kCancelled, "stopped");
  EXPECT_NE(ErrorText(error, false).find("run the same command again"), std::string::npos);
}

TEST(ErrorsTest, ExitCodes) {
  EXPECT_EQ(ExitCodeOf(ErrorKind::kUsage), 2);
  EXPECT_EQ(ExitCodeOf(ErrorKind::kNotFound), 3);
  EXPECT_EQ(ExitCodeOf(ErrorKind::kState), 4);
  EXPECT_EQ(ExitCodeOf(ErrorKind::kUnsupported), 4);
  EXPECT_EQ(ExitCodeOf(ErrorKind::kCancelled), 130);
  for (const ErrorKind kind : {ErrorKind::kCorrupt, ErrorKind::kIo, ErrorKind::kNoSpace,
                               ErrorKind::kBusy, ErrorKind::kInternal}) {
    EXPECT_EQ(ExitCodeOf(kind), 1);
  }
}

}  // namespace
}  // namespace asr
