#include "storage/auth/bearer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <latch>
#include <thread>
#include <vector>

#include "storage/auth/token_reply.h"
#include "storage/auth/user_delegation.h"
#include "storage/http/http_client.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_transport.h"

namespace asr {
namespace {

using testing::FakeClock;
using testing::FakeTransport;
using ::testing::HasSubstr;
using testing::Reply;

// Counts its tokens: "token 1", "token 2"...
class CountingSource : public TokenSource {
 public:
  explicit CountingSource(FakeClock& clock) : clock_(clock) {}
  std::string name() const override { return "test"; }
  Result<AccessToken> Fetch(const TokenRequest& request, const std::stop_token&) override {
    const int number = ++fetched;
    if (before) before();
    tenants.push_back(request.tenant);
    if (is_failing) {
      return Fail(MakeError(ErrorKind::kState, ErrorCode::kSignInFailed, "no token today"));
    }
    const Timestamp now = clock_.Now();
    const Timestamp end = now + std::chrono::hours(1);
    return AccessToken{Secret("token " + std::to_string(number)), end, RenewalTime(now, end)};
  }
  FakeClock& clock_;
  std::atomic<int> fetched = 0;
  std::atomic<bool> is_failing = false;
  std::function<void()> before;
  std::vector<std::string> tenants;
};

class TokenCacheTest : public ::testing::Test {
 protected:
  TokenCacheTest() {
    auto source = std::make_unique<CountingSource>(clock_);
    source_ = source.get();
    cache_ = std::make_unique<TokenCache>(std::move(source), clock_);
  }
  std::string Get(const TokenRequest& request = {"scope", {}}) {
    const auto token = cache_->Get(request, {});
    return token ? std::string(token->Reveal()) : token.error().message;
  }
  FakeClock clock_;
  CountingSource* source_ = nullptr;
  std::unique_ptr<TokenCache> cache_;
};

TEST_F(TokenCacheTest, KeepsATokenForEachScopeAndTenant) {
  EXPECT_EQ(Get(), "token 1");
  EXPECT_EQ(Get(), "token 1");
  EXPECT_EQ(Get({"scope", "tenant"}), "token 2");
  EXPECT_EQ(Get({"other", {}}), "token 3");
  EXPECT_EQ(Get(), "token 1");
}

TEST_F(TokenCacheTest, RenewsBeforeTheEnd) {
  EXPECT_EQ(Get(), "token 1");
  clock_.Advance(54 * 60);
  EXPECT_EQ(Get(), "token 1");
  clock_.Advance(60 + 1);
  EXPECT_EQ(Get(), "token 2");
}

TEST_F(TokenCacheTest, AFailedRenewalDoesNoHarmWhileTheOldOneHolds) {
  EXPECT_EQ(Get(), "token 1");
  clock_.Advance(56 * 60);
  source_->is_failing = true;
  for (int i = 0; i < 10; ++i) EXPECT_EQ(Get(), "token 1");
  EXPECT_EQ(source_->fetched, 2);  // not at every request
  clock_.Advance(31);
  EXPECT_EQ(Get(), "token 1");
  EXPECT_EQ(source_->fetched, 3);
  clock_.Advance(4 * 60);
  EXPECT_EQ(Get(), "no token today");
  source_->is_failing = false;
  EXPECT_EQ(Get(), "token 5");
}

TEST_F(TokenCacheTest, ManyThreadsOneFetch) {
  std::latch all_started(8);
  source_->before = [&] {
    all_started.wait();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  };
  std::vector<std::thread> threads;
  std::atomic<int> same = 0;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      all_started.count_down();
      if (Get() == "token 1") ++same;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(same, 8);
  EXPECT_EQ(source_->fetched, 1);
}

TEST_F(TokenCacheTest, WhileOneRenewsTheOthersGoOn) {
  EXPECT_EQ(Get(), "token 1");
  clock_.Advance(56 * 60);
  std::latch renewing(1);
  std::latch may_end(1);
  source_->before = [&] {
    renewing.count_down();
    may_end.wait();
  };
  std::thread renewer([&] { EXPECT_EQ(Get(), "token 2"); });
  renewing.wait();
  EXPECT_EQ(Get(), "token 1");  // would hang here otherwise
  may_end.count_down();
  renewer.join();
  EXPECT_EQ(Get(), "token 2");
}

TEST_F(TokenCacheTest, WhoWaitsMayStop) {
  std::latch fetching(1);
  std::latch may_end(1);
  source_->before = [&] {
    fetching.count_down();
    may_end.wait();
  };
  std::thread fetcher([&] { EXPECT_EQ(Get(), "token 1"); });
  fetching.wait();
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(cache_->Get({"scope", {}}, stop.get_token()).error().code, ErrorCode::kCancelled);
  may_end.count_down();
  fetcher.join();
}

class BearerTest : public TokenCacheTest {
 protected:
  BearerTest() : authorizer_(*cache_, kStorageScope, clock_), client_(transport_, clock_) {
    call_.authorizer = &authorizer_;
    call_.what = "cannot read";
    request_.url = "https://acct.blob.core.windows.net/c";
  }
  BearerAuthorizer authorizer_;
  FakeTransport transport_;
  HttpClient client_;
  HttpCall call_;
  HttpRequest request_;
};

TEST_F(BearerTest, SignsRequests) {
  transport_.Then(Reply(200));
  ASSERT_TRUE(client_.Send(request_, call_, {}));
  const auto sent = transport_.requests().at(0);
  EXPECT_EQ(sent.headers.Get("authorization"), "Bearer token 1");
  EXPECT_EQ(sent.headers.Get("x-ms-date"), "Mon, 23 Nov 2026 06:30:00 GMT");
}

TEST_F(BearerTest, NeverOverHttp) {
  request_.url = "http://127.0.0.1:10000/acct/c";
  const auto reply = client_.Send(request_, call_, {});
  EXPECT_EQ(reply.error().code, ErrorCode::kCredentialInvalid);
  EXPECT_TRUE(transport_.requests().empty());
  EXPECT_EQ(source_->fetched, 0);
}

TEST_F(BearerTest, ARefusedTokenIsRenewedOnce) {
  transport_.Then(Reply(401));
  transport_.Then(Reply(200));
  ASSERT_TRUE(client_.Send(request_, call_, {}));
  EXPECT_EQ(transport_.requests().at(1).headers.Get("authorization"), "Bearer token 2");
}

TEST_F(BearerTest, ATokenThatAnotherThreadRenewedIsKept) {
  transport_.Then([&](const HttpRequest&) {
    // Meanwhile somebody else met the same refusal.
    cache_->Forget({kStorageScope, {}}, "token 1");
    EXPECT_EQ(Get({kStorageScope, {}}), "token 2");
    return Result<HttpResponse>(Reply(401));
  });
  transport_.Then(Reply(200));
  ASSERT_TRUE(client_.Send(request_, call_, {}));
  EXPECT_EQ(source_->fetched, 2);
}

TEST_F(BearerTest, LearnsTheTenantFromTheChallenge) {
  transport_.Then(Reply(
      401, {{"WWW-Authenticate",
             "Bearer authorization_uri=https://login.microsoftonline.com/tenant-7/oauth2/authorize "
             "resource_id=https://storage.azure.com"}}));
  transport_.Then(Reply(200));
  ASSERT_TRUE(client_.Send(request_, call_, {}));
  EXPECT_EQ(source_->tenants, (std::vector<std::string>{"", "tenant-7"}));
}

TEST(ChallengeTest, TenantsAndWhatIsNone) {
  EXPECT_EQ(TenantOfChallenge("Bearer authorization_uri=https://login.x/t-1/oauth2/authorize"),
            "t-1");
  EXPECT_EQ(
      TenantOfChallenge(R"(Bearer realm="x", authorization_uri="https://login.x/t-1", error="y")"),
      "t-1");
  EXPECT_EQ(TenantOfChallenge(R"(Bearer authorization="https://login.windows.net/t-2", e="x")"),
            "t-2");
  for (const char* text : {"", "Basic realm=x", "Bearer",
                           "Bearer authorization_uri=", "Bearer authorization_uri=https://login.x/",
                           "Bearer authorization_uri=https://login.x/a%2Fb/c"}) {
    EXPECT_EQ(TenantOfChallenge(text), "") << text;
  }
}

TEST(TokenReplyTest, RenewsInTimeForEveryLifetime) {
  const Timestamp now{};
  using std::chrono::hours;
  using std::chrono::minutes;
  EXPECT_EQ(RenewalTime(now, now + hours(24)), now + hours(12));
  EXPECT_EQ(RenewalTime(now, now + hours(1)), now + minutes(55));
  EXPECT_EQ(RenewalTime(now, now + minutes(3)), now);
  EXPECT_EQ(
      ReadToken(R"({"access_token":"x","expires_in":86400,"refresh_in":3600})", now)->renew_at,
      now + hours(1));
}

class UserDelegationTest : public BearerTest {
 protected:
  Result<UserDelegationKey> GetKey(std::chrono::hours hours) {
    const StorageLocation location{"https://acct.blob.core.windows.net", "acct", "vault"};
    return GetUserDelegationKey(client_, location, authorizer_, clock_.Now(), clock_.Now() + hours,
                                {});
  }
};

TEST_F(UserDelegationTest, AsksForAKeyAndReadsIt) {
  transport_.Then(Reply(200, {},
                        "<?xml version=\"1.0\"?><UserDelegationKey><SignedOid>oid</SignedOid>"
                        "<SignedTid>tid</SignedTid><SignedStart>2026-11-23T06:30:00Z</SignedStart>"
                        "<SignedExpiry>2026-11-24T06:30:00Z</SignedExpiry>"
                        "<SignedService>b</SignedService><SignedVersion>2023-11-03</SignedVersion>"
                        "<Value>a2V5</Value></UserDelegationKey>"));
  const auto key = GetKey(std::chrono::hours(24));
  ASSERT_TRUE(key) << key.error().Line();
  EXPECT_EQ(key->object_id + key->tenant_id + key->service, "oidtidb");
  EXPECT_EQ(key->value.Reveal(), "a2V5");
  const auto sent = transport_.requests().at(0);
  EXPECT_EQ(sent.url, "https://acct.blob.core.windows.net/?restype=service&comp=userdelegationkey");
  EXPECT_THAT(transport_.bodies().at(0), HasSubstr("<Start>2026-11-23T06:15:00Z</Start>"
                                                   "<Expiry>2026-11-24T06:30:00Z</Expiry>"));
}

TEST_F(UserDelegationTest, SevenDaysAreTheMost) {
  EXPECT_EQ(GetKey(std::chrono::hours(7 * 24 + 1)).error().kind, ErrorKind::kUsage);
  EXPECT_EQ(GetKey(std::chrono::hours(0)).error().kind, ErrorKind::kUsage);
  EXPECT_TRUE(transport_.requests().empty());
}

TEST_F(UserDelegationTest, AReplyWithoutAKeyIsBad) {
  transport_.Then(Reply(200, {}, "<UserDelegationKey/>"));
  EXPECT_EQ(GetKey(std::chrono::hours(1)).error().code, ErrorCode::kBadReply);
}

}  // namespace
}  // namespace asr
