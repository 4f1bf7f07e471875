#include "core/jobs/retry_class.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <vector>

#include "core/model/policy.h"

namespace asr {
namespace {

using std::chrono::minutes;

// Every code of the list in the header, by its number.
std::vector<ErrorCode> CodesOfHeader() {
  std::ifstream file(ASR_SOURCE_DIR "/storage/base/error.h");
  std::stringstream text;
  text << file.rdbuf();
  const std::string header = text.str();
  std::vector<ErrorCode> codes;
  std::istringstream lines(header);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t equals = line.find(" = ");
    const bool is_code = line.starts_with("  k") && equals != std::string::npos &&
                         line.size() == equals + 8 && line.ends_with(',');
    if (is_code) codes.push_back(static_cast<ErrorCode>(std::stoi(line.substr(equals + 3, 4))));
  }
  return codes;
}

TEST(RetryClassTest, EveryCodeHasARule) {
  const auto codes = CodesOfHeader();
  ASSERT_GT(codes.size(), 80U);
  for (const ErrorCode code : codes) {
    EXPECT_TRUE(IsKnownCode(code)) << static_cast<int>(code);
    const bool by_kind = code == ErrorCode::kIo || code == ErrorCode::kDatabase;
    EXPECT_EQ(ClassOfCode(code).has_value(), !by_kind) << static_cast<int>(code);
  }
  EXPECT_FALSE(IsKnownCode(static_cast<ErrorCode>(8888)));
}

TEST(RetryClassTest, TheCodeDecidesElseTheKind) {
  const auto classify = [](ErrorKind kind, ErrorCode code) {
    return ClassifyError(MakeError(kind, code, "x"));
  };
  EXPECT_EQ(classify(ErrorKind::kIo, ErrorCode::kUnreachable), RetryClass::kRecoverable);
  EXPECT_EQ(classify(ErrorKind::kNoSpace, ErrorCode::kNoSpace), RetryClass::kRecoverable);
  EXPECT_EQ(classify(ErrorKind::kIo, ErrorCode::kBlobCorrupt), RetryClass::kUnrecoverable);
  EXPECT_EQ(classify(ErrorKind::kIo, ErrorCode::kCredentialExpired), RetryClass::kUnrecoverable);
  EXPECT_EQ(classify(ErrorKind::kBusy, ErrorCode::kItemBusy), RetryClass::kNextCycle);
  EXPECT_EQ(classify(ErrorKind::kBusy, ErrorCode::kIo), RetryClass::kRecoverable);
  EXPECT_EQ(classify(ErrorKind::kCorrupt, ErrorCode::kDatabase), RetryClass::kUnrecoverable);
  EXPECT_EQ(classify(ErrorKind::kBusy, ErrorCode::kDatabase), RetryClass::kRecoverable);
  EXPECT_EQ(classify(ErrorKind::kCancelled, ErrorCode::kIo), RetryClass::kNextCycle);
  // Of a newer version, as a record may hold it.
  EXPECT_EQ(classify(ErrorKind::kIo, static_cast<ErrorCode>(8888)), RetryClass::kRecoverable);
}

TEST(RetryClassTest, DelaysGrowToHalfAnHour) {
  const std::vector<minutes> expected = {minutes{1},  minutes{2},  minutes{4}, minutes{8},
                                         minutes{10}, minutes{30}, minutes{30}};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(RetryDelay(static_cast<int>(i) + 1, StandardRetryDelays()), expected[i]);
  }
  EXPECT_EQ(RetryDelay(0, StandardRetryDelays()), minutes{1});
  EXPECT_EQ(RetryDelay(1'000'000, StandardRetryDelays()), minutes{30});
}

TEST(RetryClassTest, OfAPolicysDelaysTheLastRepeats) {
  using std::chrono::seconds;
  const std::vector<seconds> delays = {seconds{5}, seconds{1}, seconds{90}};
  const std::vector<seconds> expected = {seconds{5}, seconds{1}, seconds{90}, seconds{90}};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(RetryDelay(static_cast<int>(i) + 1, delays), expected[i]);
  }
  EXPECT_EQ(RetryDelay(7, {seconds{3}}), seconds{3});
}

}  // namespace
}  // namespace asr
