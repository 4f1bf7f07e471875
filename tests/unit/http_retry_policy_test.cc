#include "storage/http/retry_policy.h"

#include <gtest/gtest.h>

#include "storage/http/server_problem.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_transport.h"

namespace asr {
namespace {

using testing::kNow;
using testing::Reply;

TEST(HttpRetryPolicyTest, RetriesOnlyWhatCanHelp) {
  for (int status = 300; status < 600; ++status) {
    const bool expected = status == 408 || status == 429 || status == 500 || status == 502 ||
                          status == 503 || status == 504;
    EXPECT_EQ(IsWorthRetrying(Reply(status)), expected) << status;
  }
}

TEST(HttpRetryPolicyTest, FeaturesThatTheServerLacksDoNotComeByWaiting) {
  EXPECT_FALSE(IsWorthRetrying(Reply(500, {{"x-ms-error-code", "FeatureNotSupported"}})));
  EXPECT_TRUE(IsWorthRetrying(Reply(500, {{"x-ms-error-code", "InternalError"}})));
  EXPECT_FALSE(IsWorthRetrying(Reply(501, {{"x-ms-error-code", "APINotImplemented"}})));
}

TEST(HttpRetryPolicyTest, ConflictsOfTheMomentAreRetried) {
  for (const char* code :
       {"ContainerBeingDeleted", "LeaseIsBreaking", "SnapshotOperationRateExceeded"}) {
    EXPECT_TRUE(IsWorthRetrying(Reply(409, {{"x-ms-error-code", code}}))) << code;
  }
  EXPECT_FALSE(IsWorthRetrying(Reply(409, {{"x-ms-error-code", "BlobAlreadyExists"}})));
  EXPECT_FALSE(IsWorthRetrying(Reply(412, {{"x-ms-error-code", "LeaseIsBreaking"}})));
  const std::string body = "<?xml version=\"1.0\"?><Error><Code>LeaseIsBreaking</Code></Error>";
  EXPECT_TRUE(IsWorthRetrying(Reply(409, {}, body)));
}

TEST(HttpRetryPolicyTest, TheSourceOfACopyMayBeBusy) {
  EXPECT_TRUE(IsWorthRetrying(Reply(409, {{"x-ms-copy-source-status-code", "503"}})));
  EXPECT_FALSE(IsWorthRetrying(Reply(409, {{"x-ms-copy-source-status-code", "404"}})));
}

TEST(HttpRetryPolicyTest, CongestionIsWhatTheLineCausesToo) {
  EXPECT_TRUE(IsCongestion(Reply(503)));
  EXPECT_TRUE(IsCongestion(Reply(408)));
  EXPECT_TRUE(IsCongestion(Reply(500, {{"x-ms-error-code", "OperationTimedOut"}})));
  EXPECT_FALSE(IsCongestion(Reply(500, {{"x-ms-error-code", "InternalError"}})));
  EXPECT_FALSE(IsCongestion(Reply(404)));
}

TEST(HttpRetryPolicyTest, ReadsEveryFormOfRetryAfter) {
  const auto seconds = [](const char* name, const char* value) {
    return RetryAfterSeconds(Reply(503, {{name, value}}), kNow);
  };
  EXPECT_EQ(seconds("Retry-After", "7"), 7.0);
  EXPECT_EQ(seconds("Retry-After", "0"), 0.0);
  EXPECT_EQ(seconds("retry-after-ms", "1500"), 1.5);
  EXPECT_EQ(seconds("x-ms-retry-after-ms", "250"), 0.25);
  EXPECT_EQ(seconds("Retry-After", "Mon, 23 Nov 2026 06:30:09 GMT"), 9.0);
  EXPECT_EQ(seconds("Retry-After", "Mon, 23 Nov 2026 06:29:00 GMT"), 0.0);
  for (const char* nonsense : {"", "soon", "-3", "1e9", "inf", "nan", "7 s"}) {
    EXPECT_EQ(seconds("Retry-After", nonsense), std::nullopt) << nonsense;
  }
}

TEST(HttpRetryPolicyTest, MillisecondsWinAndTheServersClockIsTheOneOfItsDates) {
  EXPECT_EQ(RetryAfterSeconds(Reply(503, {{"Retry-After", "9"}, {"retry-after-ms", "100"}}), kNow),
            0.1);
  const auto reply = Reply(503, {{"Retry-After", "Mon, 23 Nov 2026 08:00:05 GMT"},
                                 {"Date", "Mon, 23 Nov 2026 08:00:00 GMT"}});
  EXPECT_EQ(RetryAfterSeconds(reply, kNow), 5.0);
}

TEST(HttpRetryPolicyTest, DelaysDoubleUpToTheCapWithinTheirJitter) {
  const RetryPolicy policy;
  EXPECT_DOUBLE_EQ(RetryDelaySeconds(policy, 2, 0, std::nullopt), 0.8 * 0.8);
  EXPECT_DOUBLE_EQ(RetryDelaySeconds(policy, 3, 0, std::nullopt), 1.6 * 0.8);
  EXPECT_DOUBLE_EQ(RetryDelaySeconds(policy, 3, 0.5, std::nullopt), 1.6 * 1.05);
  for (int next_try = 2; next_try < 200; ++next_try) {
    for (const double random : {0.0, 0.3, 0.999}) {
      const double delay = RetryDelaySeconds(policy, next_try, random, std::nullopt);
      EXPECT_GE(delay, 0.8 * 0.8);
      EXPECT_LT(delay, 60 * 1.3);
    }
  }
  EXPECT_DOUBLE_EQ(RetryDelaySeconds(policy, 100, 0, std::nullopt), 60 * 0.8);
}

TEST(HttpRetryPolicyTest, NeverEarlierThanTheServerAsks) {
  EXPECT_DOUBLE_EQ(RetryDelaySeconds({}, 2, 0, 7), 7);
  EXPECT_DOUBLE_EQ(RetryDelaySeconds({}, 9, 0.5, 10), 11.5);
}

TEST(HttpRetryPolicyTest, DatesOfHttp) {
  EXPECT_EQ(ParseHttpDate("Sun, 06 Nov 1994 08:49:37 GMT"), ParseTime("1994-11-06T08:49:37Z"));
  EXPECT_EQ(FormatHttpDate(*ParseTime("1994-11-06T08:49:37Z")), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(ParseHttpDate(FormatHttpDate(kNow)), kNow);
  for (const char* text : {"", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Foo 1994 08:49:37 GMT",
                           "Sun, 31 Feb 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT"}) {
    EXPECT_EQ(ParseHttpDate(text), std::nullopt) << text;
  }
}

TEST(ServerProblemTest, ReadsTheFormsOfEveryService) {
  const auto xml = ReadServerProblem(Reply(
      403, {{"x-ms-request-id", "abc"}},
      "\xEF\xBB\xBF<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>AuthorizationFailure"
      "</Code><Message>Not you.\nRequestId:abc\nTime:x</Message></Error>"));
  EXPECT_EQ(xml.code, "AuthorizationFailure");
  EXPECT_EQ(xml.message, "Not you.");
  EXPECT_EQ(xml.request_id, "abc");
  const auto arm =
      ReadServerProblem(Reply(404, {}, R"({"error":{"code":"NotFound","message":"gone"}})"));
  EXPECT_EQ(arm.code + arm.message, "NotFoundgone");
  const auto bare = ReadServerProblem(Reply(404, {}, R"({"code":"NotFound","message":"gone"})"));
  EXPECT_EQ(bare.code + bare.message, "NotFoundgone");
  const auto entra = ReadServerProblem(Reply(
      400, {}, R"({"error":"invalid_client","error_description":"AADSTS7000215: bad\r\nT"})"));
  EXPECT_EQ(entra.code, "invalid_client");
  EXPECT_EQ(entra.message, "AADSTS7000215: bad");
  EXPECT_EQ(ReadServerProblem(Reply(404, {{"x-ms-error-code", "BlobNotFound"}})).code,
            "BlobNotFound");
  for (const char* nonsense : {"", "   ", "<", "{", "[1]", "{\"error\":7}", "<html/>"}) {
    EXPECT_EQ(ReadServerProblem(Reply(500, {}, nonsense)).code, "") << nonsense;
  }
}

TEST(ServerProblemTest, EveryStatusHasItsError) {
  const auto code = [](int status) { return RefusalError(Reply(status), "x", kNow).code; };
  EXPECT_EQ(code(401), ErrorCode::kNotAuthorized);
  EXPECT_EQ(code(403), ErrorCode::kNotAuthorized);
  EXPECT_EQ(code(404), ErrorCode::kRequestRefused);
  EXPECT_EQ(code(412), ErrorCode::kRequestRefused);
  EXPECT_EQ(code(408), ErrorCode::kServerBusy);
  EXPECT_EQ(code(429), ErrorCode::kServerBusy);
  EXPECT_EQ(code(503), ErrorCode::kServerBusy);
  EXPECT_EQ(code(500), ErrorCode::kServerError);
  EXPECT_EQ(code(501), ErrorCode::kServerError);
  EXPECT_EQ(code(504), ErrorCode::kServerError);
  EXPECT_EQ(code(302), ErrorCode::kBadReply);
}

TEST(ServerProblemTest, AWrongClockIsSaid) {
  const auto with_date = [](const char* date) {
    return RefusalError(Reply(403, {{"Date", date}, {"x-ms-error-code", "AuthenticationFailed"}}),
                        "cannot read x", kNow);
  };
  const Error ahead = with_date("Mon, 23 Nov 2026 06:10:00 GMT");
  EXPECT_EQ(ahead.causes.front(), "this machine's clock is 20 minutes ahead of the server's");
  EXPECT_NE(ahead.action.find("clock"), std::string::npos);
  EXPECT_FALSE(ahead.retryable);
  const Error behind = with_date("Mon, 23 Nov 2026 06:50:00 GMT");
  EXPECT_EQ(behind.causes.front(), "this machine's clock is 20 minutes behind the server's");
  EXPECT_EQ(with_date("Mon, 23 Nov 2026 06:29:00 GMT").action.find("clock"), std::string::npos);
}

}  // namespace
}  // namespace asr
