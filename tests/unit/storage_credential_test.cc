#include "storage/auth/storage_credential.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <map>
#include <sstream>
#include <type_traits>

#include <fmt/format.h>

#include "storage/auth/secret_file.h"
#include "storage/auth/storage_location.h"
#include "storage/fs/file_system.h"
#include "storage/http/url.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"

namespace asr {
namespace {

using testing::FakeClock;
using ::testing::HasSubstr;
using testing::TempDir;

TEST(SecretTest, NothingPrintsIt) {
  static_assert(!fmt::is_formattable<Secret>::value);
  EXPECT_EQ(::testing::PrintToString(Secret("hush")), "(secret)");
  EXPECT_EQ(Secret("hush").Reveal(), "hush");
}

TEST(SecretTest, MovingLeavesNothingBehind) {
  Secret first("hush");
  const Secret second(std::move(first));
  EXPECT_TRUE(first.empty());  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(second.Reveal(), "hush");
}

TEST(SecretFileTest, OnlyItsOwnerMayReadIt) {
  const TempDir directory;
  const std::string path = directory / "key";
  ASSERT_TRUE(WriteFileAtomic(PosixFileSystem(), path, AsBytes("hush\n")));
  for (const unsigned mode : {0644U, 0640U, 0604U, 0660U, 0610U}) {
    ASSERT_EQ(::chmod(path.c_str(), mode), 0);
    const auto secret = ReadSecretFile(path);
    ASSERT_FALSE(secret) << mode;
    EXPECT_EQ(secret.error().code, ErrorCode::kCredentialInvalid);
    EXPECT_THAT(secret.error().action, HasSubstr("chmod 600"));
    EXPECT_EQ(ReadPlatformFile(path)->Reveal(), "hush");
  }
  for (const unsigned mode : {0600U, 0400U}) {
    ASSERT_EQ(::chmod(path.c_str(), mode), 0);
    EXPECT_EQ(ReadSecretFile(path)->Reveal(), "hush");
  }
  EXPECT_EQ(ReadSecretFile(directory / "none").error().code, ErrorCode::kCredentialNotFound);
}

TEST(SecretFileTest, WhatIsNoSecretIsNotRead) {
  const TempDir directory;
  const std::string path = directory / "disk";
  ASSERT_TRUE(WriteFileAtomic(PosixFileSystem(), path, AsBytes(std::string(64 * 1024 + 1, 'x'))));
  ASSERT_EQ(::chmod(path.c_str(), 0600), 0);
  EXPECT_EQ(ReadSecretFile(path).error().code, ErrorCode::kCredentialInvalid);
}

StorageCredential ParsedString(const std::string& text) {
  auto credential = ParseConnectionString(Secret(text));
  EXPECT_TRUE(credential) << credential.error().Line();
  return credential ? *std::move(credential) : StorageCredential();
}

TEST(ConnectionStringTest, AccountKeyWithNameAndSuffix) {
  const auto credential = ParsedString(
      "DefaultEndpointsProtocol=https;AccountName=acct;AccountKey=a2V5a2U=;"
      "EndpointSuffix=core.chinacloudapi.cn");
  EXPECT_EQ(credential.account, "acct");
  EXPECT_EQ(credential.key.Reveal(), "a2V5a2U=");
  EXPECT_EQ(credential.endpoint, "https://acct.blob.core.chinacloudapi.cn");
}

TEST(ConnectionStringTest, DefaultsOrderAndLetterCase) {
  const auto credential =
      ParsedString(" accountkey=a2V5 ;; ACCOUNTNAME=acct\n;QueueEndpoint=https://q;");
  EXPECT_EQ(credential.endpoint, "https://acct.blob.core.windows.net");
}

TEST(ConnectionStringTest, AGivenEndpointWins) {
  const auto credential = ParsedString(
      "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=a2V5;"
      "BlobEndpoint=http://127.0.0.1:11000/devstoreaccount1/;EndpointSuffix=x");
  EXPECT_EQ(credential.endpoint, "http://127.0.0.1:11000/devstoreaccount1");
}

TEST(ConnectionStringTest, SharedAccessSignature) {
  const auto credential = ParsedString(
      "BlobEndpoint=https://acct.blob.core.windows.net/;"
      "SharedAccessSignature=?sv=1&ss=b&srt=co&sp=r&se=2026-12-01&sig=c2VjcmV0%3D");
  EXPECT_EQ(credential.account, "acct");
  EXPECT_TRUE(credential.key.empty());
  EXPECT_EQ(credential.sas.Reveal(), "sv=1&ss=b&srt=co&sp=r&se=2026-12-01&sig=c2VjcmV0%3D");
}

TEST(ConnectionStringTest, DevelopmentStorage) {
  const auto credential = ParsedString("UseDevelopmentStorage=true");
  EXPECT_EQ(credential.endpoint, "http://127.0.0.1:10000/devstoreaccount1");
  EXPECT_EQ(credential.account, "devstoreaccount1");
  EXPECT_FALSE(credential.key.empty());
  EXPECT_EQ(ParsedString("UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://10.0.0.1/")
                .endpoint,
            "http://10.0.0.1:10000/devstoreaccount1");
}

TEST(ConnectionStringTest, WhatIsBrokenIsRefusedUnseen) {
  for (const char* text : {"", "hush", "AccountName=a", "AccountKey=aHVzaA==", "=hush",
                           "AccountName=a;AccountKey=hush!", "UseDevelopmentStorage=false",
                           "DefaultEndpointsProtocol=ftp;AccountName=a;AccountKey=aHVzaA==",
                           "BlobEndpoint=hush;SharedAccessSignature=sig=x",
                           "AccountName=a;SharedAccessSignature=hush"}) {
    const auto credential = ParseConnectionString(Secret(text));
    ASSERT_FALSE(credential) << text;
    EXPECT_THAT(credential.error().Line(), Not(HasSubstr("hush"))) << text;
    EXPECT_THAT(credential.error().Line(), Not(HasSubstr("aHVzaA"))) << text;
  }
}

class StorageVariablesTest : public ::testing::Test {
 protected:
  Result<std::optional<StorageCredential>> Find(std::string_view account) {
    return FindInEnvironment(
        [this](const std::string& name) -> std::optional<std::string> {
          const auto found = variables_.find(name);
          if (found == variables_.end()) return std::nullopt;
          return found->second;
        },
        account);
  }
  std::map<std::string, std::string> variables_;
};

TEST_F(StorageVariablesTest, InTheOrderOfAzStorage) {
  EXPECT_FALSE(Find("acct")->has_value());
  variables_["AZURE_STORAGE_ACCOUNT"] = "acct";
  EXPECT_FALSE(Find("acct")->has_value());
  variables_["AZURE_STORAGE_SAS_TOKEN"] = "sr=c&se=2026-12-01&sig=x";
  EXPECT_EQ((*Find("acct"))->source, "AZURE_STORAGE_SAS_TOKEN");
  variables_["AZURE_STORAGE_KEY"] = "a2V5";
  EXPECT_EQ((*Find("acct"))->source, "AZURE_STORAGE_KEY");
  variables_["AZURE_STORAGE_CONNECTION_STRING"] = "AccountName=acct;AccountKey=a2V5";
  EXPECT_EQ((*Find("acct"))->source, "AZURE_STORAGE_CONNECTION_STRING");
}

TEST_F(StorageVariablesTest, AnotherAccountsKeyIsNotUsed) {
  variables_["AZURE_STORAGE_ACCOUNT"] = "other";
  variables_["AZURE_STORAGE_KEY"] = "a2V5";
  EXPECT_FALSE(Find("acct")->has_value());
  variables_.erase("AZURE_STORAGE_ACCOUNT");
  EXPECT_TRUE(Find("acct")->has_value());
}

TEST_F(StorageVariablesTest, ABrokenVariableIsNamed) {
  variables_["AZURE_STORAGE_CONNECTION_STRING"] = "hush";
  EXPECT_THAT(Find("acct").error().Line(), HasSubstr("AZURE_STORAGE_CONNECTION_STRING"));
}

TEST_F(StorageVariablesTest, MakesWhatSigns) {
  FakeClock clock;
  variables_["AZURE_STORAGE_KEY"] = "a2V5";
  const auto by_key = MakeAuthorizer(**Find("acct"), "acct", clock);
  HttpRequest request;
  request.url = "https://acct.blob.core.windows.net/c";
  ASSERT_TRUE((*by_key)->Sign(request, {}));
  EXPECT_TRUE(request.headers.Get("authorization").starts_with("SharedKey acct:"));
  variables_.clear();
  variables_["AZURE_STORAGE_SAS_TOKEN"] = "?sr=c&se=2026-12-01&sig=x";
  const auto by_sas = MakeAuthorizer(**Find("acct"), "acct", clock);
  ASSERT_TRUE((*by_sas)->Sign(request, {}));
  EXPECT_THAT(request.url, HasSubstr("?sr=c&se="));
}

StorageLocation Located(const std::string& text, AccountStyle style = AccountStyle::kGuess) {
  const auto parsed = ParseStorageUrl(text, style);
  EXPECT_TRUE(parsed) << parsed.error().Line();
  return parsed ? parsed->location : StorageLocation();
}

TEST(StorageLocationTest, HostStyle) {
  const auto location = Located("HTTPS://Acct.Blob.Core.Windows.Net/vault/");
  EXPECT_EQ(location.endpoint, "https://acct.blob.core.windows.net");
  EXPECT_EQ(location.account, "acct");
  EXPECT_EQ(location.container, "vault");
  EXPECT_EQ(location.ContainerUrl(), "https://acct.blob.core.windows.net/vault");
  EXPECT_EQ(location.BlobUrl("items/a b/d%.vhd"),
            "https://acct.blob.core.windows.net/vault/items/a%20b/d%25.vhd");
}

TEST(StorageLocationTest, PathStyleForAddressesLocalhostAndOddPorts) {
  for (const char* host : {"127.0.0.1:10000", "10.1.2.3", "[::1]:10000", "localhost",
                           "localhost:10000", "azurite.example.com:10000"}) {
    const auto location = Located(fmt::format("http://{}/acct/vault", host));
    EXPECT_EQ(location.account, "acct") << host;
    EXPECT_EQ(location.container, "vault") << host;
    EXPECT_EQ(location.BlobUrl("x"), fmt::format("http://{}/acct/vault/x", host));
  }
  EXPECT_EQ(Located("https://acct.example.com:443/vault").account, "acct");
}

TEST(StorageLocationTest, TheStyleCanBeSaid) {
  EXPECT_EQ(Located("https://acct.example.com:8443/vault", AccountStyle::kHost).account, "acct");
  EXPECT_EQ(Located("https://store.example.com/acct/vault", AccountStyle::kPath).account, "acct");
}

TEST(StorageLocationTest, ASasIsTakenOut) {
  const auto parsed =
      ParseStorageUrl("https://acct.blob.core.windows.net/vault?sr=c&sig=hush%2B&se=2026-12-01");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->sas.Reveal(), "sr=c&sig=hush%2B&se=2026-12-01");
  EXPECT_THAT(parsed->location.ContainerUrl(), Not(HasSubstr("hush")));
}

TEST(StorageLocationTest, ABlobAndItsSnapshot) {
  const auto blob = ParseBlobUrl("https://acct.blob.core.windows.net/vhds/a%20b/c.vhd");
  ASSERT_TRUE(blob) << blob.error().Line();
  EXPECT_EQ(blob->location.container, "vhds");
  EXPECT_EQ(blob->blob, "a b/c.vhd");
  EXPECT_EQ(blob->snapshot, "");
  EXPECT_FALSE(blob->has_secret);
  const auto snapshot = ParseBlobUrl(
      "http://127.0.0.1:10000/acct/vhds/c.vhd?snapshot=2026-11-23T06%3A30%3A00.1234567Z");
  ASSERT_TRUE(snapshot) << snapshot.error().Line();
  EXPECT_EQ(snapshot->location.account, "acct");
  EXPECT_EQ(snapshot->blob, "c.vhd");
  EXPECT_EQ(snapshot->snapshot, "2026-11-23T06:30:00.1234567Z");
  EXPECT_TRUE(ParseBlobUrl("https://acct.blob.core.windows.net/vhds/c.vhd?sr=b&sig=x")->has_secret);
  for (const char* text :
       {"https://acct.blob.core.windows.net/vhds", "https://acct.blob.core.windows.net/vhds/",
        "https://acct.blob.core.windows.net/vhds/c.vhd?versionid=hush",
        "https://acct.blob.core.windows.net/vhds/c.vhd?snapshot=",
        "https://acct.blob.core.windows.net/UPPER/c.vhd?snapshot=hush"}) {
    const auto wrong = ParseBlobUrl(text);
    ASSERT_FALSE(wrong) << text;
    EXPECT_EQ(wrong.error().kind, ErrorKind::kUsage) << text;
    EXPECT_THAT(wrong.error().Line(), Not(HasSubstr("hush"))) << text;
  }
}

TEST(StorageLocationTest, WhatNamesNoContainerIsRefusedUnseen) {
  for (const char* text :
       {"acct.blob.core.windows.net/vault", "ftp://acct/vault", "https:///vault",
        "https://acct.blob.core.windows.net/UPPER?sig=hush",
        "https://acct.blob.core.windows.net/ab?sig=hush",
        "https://acct.blob.core.windows.net/vault/blob?sig=hush",
        "https://acct.blob.core.windows.net/vault?hush=1", "http://127.0.0.1:10000/?sig=hush",
        "https://me:hush@acct.blob.core.windows.net/vault",
        "https://acct.blob.core.windows.net:port/vault", "https://a b/vault?sig=hush"}) {
    const auto parsed = ParseStorageUrl(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().kind, ErrorKind::kUsage) << text;
    EXPECT_THAT(parsed.error().Line(), Not(HasSubstr("hush"))) << text;
  }
}

TEST(UrlTest, EncodesAndDecodes) {
  EXPECT_EQ(PercentEncode("a/b c%~ü"), "a%2Fb%20c%25~%C3%BC");
  EXPECT_EQ(PercentEncode("a/b", "/"), "a/b");
  EXPECT_EQ(PercentDecode("a%2Fb%20c%25%zz%4"), "a/b c%%zz%4");
  EXPECT_EQ(PercentDecode("%41"), "A");
  EXPECT_EQ(EncodeForm({{"a", "1 2"}, {"b&", "="}}), "a=1%202&b%26=%3D");
}

}  // namespace
}  // namespace asr
