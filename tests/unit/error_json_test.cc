#include "core/model/error_json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace asr {
namespace {

TEST(ErrorJsonTest, ReadsBackAsWritten) {
  const Error error = MakeError(ErrorKind::kNoSpace, ErrorCode::kNoSpace, "cannot write \"x\"")
                          .WithContext("disk root")
                          .WithContext("VM web")
                          .WithCause("full")
                          .WithCause("quota")
                          .WithAction("free space")
                          .Retryable();
  const nlohmann::json json = ErrorToJson(error);
  EXPECT_EQ(json["code"], "ASR1004");
  EXPECT_EQ(json["kind"], "NoSpace");
  const Error back = ErrorFromJsonText(ErrorToJsonText(error));
  EXPECT_EQ(back.kind, error.kind);
  EXPECT_EQ(back.code, error.code);
  EXPECT_EQ(back.message, error.message);
  EXPECT_EQ(back.context, error.context);
  EXPECT_EQ(back.causes, error.causes);
  EXPECT_EQ(back.action, error.action);
  EXPECT_TRUE(back.retryable);
}

TEST(ErrorJsonTest, EveryKindHasAName) {
  for (int i = 0; i <= static_cast<int>(ErrorKind::kInternal); ++i) {
    const auto kind = static_cast<ErrorKind>(i);
    EXPECT_EQ(ErrorFromJson(ErrorToJson(MakeError(kind, ErrorCode::kIo, "x"))).kind, kind);
  }
}

TEST(ErrorJsonTest, TakesWhatIsThere) {
  EXPECT_EQ(ErrorFromJsonText("{").code, ErrorCode::kInternal);
  EXPECT_EQ(ErrorFromJsonText("[1]").code, ErrorCode::kInternal);
  const Error odd = ErrorFromJsonText(
      R"({"code":"ASR7777","kind":"New","message":5,"causes":["a",1],"context":"x"})");
  EXPECT_EQ(odd.kind, ErrorKind::kInternal);
  EXPECT_EQ(odd.CodeText(), "ASR7777");
  EXPECT_EQ(odd.message, "");
  EXPECT_EQ(odd.causes, std::vector<std::string>{"a"});
  EXPECT_TRUE(odd.context.empty());
  EXPECT_EQ(ErrorFromJsonText(R"({"code":"ASR99999999"})").code, ErrorCode::kInternal);
}

TEST(ErrorJsonTest, FileNamesNeedNotBeUtf8) {
  const Error error = MakeError(ErrorKind::kIo, ErrorCode::kIo, "cannot read /x/\xFF.vhd");
  EXPECT_EQ(ErrorFromJsonText(ErrorToJsonText(error)).message, "cannot read /x/\uFFFD.vhd");
}

}  // namespace
}  // namespace asr
