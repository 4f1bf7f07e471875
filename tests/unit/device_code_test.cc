// Sign-in of a person by a code, and the refresh token that it leaves.
#include "storage/auth/device_code.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/fs/file_system.h"
#include "storage/http/curl_transport.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_entra.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_certificate.h"

namespace asr {
namespace {

using testing::FakeEntra;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::SharedCertificate;

class DeviceCodeTest : public ::testing::Test {
 protected:
  DeviceCodeTest() {
    const std::string ca = directory_ / "ca.pem";
    EXPECT_TRUE(
        WriteFileAtomic(PosixFileSystem(), ca, AsBytes(SharedCertificate().authority_pem())));
    auto transport = CurlTransport::Create({.ca_file = ca});
    EXPECT_TRUE(transport);
    transport_ = *std::move(transport);
    client_ = std::make_unique<HttpClient>(*transport_, clock_);
  }
  [[nodiscard]] EntraApplication Application() const {
    return {.authority = entra_.origin(), .tenant = "organizations", .client_id = "client-1"};
  }
  Result<UserSignIn> SignIn(const std::stop_token& stop = {}) {
    ASR_TRY(const DeviceCode code, RequestDeviceCode(Application(), *client_, clock_, stop));
    return AwaitDeviceCode(Application(), code, *client_, clock_, stop);
  }
  Error Problem(std::vector<std::string> polls) {
    entra_.Poll(std::move(polls));
    const auto signed_in = SignIn();
    EXPECT_FALSE(signed_in);
    return signed_in ? Error() : signed_in.error();
  }

  testing::TempDir directory_;
  testing::FakeClock clock_;
  FakeEntra entra_{SharedCertificate()};
  std::unique_ptr<CurlTransport> transport_;
  std::unique_ptr<HttpClient> client_;
};

TEST_F(DeviceCodeTest, APersonSignsInWhileWePoll) {
  entra_.Poll({"authorization_pending", "503", "slow_down", "authorization_pending"});
  const auto start = clock_.Now();
  const auto signed_in = SignIn();
  ASSERT_TRUE(signed_in) << signed_in.error().Line();
  EXPECT_EQ(signed_in->refresh_token.Reveal(), "refresh-1");
  EXPECT_EQ(signed_in->claims.user, "ada@contoso.com");
  EXPECT_EQ(signed_in->claims.tenant, "tenant-of-ada");
  // 1 s, 1 s, then 6 s and 6 s more after slow_down.
  EXPECT_GE(clock_.Now() - start, std::chrono::seconds(14));
  const auto requests = entra_.requests();
  EXPECT_EQ(requests.at(0).target, "/organizations/oauth2/v2.0/devicecode");
  const auto asked = FakeEntra::Form(requests.at(0));
  EXPECT_EQ(asked.at("client_id"), "client-1");
  EXPECT_EQ(asked.at("scope"),
            "https://storage.azure.com/user_impersonation offline_access openid profile");
  EXPECT_EQ(requests.at(1).target, "/organizations/oauth2/v2.0/token");
  const auto polled = FakeEntra::Form(requests.at(1));
  EXPECT_EQ(polled.at("grant_type"), "urn:ietf:params:oauth:grant-type:device_code");
  EXPECT_EQ(polled.at("device_code"), "device-secret");
}

TEST_F(DeviceCodeTest, EveryEndHasItsError) {
  for (const char* const ended : {"expired_token", "code_expired"}) {
    EXPECT_EQ(Problem({"authorization_pending", ended}).code, ErrorCode::kCredentialExpired);
  }
  for (const char* const declined : {"access_denied", "authorization_declined"}) {
    const Error error = Problem({declined});
    EXPECT_EQ(error.code, ErrorCode::kSignInFailed);
    EXPECT_THAT(error.message, HasSubstr("declined"));
  }
  const Error other = Problem({"unauthorized_client"});
  EXPECT_EQ(other.code, ErrorCode::kSignInFailed);
  EXPECT_THAT(other.Line(), HasSubstr("unauthorized_client"));
  EXPECT_THAT(other.Line(), Not(HasSubstr("device-secret")));
}

TEST_F(DeviceCodeTest, PollingEndsWithTheCode) {
  entra_.SetLifetime(3600, 5);
  const auto start = clock_.Now();
  EXPECT_EQ(Problem(std::vector<std::string>(50, "authorization_pending")).code,
            ErrorCode::kCredentialExpired);
  EXPECT_LE(clock_.Now() - start, std::chrono::seconds(6));
}

TEST_F(DeviceCodeTest, AStopEndsIt) {
  std::stop_source stop;
  const auto code = RequestDeviceCode(Application(), *client_, clock_, {});
  ASSERT_TRUE(code);
  stop.request_stop();
  const auto signed_in = AwaitDeviceCode(Application(), *code, *client_, clock_, stop.get_token());
  ASSERT_FALSE(signed_in);
  EXPECT_EQ(signed_in.error().code, ErrorCode::kCancelled);
}

// Shared by several sources, as a file is by processes.
struct Kept {
  std::mutex mutex;
  std::string token = "refresh-0";
  bool is_full = false;  // nothing can be written
};
class Keeper : public RefreshTokenKeeper {
 public:
  explicit Keeper(Kept& kept) : kept_(kept) {}
  Result<Secret> Read() override {
    const std::lock_guard lock(kept_.mutex);
    return Secret(kept_.token);
  }
  Status Replace(const Secret& used, const Secret& fresh) override {
    const std::lock_guard lock(kept_.mutex);
    if (kept_.is_full) return Fail(ErrorKind::kNoSpace, ErrorCode::kNoSpace, "full");
    if (kept_.token == used.Reveal()) kept_.token = fresh.Reveal();
    return {};
  }

 private:
  Kept& kept_;
};

class RefreshTest : public DeviceCodeTest {
 protected:
  RefreshTest() {
    const auto signed_in = SignIn();
    EXPECT_TRUE(signed_in);
    kept_.token = signed_in->refresh_token.Reveal();
  }
  Result<AccessToken> Fetch(const std::string& tenant = "") {
    return MakeRefreshTokenSource(Application(), "login of ada", "asr login",
                                  std::make_unique<Keeper>(kept_), *client_, clock_)
        ->Fetch({.scope = kStorageScope, .tenant = tenant}, {});
  }
  Kept kept_;
};

TEST_F(RefreshTest, EachTokenBringsTheNextRefreshToken) {
  entra_.Rotate();
  for (int i = 2; i < 5; ++i) {
    const auto token = Fetch();
    ASSERT_TRUE(token) << token.error().Line();
    EXPECT_EQ(token->expires_at, clock_.Now() + std::chrono::hours(1));
    EXPECT_EQ(kept_.token, fmt::format("refresh-{}", i));
  }
  ASSERT_TRUE(Fetch("tenant-2"));
  EXPECT_EQ(entra_.requests().back().target, "/tenant-2/oauth2/v2.0/token");
  EXPECT_EQ(FakeEntra::Form(entra_.requests().back()).at("grant_type"), "refresh_token");
}

TEST_F(RefreshTest, AWithdrawnOneAsksForThePerson) {
  entra_.RevokeAll();
  const std::string before = kept_.token;
  const auto token = Fetch();
  ASSERT_FALSE(token);
  EXPECT_EQ(token.error().code, ErrorCode::kCredentialExpired);
  EXPECT_THAT(token.error().action, HasSubstr("asr login"));
  EXPECT_THAT(token.error().Line(), Not(HasSubstr("refresh-")));
  EXPECT_EQ(kept_.token, before);
}

TEST_F(RefreshTest, AFullDiskDoesNotEndTheWork) {
  kept_.is_full = true;
  EXPECT_TRUE(Fetch());
  EXPECT_TRUE(Fetch());
}

// Another process has had it replaced while we asked.
TEST_F(RefreshTest, TheOneThatAnotherProcessGotIsTaken) {
  class Late : public Keeper {
   public:
    explicit Late(Kept& kept) : Keeper(kept) {}
    Result<Secret> Read() override {
      return reads_++ == 0 ? Secret("refresh-old") : Keeper::Read();
    }

   private:
    int reads_ = 0;
  };
  const auto source = MakeRefreshTokenSource(Application(), "login of ada", "asr login",
                                             std::make_unique<Late>(kept_), *client_, clock_);
  const auto token = source->Fetch({.scope = kStorageScope, .tenant = {}}, {});
  ASSERT_TRUE(token) << token.error().Line();
  EXPECT_EQ(kept_.token, "refresh-2");
}

TEST(TokenClaimsTest, WhatIsNoTokenSaysNothing) {
  for (const char* const text : {"", "a", "a.b.c", "..", "e30.e30.e30", "a.W10.c"}) {
    EXPECT_EQ(ReadTokenClaims(text).user, "") << text;
  }
  EXPECT_EQ(ReadTokenClaims(testing::UnsignedToken({{"appid", "x"}, {"tid", "../a"}})).tenant, "");
  EXPECT_EQ(ReadTokenClaims(testing::UnsignedToken({{"appid", "x"}, {"upn", "ada"}})).user, "ada");
}

}  // namespace
}  // namespace asr
