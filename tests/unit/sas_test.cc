#include "storage/auth/sas.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fmt/format.h>

#include "storage/auth/crypto.h"
#include "storage/http/url.h"
#include "tests/support/fake_clock.h"

namespace asr {
namespace {

using testing::FakeClock;
using ::testing::HasSubstr;

constexpr const char* kContainerSas =
    "sv=2023-11-03&st=2026-11-01T00%3A00%3A00Z&se=2026-12-25T12%3A00%3A00Z&sr=c&sp=racwdl&spr="
    "https&sig=c2VjcmV0%3D";
constexpr const char* kAccountSas =
    "?sv=2023-11-03&ss=bq&srt=sco&sp=rwdlac&se=2026-12-25&sig=c2VjcmV0";

SasToken ParsedSas(const std::string& text) {
  auto sas = ParseSas(Secret(text));
  EXPECT_TRUE(sas) << sas.error().Line();
  return sas ? *std::move(sas) : SasToken();
}

TEST(SasTest, ReadsTheThreeKinds) {
  const SasToken container = ParsedSas(kContainerSas);
  EXPECT_EQ(container.kind, SasKind::kService);
  EXPECT_EQ(container.resource, "c");
  EXPECT_EQ(container.permissions, "racwdl");
  EXPECT_EQ(container.expires_at, ParseTime("2026-12-25T12:00:00Z"));
  EXPECT_EQ(container.starts_at, ParseTime("2026-11-01T00:00:00Z"));
  EXPECT_TRUE(container.is_https_only);
  EXPECT_EQ(container.query.Reveal(), kContainerSas);

  const SasToken account = ParsedSas(kAccountSas);
  EXPECT_EQ(account.kind, SasKind::kAccount);
  EXPECT_EQ(account.resource, "sco");
  EXPECT_EQ(account.services, "bq");
  EXPECT_EQ(account.expires_at, ParseTime("2026-12-25T00:00:00Z"));
  EXPECT_EQ(account.query.Reveal(), std::string_view(kAccountSas).substr(1));

  const SasToken delegated = ParsedSas(
      "skoid=1&sktid=2&skt=3&ske=4&sks=b&skv=5&sp=r&se=2026-12-25T12:00Z&sr=c&sv=x&sig=y");
  EXPECT_EQ(delegated.kind, SasKind::kUserDelegation);
  EXPECT_EQ(delegated.expires_at, ParseTime("2026-12-25T12:00:00Z"));
}

TEST(SasTest, WhatIsBrokenIsRefusedUnseen) {
  for (const char* text :
       {"", "?", "sp=r&se=2026-12-25&sr=c", "sp=r&sr=c&sig=hush", "se=soon&sig=hush",
        "sp=r&se=2026-12-25&sig=", "sp=r&se=2026-12-25&sig=hush hush"}) {
    const auto sas = ParseSas(Secret(text));
    ASSERT_FALSE(sas) << text;
    EXPECT_EQ(sas.error().code, ErrorCode::kCredentialInvalid) << text;
    EXPECT_THAT(sas.error().Line(), Not(HasSubstr("hush")));
  }
  EXPECT_TRUE(ParseSas(Secret("sr=c&si=policy&sig=x")));
}

TEST(SasTest, ChecksTimeResourceAndPermissions) {
  const Timestamp now = *ParseTime("2026-11-23T06:30:00Z");
  const auto code = [&](const std::string& text, std::string_view permissions) {
    const auto status = CheckSas(ParsedSas(text), permissions, now);
    return status ? ErrorCode{} : status.error().code;
  };
  EXPECT_EQ(code(kContainerSas, "rwdl"), ErrorCode{});
  EXPECT_EQ(code(kAccountSas, "rwdl"), ErrorCode{});
  EXPECT_EQ(code("se=2026-11-23T06:30:00Z&sr=c&sp=r&sig=x", "r"), ErrorCode::kCredentialExpired);
  EXPECT_EQ(code("st=2026-11-24&se=2026-12-23&sr=c&sp=r&sig=x", "r"),
            ErrorCode::kCredentialInvalid);
  EXPECT_EQ(code("se=2026-12-23&sr=b&sp=r&sig=x", "r"), ErrorCode::kCredentialInvalid);
  EXPECT_EQ(code("ss=q&srt=sco&se=2026-12-23&sp=r&sig=x", "r"), ErrorCode::kCredentialInvalid);
  EXPECT_EQ(code("ss=b&srt=o&se=2026-12-23&sp=r&sig=x", "r"), ErrorCode::kCredentialInvalid);
  EXPECT_EQ(code("sr=c&si=policy&sig=x", "rwdl"), ErrorCode{});
  const auto status = CheckSas(ParsedSas("se=2026-12-23&sr=c&sp=rl&sig=x"), "lwdr", now);
  EXPECT_EQ(status.error().code, ErrorCode::kNotAuthorized);
  EXPECT_THAT(status.error().message, HasSubstr("'wd' is needed"));
  EXPECT_THAT(status.error().action, HasSubstr("sp=rwdl"));
}

TEST(SasTest, WarnsInTheLastSevenDays) {
  const SasToken sas = ParsedSas("se=2026-12-23T00:00:00Z&sr=c&sp=r&sig=x");
  EXPECT_EQ(ExpiringSoon(sas, *ParseTime("2026-12-16T00:00:00Z")), std::nullopt);
  EXPECT_EQ(ExpiringSoon(sas, *ParseTime("2026-12-16T00:00:01Z")), sas.expires_at);
  EXPECT_EQ(ExpiringSoon(ParsedSas("sr=c&si=policy&sig=x"), *ParseTime("2026-12-16T00:00:00Z")),
            std::nullopt);
}

class SasAuthorizerTest : public ::testing::Test {
 protected:
  SasToken Until(const std::string& time, const std::string& signature) {
    return ParsedSas("se=" + time + "&sr=c&sp=r&spr=https&sig=" + signature);
  }
  Status Sign(Authorizer& authorizer) {
    request_.url = url_;
    return authorizer.Sign(request_, {});
  }
  FakeClock clock_;  // 2026-11-23T06:30:00Z
  HttpRequest request_;
  std::string url_ = "https://a.blob.core.windows.net/c/b?comp=page";
};

TEST_F(SasAuthorizerTest, AddsItselfToTheQuery) {
  SasAuthorizer authorizer(Until("2026-12-01", "x"), clock_);
  ASSERT_TRUE(Sign(authorizer));
  EXPECT_EQ(request_.url, url_ + "&se=2026-12-01&sr=c&sp=r&spr=https&sig=x");
  url_ = "https://a.blob.core.windows.net/c/b";
  ASSERT_TRUE(Sign(authorizer));
  EXPECT_EQ(request_.url, url_ + "?se=2026-12-01&sr=c&sp=r&spr=https&sig=x");
}

TEST_F(SasAuthorizerTest, NeverOverHttpIfItSaysSo) {
  SasAuthorizer authorizer(Until("2026-12-01", "x"), clock_);
  url_ = "http://a.blob.core.windows.net/c/b";
  EXPECT_EQ(Sign(authorizer).error().code, ErrorCode::kCredentialInvalid);
  EXPECT_EQ(request_.url, url_);
}

TEST_F(SasAuthorizerTest, ExpiryDuringWorkIsMetByAnother) {
  SasAuthorizer alone(Until("2026-11-24", "old"), clock_);
  int reloads = 0;
  SasAuthorizer renewed(Until("2026-11-24", "old"), clock_, [&](const Secret&) {
    ++reloads;
    return Result<SasToken>(Until("2026-12-24", "new"));
  });
  ASSERT_TRUE(Sign(renewed));
  EXPECT_EQ(reloads, 0);
  clock_.Advance(86'400);
  EXPECT_EQ(Sign(alone).error().code, ErrorCode::kCredentialExpired);
  ASSERT_TRUE(Sign(renewed));
  ASSERT_TRUE(Sign(renewed));
  EXPECT_EQ(reloads, 1);
  EXPECT_THAT(request_.url, HasSubstr("sig=new"));
  EXPECT_FALSE(*renewed.Renew(request_, {}, {}));  // the same again
  EXPECT_FALSE(*alone.Renew(request_, {}, {}));
  request_.url = "https://x/?sig=other";
  EXPECT_TRUE(*renewed.Renew(request_, {}, {}));
}

std::string Join(const std::vector<std::string>& lines) {
  return fmt::format("{}", fmt::join(lines, "\n"));
}

std::string Field(const SasToken& sas, const std::string& name) {
  const auto url = ParseUrl("https://x/?" + std::string(sas.query.Reveal()));
  for (const auto& [field, value] : url->query) {
    if (field == name) return PercentDecode(value);
  }
  return "none";
}

TEST(SasSigningTest, ServiceSasSignsTheDocumentedLines) {
  SasRequest request;
  request.container = "vault";
  request.permissions = "lr";
  request.starts_at = *ParseTime("2026-11-23T06:00:00Z");
  request.expires_at = *ParseTime("2026-11-30T06:00:00Z");
  // sp st se canonical si sip spr sv sr snapshot ses rscc rscd rsce rscl rsct
  EXPECT_EQ(ServiceSasStringToSign("acct", request),
            Join({"rl", "2026-11-23T06:00:00Z", "2026-11-30T06:00:00Z", "/blob/acct/vault", "", "",
                  "https", "2020-12-06", "c", "", "", "", "", "", "", ""}));
  request.blob = "items/a/disk.vhd";
  request.snapshot = "2026-11-23T06:36:41.0300000Z";
  request.is_https_only = false;
  request.ip_range = "10.0.0.1-10.0.0.9";
  request.starts_at.reset();
  EXPECT_EQ(ServiceSasStringToSign("acct", request),
            Join({"rl", "", "2026-11-30T06:00:00Z", "/blob/acct/vault/items/a/disk.vhd", "",
                  "10.0.0.1-10.0.0.9", "", "2020-12-06", "bs", "2026-11-23T06:36:41.0300000Z", "",
                  "", "", "", "", ""}));
  const auto sas = MakeServiceSas("acct", Secret("a2V5"), request);
  ASSERT_TRUE(sas);
  EXPECT_EQ(Field(*sas, "sig"),
            Base64Encode(HmacSha256("key", ServiceSasStringToSign("acct", request))));
  EXPECT_EQ(sas->kind, SasKind::kService);
  EXPECT_EQ(Field(*sas, "sr"), "bs");
  EXPECT_EQ(Field(*sas, "sip"), "10.0.0.1-10.0.0.9");
}

TEST(SasSigningTest, UserDelegationSasSignsTheDocumentedLines) {
  SasRequest request;
  request.container = "vault";
  request.permissions = "rl";
  request.expires_at = *ParseTime("2026-11-30T06:00:00Z");
  const UserDelegationKey key{"oid", "tid",        "2026-11-23T06:00:00Z", "2026-11-30T06:00:00Z",
                              "b",   "2023-11-03", Secret("a2V5")};
  // sp st se canonical skoid sktid skt ske sks skv (3 empty) sip spr sv sr snapshot ses rscc...
  EXPECT_EQ(UserDelegationSasStringToSign("acct", key, request), Join({"rl",
                                                                       "",
                                                                       "2026-11-30T06:00:00Z",
                                                                       "/blob/acct/vault",
                                                                       "oid",
                                                                       "tid",
                                                                       "2026-11-23T06:00:00Z",
                                                                       "2026-11-30T06:00:00Z",
                                                                       "b",
                                                                       "2023-11-03",
                                                                       "",
                                                                       "",
                                                                       "",
                                                                       "",
                                                                       "https",
                                                                       "2020-12-06",
                                                                       "c",
                                                                       "",
                                                                       "",
                                                                       "",
                                                                       "",
                                                                       "",
                                                                       "",
                                                                       ""}));
  const auto sas = MakeUserDelegationSas("acct", key, request);
  ASSERT_TRUE(sas);
  EXPECT_EQ(sas->kind, SasKind::kUserDelegation);
  EXPECT_EQ(Field(*sas, "skv"), "2023-11-03");
  EXPECT_EQ(Field(*sas, "sig"),
            Base64Encode(HmacSha256("key", UserDelegationSasStringToSign("acct", key, request))));
}

TEST(SasSigningTest, PermissionsStandInTheServicesOrder) {
  EXPECT_EQ(SasPermissionsInOrder("lidtyxwcar"), "racwdxylti");
}

}  // namespace
}  // namespace asr
