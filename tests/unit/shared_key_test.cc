#include "storage/auth/shared_key.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "storage/auth/crypto.h"
#include "tests/support/fake_clock.h"

namespace asr {
namespace {

using testing::FakeClock;

// Each list in the order in which the service sorts it.
TEST(SharedKeyTest, HeadersSortAsTheServiceSortsThem) {
  const std::vector<std::vector<std::string>> lists = {
      // '_' stands before digits, digits before letters, and '-' does not count.
      {"x-ms-meta-_", "x-ms-meta-0", "x-ms-meta-a_1", "x-ms-meta-a1", "x-ms-meta-aa"},
      {"x-ms-meta-ab", "x-ms-meta-a-b", "x-ms-meta-ac", "x-ms-meta-a-d"},
      // Equal but for '-': the plain character comes first, then the shorter name.
      {"x-ms-ab", "x-ms-ab-", "x-ms-a-b"},
      {"x-ms-a", "x-ms-a-"},
      {"x-ms-blob-content-length", "x-ms-blob-sequence-number", "x-ms-blob-type",
       "x-ms-client-request-id", "x-ms-date", "x-ms-if-sequence-number-eq", "x-ms-lease-id",
       "x-ms-meta-epoch", "x-ms-page-write", "x-ms-range", "x-ms-version"},
      {"x-ms-!", "x-ms-#", "x-ms-$", "x-ms-%", "x-ms-&", "x-ms-*", "x-ms-.", "x-ms-^", "x-ms-_",
       "x-ms-`", "x-ms-|", "x-ms-~", "x-ms-+", "x-ms-0", "x-ms-9", "x-ms-a", "x-ms-z"},
  };
  for (const auto& list : lists) {
    for (std::size_t i = 0; i < list.size(); ++i) {
      for (std::size_t j = 0; j < list.size(); ++j) {
        EXPECT_EQ(ComesBefore(list[i], list[j]), i < j) << list[i] << " " << list[j];
      }
    }
  }
}

TEST(SharedKeyTest, BytesWouldSortOtherwise) {
  EXPECT_TRUE(ComesBefore("x-ms-meta-a_1", "x-ms-meta-a1"));
  EXPECT_LT(std::string("x-ms-meta-a1"), std::string("x-ms-meta-a_1"));
}

TEST(SharedKeyTest, WhatIsSignedIsWhatTheServiceSigns) {
  HttpRequest request;
  request.method = HttpMethod::kPut;
  request.url = "https://acct.blob.core.windows.net/c/a%20b.vhd?comp=page&Timeout=30&x=b&x=a%2Fb";
  request.headers.Set("x-ms-version", "2023-11-03");
  request.headers.Set("x-ms-date", "Mon, 23 Nov 2026 06:30:00 GMT");
  request.headers.Set("x-ms-range", "bytes=0-511");
  request.headers.Set("x-ms-meta-a1", " padded ");
  request.headers.Set("x-ms-meta-a_1", "first");
  request.headers.Set("If-Match", "\"0x1\"");
  request.headers.Set("Content-Type", "application/octet-stream");
  request.headers.Set("Date", "never signed");
  const std::string page(512, 'x');
  request.body = AsBytes(page);
  EXPECT_EQ(StringToSign(request, "acct"),
            "PUT\n\n\n512\n\napplication/octet-stream\n\n\n\"0x1\"\n\n\n\n"
            "x-ms-date:Mon, 23 Nov 2026 06:30:00 GMT\n"
            "x-ms-meta-a_1:first\n"
            "x-ms-meta-a1:padded\n"
            "x-ms-range:bytes=0-511\n"
            "x-ms-version:2023-11-03\n"
            "/acct/c/a%20b.vhd\ncomp:page\ntimeout:30\nx:a/b,b");
}

TEST(SharedKeyTest, NoBodyHasNoLengthAndRangeHasItsLine) {
  HttpRequest request;
  request.url = "http://127.0.0.1:10000/devstoreaccount1/c/b";
  request.headers.Set("Range", "bytes=0-1");
  EXPECT_EQ(StringToSign(request, "devstoreaccount1"),
            "GET\n\n\n\n\n\n\n\n\n\n\nbytes=0-1\n/devstoreaccount1/devstoreaccount1/c/b");
}

TEST(SharedKeyTest, SignsWithTheKeysBytes) {
  FakeClock clock;
  const auto authorizer = SharedKeyAuthorizer::Create("acct", Secret("a2V5"), clock);  // "key"
  ASSERT_TRUE(authorizer);
  HttpRequest request;
  request.url = "https://acct.blob.core.windows.net/c";
  ASSERT_TRUE((*authorizer)->Sign(request, {}));
  EXPECT_EQ(request.headers.Get("x-ms-date"), "Mon, 23 Nov 2026 06:30:00 GMT");
  EXPECT_EQ(request.headers.Get("authorization"),
            "SharedKey acct:" + Base64Encode(HmacSha256("key", StringToSign(request, "acct"))));
}

TEST(SharedKeyTest, KeysThatAreNoneAreRefusedUnseen) {
  FakeClock clock;
  for (const char* key : {"", "secret!!", "c2VjcmV0=", "abc"}) {
    const auto authorizer = SharedKeyAuthorizer::Create("acct", Secret(key), clock);
    ASSERT_FALSE(authorizer) << key;
    EXPECT_EQ(authorizer.error().code, ErrorCode::kCredentialInvalid);
    EXPECT_EQ(authorizer.error().Line().find("secret!"), std::string::npos);
  }
}

TEST(CryptoTest, KnownValues) {
  // RFC 4231, case 2.
  EXPECT_EQ(ToHex(HmacSha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(Base64Encode(AsBytes("any carnal pleas")), "YW55IGNhcm5hbCBwbGVhcw==");
  EXPECT_EQ(Base64Encode(AsBytes("")), "");
  EXPECT_EQ(Base64Decode("YW55IGNhcm5hbCBwbGVhcw=="), "any carnal pleas");
  EXPECT_EQ(Base64Decode("YWI="), "ab");
  EXPECT_EQ(Base64UrlEncode(AsBytes("\xFB\xFF")), "-_8");
  EXPECT_EQ(Base64UrlDecode("-_8"), "\xFB\xFF");
  for (const char* text : {"", "a", "YW=5", "YW5 ", "====", "YW5\n"}) {
    EXPECT_EQ(Base64Decode(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace asr
