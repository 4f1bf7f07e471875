// The page-blob server breaks exactly as it is told to, and tells the truth of what it did.
#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "tests/support/page_blob_server/page_blob_server.h"
#include "tests/support/raw_blob_client.h"
#include "tests/support/shell_command.h"

namespace asr {
namespace {

using testing::FaultAction;
using testing::FaultRule;
using testing::Has;
using testing::PageBlobServer;
using testing::PageBlobServerOptions;
using testing::RawClient;
using testing::RequestRecord;

class PageBlobServerFaultsTest : public ::testing::Test {
 protected:
  PageBlobServerFaultsTest() {
    EXPECT_EQ(client_.Create("d.vhd", 1 << 20), 201);
    EXPECT_EQ(client_.Write("d.vhd", 0, old_), 201);
  }
  void Break(FaultRule rule) {
    rule.operation = "PutPage";
    server_.AddFault(rule);
  }
  int Write() { return client_.Write("d.vhd", 0, new_); }
  std::string Content() { return client_.Read("d.vhd", 0, old_.size()); }

  PageBlobServer server_;
  RawClient client_{server_};
  const std::string old_ = std::string(1024, 'o');
  const std::string new_ = std::string(1024, 'n');
};

TEST_F(PageBlobServerFaultsTest, ACutRequestChangesNothing) {
  for (const std::uint64_t after : {0U, 512U, 1024U}) {
    Break({.action = FaultAction::kCutRequest, .after_bytes = after});
    EXPECT_EQ(Write(), 0);
    EXPECT_EQ(Content(), old_);
  }
  EXPECT_EQ(Write(), 201);
  EXPECT_EQ(Content(), new_);
}

TEST_F(PageBlobServerFaultsTest, ACutAnswerComesAfterTheWrite) {
  Break({.action = FaultAction::kCutAnswer});
  EXPECT_EQ(Write(), 0);
  EXPECT_EQ(Content(), new_);
}

TEST_F(PageBlobServerFaultsTest, AnAnswerIsCutInItsBody) {
  server_.AddFault(
      {.action = FaultAction::kCutAnswer, .operation = "GetBlob", .after_bytes = 1500});
  EXPECT_TRUE(Has(client_.Send("GET", "box/d.vhd"), "curl: (18)"));
}

TEST_F(PageBlobServerFaultsTest, RefusesTheNthRequestSoOften) {
  Break({.action = FaultAction::kRefuse,
         .skip = 1,
         .times = 2,
         .code = "ServerBusy",
         .retry_after_seconds = 7});
  EXPECT_EQ(Write(), 201);
  const std::string refused = client_.WriteReply("d.vhd", 0, old_);
  EXPECT_EQ(RawClient::StatusOf(refused), 503);
  EXPECT_TRUE(Has(refused, "Retry-After: 7\r\n"));
  EXPECT_EQ(Write(), 503);
  EXPECT_EQ(Content(), new_);
  EXPECT_EQ(client_.Write("d.vhd", 0, old_), 201);
}

TEST_F(PageBlobServerFaultsTest, AnswersAsAProxyInBetweenMight) {
  server_.AddFault({.action = FaultAction::kRefuse,
                    .blob = "*.vhd",
                    .code = "BadGateway",
                    .status = 502,
                    .headers = {{"x-ms-retry-after-ms", "15"}}});
  const std::string refused = client_.WriteReply("d.vhd", 0, new_);
  EXPECT_EQ(RawClient::StatusOf(refused), 502);
  EXPECT_TRUE(Has(refused, "x-ms-retry-after-ms: 15\r\n"));
  EXPECT_EQ(Content(), old_);
}

TEST_F(PageBlobServerFaultsTest, ATimeoutMayHaveWritten) {
  Break({.action = FaultAction::kRefuse, .code = "OperationTimedOut", .performs = true});
  EXPECT_EQ(Write(), 500);
  EXPECT_EQ(Content(), new_);
}

TEST_F(PageBlobServerFaultsTest, ALateWriteOverwritesUnlessAConditionForbidsIt) {
  Break({.action = FaultAction::kDelay});
  EXPECT_EQ(client_.Write("d.vhd", 0, old_), 500);
  EXPECT_EQ(server_.delayed(), 1U);
  EXPECT_EQ(Write(), 201);  // as if it were the retry
  EXPECT_EQ(Content(), old_);
  EXPECT_TRUE(server_.Log().at(server_.Log().size() - 3).is_late);

  const std::string epoch = "-H 'x-ms-if-sequence-number-eq: 0'";
  Break({.action = FaultAction::kDelay, .cuts = true});
  EXPECT_EQ(client_.Write("d.vhd", 0, old_, epoch), 0);
  EXPECT_EQ(client_.Status("PUT", "box/d.vhd?comp=properties",
                           "-H 'x-ms-sequence-number-action: increment'"),
            200);
  EXPECT_EQ(Write(), 201);
  EXPECT_EQ(Content(), new_);
  server_.ReleaseDelayed();
  EXPECT_EQ(Content(), new_);
}

TEST_F(PageBlobServerFaultsTest, WrongBytesHaveARightChecksum) {
  const std::string words = "-H 'x-ms-range: bytes=0-1023' -H 'x-ms-range-get-content-crc64: true'";
  const std::string right = client_.Send("GET", "box/d.vhd", words);
  server_.AddFault({.action = FaultAction::kWrongBytes, .operation = "GetBlob", .after_bytes = 9});
  const std::string wrong = client_.Send("GET", "box/d.vhd", words);
  const auto crc_of = [](const std::string& reply) {
    return reply.substr(reply.find("x-ms-content-crc64: "), 32);
  };
  EXPECT_EQ(crc_of(right), crc_of(wrong));
  EXPECT_EQ(right.substr(right.size() - 1024), old_);
  EXPECT_NE(wrong.substr(wrong.size() - 1024), old_);
}

TEST_F(PageBlobServerFaultsTest, AnExpiredCredentialStaysRefused) {
  Break({.action = FaultAction::kExpireCredential});
  EXPECT_TRUE(Has(client_.WriteReply("d.vhd", 0, new_), "AuthenticationFailed"));
  EXPECT_EQ(client_.Status("HEAD", "box/d.vhd"), 403);
  server_.AdvanceClock(std::chrono::seconds(1));  // else the new one is the old one
  const testing::TempDir directory;
  const std::string renewed = server_.AccountSas("r", std::chrono::hours(1));
  EXPECT_TRUE(Has(testing::RunShell("curl -si '" + server_.url() + "/box/d.vhd?" + renewed +
                                    "' -o /dev/null -w '%{http_code}'")
                      .text,
                  "200"));
}

TEST_F(PageBlobServerFaultsTest, ALostLeaseIsAnothers) {
  const std::string id = "11111111-2222-3333-4444-555555555555";
  ASSERT_EQ(client_.Status("PUT", "box/d.vhd?comp=lease",
                           "-H 'x-ms-lease-action: acquire' -H 'x-ms-lease-duration: 60' -H "
                           "'x-ms-proposed-lease-id: " +
                               id + "'"),
            201);
  Break({.action = FaultAction::kLoseLease, .seconds = 30});
  EXPECT_TRUE(Has(client_.WriteReply("d.vhd", 0, new_, "-H 'x-ms-lease-id: " + id + "'"),
                  "LeaseIdMismatchWithBlobOperation"));
  server_.AdvanceClock(std::chrono::seconds(30));
  EXPECT_EQ(Write(), 201);
  server_.LoseLease("box", "d.vhd", std::chrono::seconds(0));
  EXPECT_EQ(Write(), 412);
}

TEST_F(PageBlobServerFaultsTest, ABitOfWhatIsStoredFlips) {
  const std::string snapshot = client_.Send("PUT", "box/d.vhd?comp=snapshot");
  const std::string time = snapshot.substr(snapshot.find("x-ms-snapshot: ") + 15, 28);
  EXPECT_TRUE(server_.FlipBit("box", "d.vhd", 700));
  EXPECT_FALSE(server_.FlipBit("box", "d.vhd", 1024));
  std::string flipped = old_;
  flipped[700] ^= 1;
  EXPECT_EQ(Content(), flipped);
  const std::string before = client_.Send("GET", "box/d.vhd?snapshot=" + time);
  EXPECT_TRUE(Has(before, old_));
}

TEST_F(PageBlobServerFaultsTest, AStallLastsAsLongAsTheClientWaits) {
  Break({.action = FaultAction::kStall});
  EXPECT_TRUE(Has(client_.WriteReply("d.vhd", 0, new_, "-m 1"), "curl: (28)"));
  EXPECT_EQ(Content(), old_);
  server_.AddFault(
      {.action = FaultAction::kStallAnswer, .operation = "GetBlob", .after_bytes = 100});
  EXPECT_TRUE(Has(client_.Send("GET", "box/d.vhd", "-m 1"), "curl: (28)"));
}

TEST_F(PageBlobServerFaultsTest, ASlowLinkIsSlow) {
  server_.SetLink(100'000, 0);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(client_.Write("d.vhd", 0, std::string(102'400, 's')), 201);
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  EXPECT_GT(taken.count(), 0.9);
  EXPECT_LT(taken.count(), 10);
}

TEST_F(PageBlobServerFaultsTest, EveryRequestIsLogged) {
  server_.ClearLog();
  EXPECT_EQ(client_.Write("d.vhd", 512, old_, "-H 'x-ms-client-request-id: mine'"), 201);
  const auto log = server_.Log();
  ASSERT_EQ(log.size(), 1U);
  const RequestRecord& record = log[0];
  EXPECT_EQ(record.operation, "PutPage");
  EXPECT_EQ(record.blob, "d.vhd");
  EXPECT_EQ(record.range, (Extent{512, 1024}));
  EXPECT_EQ(record.status, 201);
  EXPECT_EQ(record.client_request_id, "mine");
  EXPECT_EQ(record.received_bytes, 1024U);
  EXPECT_FALSE(record.expects_continue);
  EXPECT_EQ(server_.Counts()["PutPage"], 1U);
  EXPECT_EQ(server_.Counts()["connections"], 1U);
}

TEST(PageBlobServerLimitsTest, ABodyThatComesTooSlowlyTimesOut) {
  PageBlobServerOptions options;
  options.operation_timeout_seconds = 0.2;
  PageBlobServer server(options);
  RawClient client(server);
  ASSERT_EQ(client.Create("d.vhd", 1 << 20), 201);
  server.SetLink(500'000, 0);
  EXPECT_TRUE(Has(client.WriteReply("d.vhd", 0, std::string(1 << 20, 's')), "OperationTimedOut"));
}

TEST(PageBlobServerLimitsTest, SharedKeyNeedsADateOfNow) {
  PageBlobServer server;
  const std::string refused =
      testing::RunShell("curl -s '" + server.url() +
                        "?comp=list' -H 'x-ms-version: 2023-11-03' -H 'x-ms-date: Sat, 28 Nov "
                        "2020 03:00:00 GMT' -H 'Authorization: SharedKey devstoreaccount1:AAAA'")
          .text;
  EXPECT_TRUE(Has(refused, "Request date header too old")) << refused;
}

}  // namespace
}  // namespace asr
