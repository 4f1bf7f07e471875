#include "storage/http/http_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"
#include "tests/support/fake_transport.h"

namespace asr {
namespace {

using ::testing::Contains;
using testing::FakeClock;
using testing::FakeTransport;
using ::testing::HasSubstr;
using testing::Reply;

Error Trouble() {
  return MakeError(ErrorKind::kBusy, ErrorCode::kUnreachable, "the line is cut").Retryable();
}

// Signs with a number that counts.
class CountingAuthorizer : public Authorizer {
 public:
  Status Sign(HttpRequest& request, const std::stop_token& /*stop*/) override {
    request.headers.Set("authorization", "try " + std::to_string(++signed_));
    request.url += "?sig=secret";
    return {};
  }
  Result<bool> Renew(const HttpRequest& refused, const HttpResponse& /*refusal*/,
                     const std::stop_token& /*stop*/) override {
    EXPECT_EQ(refused.headers.Get("authorization"), "try " + std::to_string(signed_));
    ++renewed_;
    return can_renew_;
  }
  int signed_ = 0;
  int renewed_ = 0;
  bool can_renew_ = true;
};

class HttpClientTest : public ::testing::Test {
 protected:
  HttpClientTest() {
    options_.random = [] { return 0.0; };
    call_.what = "cannot write to disk";
    request_.method = HttpMethod::kPut;
    request_.url = "https://account.blob.core.windows.net/c/b";
  }
  Result<HttpResponse> Send() {
    HttpClient client(transport_, clock_, options_);
    const double start = clock_.MonotonicSeconds();
    auto reply = client.Send(request_, call_, stop_.get_token());
    waited_seconds_ = clock_.MonotonicSeconds() - start;
    repeats_ = client.repeats();
    return reply;
  }

  FakeClock clock_;
  FakeTransport transport_;
  HttpClientOptions options_;
  HttpRequest request_;
  HttpCall call_;
  std::stop_source stop_;
  double waited_seconds_ = 0;
  std::uint64_t repeats_ = 0;
};

TEST_F(HttpClientTest, GivesSuccessBack) {
  transport_.Then(Reply(201, {{"ETag", "1"}}));
  const auto reply = Send();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->headers.Get("etag"), "1");
  EXPECT_EQ(transport_.requests().size(), 1U);
}

TEST_F(HttpClientTest, TriesAgainWithTheSameBodyAndId) {
  request_.body = AsBytes("page");
  transport_.Then(Reply(500));
  transport_.Then(Trouble());
  transport_.Then(Reply(201));
  ASSERT_TRUE(Send());
  const auto requests = transport_.requests();
  ASSERT_EQ(requests.size(), 3U);
  EXPECT_EQ(transport_.bodies(), std::vector<std::string>(3, "page"));
  const auto id = requests[0].headers.Get("x-ms-client-request-id");
  EXPECT_EQ(id.size(), 36U);
  EXPECT_EQ(requests[2].headers.Get("x-ms-client-request-id"), id);
  EXPECT_NEAR(waited_seconds_, 0.8 * (0.8 + 1.6), 0.001);
  EXPECT_EQ(repeats_, 2U);
}

TEST_F(HttpClientTest, RequestsHaveDifferentIds) {
  transport_.Then(Reply(200));
  ASSERT_TRUE(Send());
  ASSERT_TRUE(Send());
  EXPECT_NE(transport_.requests()[0].headers.Get("x-ms-client-request-id"),
            transport_.requests()[1].headers.Get("x-ms-client-request-id"));
}

TEST_F(HttpClientTest, RefusalsThatStayAreNotTriedAgain) {
  for (const int status : {301, 400, 401, 403, 404, 409, 412, 413, 416, 501}) {
    FakeTransport transport;
    transport.Then(Reply(status));
    HttpClient client(transport, clock_, options_);
    EXPECT_FALSE(client.Send(request_, call_, {})) << status;
    EXPECT_EQ(transport.requests().size(), 1U) << status;
  }
}

TEST_F(HttpClientTest, ExpectedStatusesAreTheCallersBusiness) {
  call_.expected = {404, 503};
  transport_.Then(Reply(404));
  transport_.Then(Reply(503));
  EXPECT_EQ(Send()->status, 404);
  EXPECT_EQ(Send()->status, 503);
  EXPECT_EQ(transport_.requests().size(), 2U);
}

// A proxy may have passed on what it then says it is too busy for.
TEST_F(HttpClientTest, OnlyTheServiceItselfIsBelievedThatItHasNotBegun) {
  std::vector<bool> may_still_come;
  call_.before_repeat = [&](HttpRequest&, bool may) -> Status {
    may_still_come.push_back(may);
    return {};
  };
  transport_.Then(Reply(503, {{"x-ms-request-id", "server-7"}}));
  transport_.Then(Reply(503));
  transport_.Then(Reply(500, {{"x-ms-request-id", "server-8"}}));
  transport_.Then(Reply(201));
  ASSERT_TRUE(Send());
  EXPECT_EQ(may_still_come, (std::vector<bool>{false, true, true}));
}

TEST_F(HttpClientTest, ErrorsNameBothRequestIdsAndTheTries) {
  options_.retry.budget_seconds = 3;
  transport_.Then(Reply(503, {{"x-ms-request-id", "server-7"}, {"x-ms-error-code", "ServerBusy"}}));
  const auto reply = Send();
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, ErrorCode::kServerBusy);
  EXPECT_TRUE(reply.error().retryable);
  const std::string line = reply.error().Line();
  EXPECT_THAT(line, HasSubstr("cannot write to disk: the server answered 503 ServerBusy"));
  EXPECT_THAT(line, HasSubstr("server-7"));
  EXPECT_THAT(
      line, HasSubstr(std::string(transport_.requests()[0].headers.Get("x-ms-client-request-id"))));
  EXPECT_THAT(line, HasSubstr("after 3 tries"));
}

TEST_F(HttpClientTest, ErrorsNeverHoldWhatWasSigned) {
  CountingAuthorizer authorizer;
  call_.authorizer = &authorizer;
  transport_.Then(Reply(403));
  EXPECT_THAT(Send().error().Line(), Not(HasSubstr("secret")));
}

TEST_F(HttpClientTest, StopsTryingWhenTheBudgetIsSpent) {
  transport_.Then(Reply(200));
  transport_.Then(Reply(500));
  HttpClient client(transport_, clock_, options_);
  ASSERT_TRUE(client.Send(request_, call_, {}));
  const double start = clock_.MonotonicSeconds();
  EXPECT_FALSE(client.Send(request_, call_, {}));
  const double seconds = clock_.MonotonicSeconds() - start;
  EXPECT_LE(seconds, 300);
  EXPECT_GE(seconds, 240);  // less than one more delay was left
}

TEST_F(HttpClientTest, WaitsAsLongAsTheServerAsks) {
  transport_.Then(Reply(503, {{"Retry-After", "20"}}));
  transport_.Then(Reply(201));
  ASSERT_TRUE(Send());
  EXPECT_NEAR(waited_seconds_, 20, 0.001);
}

TEST_F(HttpClientTest, DoesNotWaitForWhatIsBeyondItsBudget) {
  transport_.Then(Reply(503, {{"Retry-After", "3600"}}));
  const auto reply = Send();
  ASSERT_FALSE(reply);
  EXPECT_EQ(waited_seconds_, 0);
  EXPECT_THAT(reply.error().causes, Contains(HasSubstr("3600 seconds")));
}

TEST_F(HttpClientTest, AServerThatNeverAnsweredIsGivenUpSoon) {
  transport_.Then(Trouble());
  EXPECT_FALSE(Send());
  EXPECT_EQ(transport_.requests().size(), 3U);
}

TEST_F(HttpClientTest, AServerThatAnsweredOnceIsWaitedFor) {
  transport_.Then(Reply(404));
  for (int i = 0; i < 6; ++i) transport_.Then(Trouble());
  transport_.Then(Reply(201));
  call_.expected = {404};
  HttpClient client(transport_, clock_, options_);
  ASSERT_TRUE(client.Send(request_, call_, {}));
  EXPECT_TRUE(client.Send(request_, call_, {}));
}

TEST_F(HttpClientTest, TroubleThatStaysIsNotTriedAgain) {
  transport_.Then(MakeError(ErrorKind::kIo, ErrorCode::kTlsUntrusted, "who is that"));
  const auto reply = Send();
  EXPECT_EQ(reply.error().code, ErrorCode::kTlsUntrusted);
  EXPECT_EQ(reply.error().message, "cannot write to disk: who is that");
  EXPECT_EQ(transport_.requests().size(), 1U);
}

TEST_F(HttpClientTest, SignsAnewAtEveryTry) {
  CountingAuthorizer authorizer;
  call_.authorizer = &authorizer;
  transport_.Then(Reply(500));
  transport_.Then(Reply(201));
  ASSERT_TRUE(Send());
  const auto requests = transport_.requests();
  EXPECT_EQ(requests[0].headers.Get("authorization"), "try 1");
  EXPECT_EQ(requests[1].headers.Get("authorization"), "try 2");
  EXPECT_EQ(requests[1].url, request_.url + "?sig=secret");  // from the bare URL again
}

TEST_F(HttpClientTest, RenewsTheCredentialOnceAndAtOnce) {
  CountingAuthorizer authorizer;
  call_.authorizer = &authorizer;
  transport_.Then(Reply(401));
  transport_.Then(Reply(201));
  ASSERT_TRUE(Send());
  EXPECT_EQ(waited_seconds_, 0);
  EXPECT_EQ(authorizer.renewed_, 1);
}

// The service refuses a shared access signature so, not with 401.
TEST_F(HttpClientTest, RenewsWhatFailedToAuthenticateToo) {
  CountingAuthorizer authorizer;
  call_.authorizer = &authorizer;
  transport_.Then(Reply(403, {{"x-ms-error-code", "AuthenticationFailed"}}));
  transport_.Then(Reply(201));
  ASSERT_TRUE(Send());
  EXPECT_EQ(authorizer.renewed_, 1);
}

// Callers take "not found" for the thing that they asked for.
TEST_F(HttpClientTest, AMissingCredentialIsNoMissingThing) {
  class NoCredential : public Authorizer {
    Status Sign(HttpRequest& /*request*/, const std::stop_token& /*stop*/) override {
      return Fail(ErrorKind::kNotFound, ErrorCode::kCredentialNotFound, "nobody is signed in");
    }
  };
  NoCredential authorizer;
  call_.authorizer = &authorizer;
  const auto reply = Send();
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().kind, ErrorKind::kState);
  EXPECT_EQ(reply.error().code, ErrorCode::kCredentialNotFound);
  EXPECT_TRUE(transport_.requests().empty());
}

TEST_F(HttpClientTest, DoesNotRenewForEver) {
  CountingAuthorizer authorizer;
  call_.authorizer = &authorizer;
  transport_.Then(Reply(401));
  EXPECT_EQ(Send().error().code, ErrorCode::kNotAuthorized);
  EXPECT_EQ(transport_.requests().size(), 2U);
  EXPECT_EQ(authorizer.renewed_, 1);
}

TEST_F(HttpClientTest, NothingToRenewMeansNoOtherTry) {
  CountingAuthorizer authorizer;
  authorizer.can_renew_ = false;
  call_.authorizer = &authorizer;
  transport_.Then(Reply(401));
  EXPECT_FALSE(Send());
  EXPECT_EQ(transport_.requests().size(), 1U);
}

TEST_F(HttpClientTest, StopsWhileItWaits) {
  transport_.Then([&](const HttpRequest&) {
    stop_.request_stop();
    return Result<HttpResponse>(Reply(503, {{"Retry-After", "100"}}));
  });
  const auto reply = Send();
  EXPECT_EQ(reply.error().code, ErrorCode::kCancelled);
  EXPECT_LT(waited_seconds_, 0.2);
}

TEST_F(HttpClientTest, CancelledTriesAreNotRepeated) {
  transport_.Then(MakeError(ErrorKind::kCancelled, ErrorCode::kCancelled, "stopped").Retryable());
  EXPECT_EQ(Send().error().code, ErrorCode::kCancelled);
  EXPECT_EQ(transport_.requests().size(), 1U);
}

TEST_F(HttpClientTest, CongestionShrinksTheWindowOfItsDirection) {
  const std::string page(64 * kKiB, 'x');
  std::string room(64 * kKiB, ' ');
  HttpClient client(transport_, clock_, options_);
  const std::uint64_t before = client.uploads().window_bytes();
  transport_.Then(Reply(503));
  call_.expected = {503};
  request_.body = AsBytes(page);
  ASSERT_TRUE(client.Send(request_, call_, {}));
  EXPECT_LT(client.uploads().window_bytes(), before);
  EXPECT_EQ(client.downloads().window_bytes(), before);
  request_.body = {};
  request_.into = std::as_writable_bytes(std::span(room));
  ASSERT_TRUE(client.Send(request_, call_, {}));
  EXPECT_LT(client.downloads().window_bytes(), before);
}

TEST_F(HttpClientTest, AStalledTransferIsCongestion) {
  const std::string page(64 * kKiB, 'x');
  request_.body = AsBytes(page);
  HttpClient client(transport_, clock_, options_);
  const std::uint64_t before = client.uploads().window_bytes();
  transport_.Then([&](const HttpRequest&) -> Result<HttpResponse> {
    clock_.Advance(60);
    return Fail(Trouble());
  });
  transport_.Then(Reply(201));
  ASSERT_TRUE(client.Send(request_, call_, {}));
  EXPECT_LT(client.uploads().window_bytes(), before);
}

}  // namespace
}  // namespace asr
