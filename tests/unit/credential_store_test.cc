#include "storage/auth/credential_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/support/fault_file_system.h"
#include "tests/support/temp_dir.h"

namespace asr {
namespace {

using testing::FaultFileSystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::TempDir;
using Kind = CredentialKind;
using IfThere = CredentialStore::IfThere;

StoredCredential Key(const std::string& text) {
  return {.kind = Kind::kAccountKey,
          .account = "contoso",
          .tenant = "",
          .client_id = "",
          .certificate_path = "",
          .authority = "",
          .user = "",
          .secret = Secret(text)};
}

std::vector<StoredCredential> OneOfEachKind() {
  const auto make = [](Kind kind, const char* secret) {
    StoredCredential credential;
    credential.kind = kind;
    credential.secret = Secret(secret);
    return credential;
  };
  std::vector<StoredCredential> all = {
      make(Kind::kConnectionString, "AccountName=contoso;AccountKey=aHVzaA=="),
      Key("aHVzaA=="),
      make(Kind::kSas, "?sv=2023-11-03&se=2026-12-25&sr=c&sp=rl&sig=aHVzaA%3D%3D"),
      make(Kind::kClientSecret, "hush \"\\~"),
      make(Kind::kClientCertificate, ""),
      make(Kind::kManagedIdentity, ""),
      make(Kind::kAzureCli, ""),
      make(Kind::kLogin, "refresh-1")};
  for (StoredCredential& credential : all) {
    const bool is_application = credential.kind == Kind::kClientSecret ||
                                credential.kind == Kind::kClientCertificate ||
                                credential.kind == Kind::kLogin;
    if (!is_application) continue;
    credential.tenant = "contoso.onmicrosoft.com";
    credential.client_id = "01234567-89ab-cdef-0123-456789abcdef";
  }
  all[4].certificate_path = "/etc/asr/caf\u00e9.pem";
  all[7].authority = "https://login.microsoftonline.com";
  all[7].user = "ada@contoso.com";
  return all;
}

class CredentialStoreTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::string Path(const std::string& name) const { return top_ + "/" + name; }
  static unsigned ModeOf(const std::string& path) {
    struct stat status {};
    EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
    return status.st_mode & 07777;
  }
  std::vector<std::string> Files() {
    std::vector<std::string> names;
    const auto entries = PosixFileSystem().List(top_);
    for (const DirectoryEntry& entry : *entries) {
      if (entry.name != ".lock") names.push_back(entry.name);
    }
    return names;
  }

  const TempDir directory_;
  const std::string top_ = directory_ / "state/credentials";
  const CredentialStore store_{PosixFileSystem(), top_};
};

TEST_F(CredentialStoreTest, EveryKindComesBackAsItWas) {
  for (const StoredCredential& credential : OneOfEachKind()) {
    const std::string name(CredentialKindName(credential.kind));
    ASSERT_TRUE(store_.Save(name, credential, IfThere::kFail)) << name;
    EXPECT_EQ(*store_.Read(name), credential) << name;
    EXPECT_EQ(ModeOf(Path(name + ".json")), 0600U);
  }
  EXPECT_EQ(ModeOf(top_), 0700U);
  const auto listing = store_.List();
  ASSERT_TRUE(listing);
  EXPECT_THAT(listing->unreadable, IsEmpty());
  ASSERT_EQ(listing->credentials.size(), OneOfEachKind().size());
  EXPECT_EQ(listing->credentials[0].name, "account-key");
  for (const CredentialSummary& summary : listing->credentials) {
    EXPECT_EQ(CredentialKindName(summary.kind), summary.name);
    EXPECT_EQ(summary.expires_at.has_value(), summary.kind == Kind::kSas) << summary.name;
    const bool has_account =
        summary.kind == Kind::kAccountKey || summary.kind == Kind::kConnectionString;
    EXPECT_EQ(summary.account, has_account ? "contoso" : "") << summary.name;
  }
}

TEST_F(CredentialStoreTest, ASasInAConnectionStringTellsItsEnd) {
  StoredCredential credential;
  credential.kind = Kind::kConnectionString;
  credential.secret = Secret(
      "BlobEndpoint=https://contoso.blob.core.windows.net/;"
      "SharedAccessSignature=sv=2023-11-03&se=2026-12-25&sr=c&sp=rl&sig=aHVzaA%3D%3D");
  ASSERT_TRUE(CheckCredential(credential));
  const CredentialSummary summary = Summarize("x", credential);
  EXPECT_EQ(summary.expires_at, ParseTime("2026-12-25T00:00:00Z"));
  EXPECT_EQ(summary.account, "contoso");
}

TEST_F(CredentialStoreTest, OtherContentTakesItsPlaceOnlyWhenToldTo) {
  ASSERT_TRUE(store_.Save("a", Key("aHVzaA=="), IfThere::kFail));
  EXPECT_TRUE(store_.Save("a", Key("aHVzaA=="), IfThere::kFail));
  const auto refused = store_.Save("a", Key("b3RoZXI="), IfThere::kFail);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kState);
  EXPECT_THAT(refused.error().Line(), Not(HasSubstr("b3RoZXI")));
  EXPECT_EQ(*store_.Read("a"), Key("aHVzaA=="));
  EXPECT_TRUE(store_.Save("a", Key("b3RoZXI="), IfThere::kReplace));
  EXPECT_EQ(*store_.Read("a"), Key("b3RoZXI="));
}

// Two processes renew at the same time: the first one's stays.
TEST_F(CredentialStoreTest, ASecretIsReplacedOnlyWhereItIsStillTheOneUsed) {
  const StoredCredential login = OneOfEachKind()[7];
  ASSERT_TRUE(store_.Save("me", login, CredentialStore::IfThere::kFail));
  ASSERT_TRUE(store_.ReplaceSecret("me", Secret("refresh-1"), Secret("refresh-2")));
  ASSERT_TRUE(store_.ReplaceSecret("me", Secret("refresh-1"), Secret("refresh-3")));
  const auto kept = store_.Read("me");
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->secret.Reveal(), "refresh-2");
  EXPECT_EQ(kept->user, "ada@contoso.com");
  EXPECT_EQ(ModeOf(Path("me.json")), 0600U);
  // What was removed meanwhile does not come back.
  ASSERT_TRUE(store_.Remove("me"));
  EXPECT_FALSE(store_.ReplaceSecret("me", Secret("refresh-2"), Secret("refresh-4")));
  EXPECT_FALSE(store_.Read("me"));
}

TEST_F(CredentialStoreTest, NamesThatCouldBePathsAreRefused) {
  for (const char* name :
       {"", ".", "..", "../a", "a/b", "/a", ".a", "-a", "a b", "a\n", "a\\b", "caf\u00e9"}) {
    for (const Status& status : {store_.Save(name, Key("aHVzaA=="), IfThere::kReplace),
                                 store_.Remove(name), store_.RequireExists(name)}) {
      ASSERT_FALSE(status) << name;
      EXPECT_EQ(status.error().kind, ErrorKind::kUsage) << name;
    }
    EXPECT_EQ(store_.Read(name).error().kind, ErrorKind::kUsage) << name;
  }
  EXPECT_FALSE(store_.Save(std::string(65, 'a'), Key("aHVzaA=="), IfThere::kReplace));
  EXPECT_TRUE(store_.Save(std::string(64, 'a'), Key("aHVzaA=="), IfThere::kReplace));
  EXPECT_TRUE(store_.Save("a.json", Key("aHVzaA=="), IfThere::kReplace));
  EXPECT_EQ(Files().size(), 2U);
}

TEST_F(CredentialStoreTest, WhatOthersMayReadIsRefused) {
  ASSERT_TRUE(store_.Save("a", Key("aHVzaA=="), IfThere::kFail));
  ASSERT_TRUE(store_.Save("b", Key("aHVzaA=="), IfThere::kFail));
  ASSERT_EQ(::chmod(Path("a.json").c_str(), 0640), 0);
  const auto refused = store_.Read("a");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kCredentialInvalid);
  EXPECT_THAT(refused.error().action, HasSubstr("chmod 600"));
  const auto listing = store_.List();
  ASSERT_EQ(listing->credentials.size(), 1U);
  ASSERT_EQ(listing->unreadable.size(), 1U);
  EXPECT_EQ(listing->unreadable[0].first, "a");
  EXPECT_FALSE(store_.Save("a", Key("aHVzaA=="), IfThere::kFail));
  // In its place comes one that others may not read.
  EXPECT_TRUE(store_.Save("a", Key("aHVzaA=="), IfThere::kReplace));
  EXPECT_EQ(ModeOf(Path("a.json")), 0600U);

  ASSERT_EQ(::chmod(top_.c_str(), 0750), 0);
  const auto open_directory = store_.Save("c", Key("aHVzaA=="), IfThere::kFail);
  ASSERT_FALSE(open_directory);
  EXPECT_THAT(open_directory.error().action, HasSubstr("chmod 700"));
}

TEST_F(CredentialStoreTest, DamagedOnesAreNamedAndCanBeRemoved) {
  ASSERT_TRUE(store_.Save("a", Key("aHVzaA=="), IfThere::kFail));
  for (const char* text :
       {"", "{", "[]", "{\"kind\":7}", "{\"kind\":\"new\"}", "{\"kind\":\"account-key\"}",
        "{\"kind\":\"account-key\",\"account\":\"contoso\",\"secret\":\"hush!\"}",
        "{\"kind\":\"azure-cli\",\"tenant\":[]}", "{\"kind\":\"sas\",\"secret\":1}"}) {
    const auto file = PosixFileSystem().Open(Path("a.json"), {.mode = OpenMode::kWrite});
    ASSERT_TRUE((*file)->Resize(0));
    const std::string_view content = text;
    ASSERT_TRUE((*file)->WriteAt(0, std::as_bytes(std::span(content.data(), content.size()))));
    const auto damaged = store_.Read("a");
    ASSERT_FALSE(damaged) << text;
    EXPECT_EQ(damaged.error().code, ErrorCode::kCredentialInvalid) << text;
    EXPECT_THAT(damaged.error().Line(), Not(HasSubstr("hush"))) << text;
    EXPECT_EQ(store_.List()->unreadable.size(), 1U) << text;
  }
  EXPECT_TRUE(store_.Remove("a"));
  EXPECT_THAT(Files(), IsEmpty());
}

TEST_F(CredentialStoreTest, WhatIsNotThereIsNamedWithTheNearest) {
  EXPECT_EQ(store_.Read("backup").error().code, ErrorCode::kCredentialNotFound);
  EXPECT_THAT(store_.List()->credentials, IsEmpty());
  EXPECT_FALSE(store_.Remove("backup"));
  EXPECT_FALSE(PosixFileSystem().Stat(top_));  // nothing was made
  ASSERT_TRUE(store_.Save("backup", Key("aHVzaA=="), IfThere::kFail));
  const auto missing = store_.Remove("bakcup");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().kind, ErrorKind::kNotFound);
  EXPECT_THAT(missing.error().message, HasSubstr("did you mean 'backup'"));
  EXPECT_TRUE(store_.Remove("backup"));
  EXPECT_EQ(store_.Remove("backup").error().code, ErrorCode::kCredentialNotFound);
}

// At whatever call the process dies, the old or the new one is there whole; and the next change
// leaves nothing of the dead one's secret.
TEST_F(CredentialStoreTest, ADeathLeavesTheOldOrTheNew) {
  std::size_t deaths = 0;
  for (std::uint64_t call = 1;; ++call) {
    ASSERT_TRUE(store_.Save("a", Key("b2xk"), IfThere::kReplace));
    FaultFileSystem dying(PosixFileSystem());
    dying.DieAt(call);
    const Status saved = CredentialStore(dying, top_).Save("a", Key("bmV3"), IfThere::kReplace);
    if (!dying.has_failed()) {
      EXPECT_TRUE(saved);
      break;
    }
    ++deaths;
    const auto read = store_.Read("a");
    ASSERT_TRUE(read) << call;
    EXPECT_TRUE(*read == Key("b2xk") || *read == Key("bmV3")) << call;
    EXPECT_TRUE(!saved || *read == Key("bmV3")) << call;
    ASSERT_TRUE(store_.Save("a", Key("bGFzdA=="), IfThere::kReplace)) << call;
    EXPECT_THAT(Files(), ::testing::ElementsAre("a.json")) << call;
  }
  EXPECT_GE(deaths, 6U);
}

TEST_F(CredentialStoreTest, AFullDiskKeepsTheOldOne) {
  ASSERT_TRUE(store_.Save("a", Key("b2xk"), IfThere::kFail));
  FaultFileSystem full(PosixFileSystem());
  full.FillAt(1, top_);
  EXPECT_FALSE(CredentialStore(full, top_).Save("a", Key("bmV3"), IfThere::kReplace));
  EXPECT_EQ(*store_.Read("a"), Key("b2xk"));
  EXPECT_THAT(Files(), ::testing::ElementsAre("a.json"));
}

TEST_F(CredentialStoreTest, OneProcessChangesAtATime) {
  ASSERT_TRUE(store_.Save("a", Key("b2xk"), IfThere::kFail));
  const auto lock = PosixFileSystem().Lock(Path(".lock"));
  ASSERT_TRUE(lock);
  EXPECT_EQ(store_.Save("a", Key("bmV3"), IfThere::kReplace).error().kind, ErrorKind::kBusy);
  EXPECT_EQ(store_.Remove("a").error().kind, ErrorKind::kBusy);
  EXPECT_EQ(*store_.Read("a"), Key("b2xk"));
}

TEST(CheckCredentialTest, WhatCannotBeRightIsRefusedUnseen) {
  const auto refused = [](Kind kind, const char* account, const char* tenant, const char* client,
                          const char* path, const char* secret) {
    const StoredCredential credential = {.kind = kind,
                                         .account = account,
                                         .tenant = tenant,
                                         .client_id = client,
                                         .certificate_path = path,
                                         .authority = "",
                                         .user = "",
                                         .secret = Secret(secret)};
    const Status status = CheckCredential(credential);
    if (status) return false;
    EXPECT_EQ(status.error().code, ErrorCode::kCredentialInvalid);
    EXPECT_THAT(status.error().Line() + status.error().action, Not(HasSubstr("hush")));
    return true;
  };
  EXPECT_FALSE(refused(Kind::kAccountKey, "contoso", "", "", "", "aHVzaA=="));
  EXPECT_TRUE(refused(Kind::kAccountKey, "", "", "", "", "aHVzaA=="));
  EXPECT_TRUE(refused(Kind::kAccountKey, "Contoso", "", "", "", "aHVzaA=="));
  EXPECT_TRUE(refused(Kind::kAccountKey, "contoso", "", "", "", "hush!"));
  EXPECT_TRUE(refused(Kind::kAccountKey, "contoso", "", "", "", ""));
  EXPECT_TRUE(refused(Kind::kSas, "", "", "", "", "sp=r&sig=hush"));
  EXPECT_TRUE(refused(Kind::kConnectionString, "", "", "", "", "AccountName=x;AccountKey=hush!"));
  EXPECT_FALSE(refused(Kind::kClientSecret, "", "t", "c", "", "hush"));
  EXPECT_TRUE(refused(Kind::kClientSecret, "", "t", "c", "", "hush\nhush"));
  EXPECT_TRUE(refused(Kind::kClientSecret, "", "", "c", "", "hush"));
  EXPECT_TRUE(refused(Kind::kClientSecret, "", "t/../u", "c", "", "hush"));
  EXPECT_TRUE(refused(Kind::kClientSecret, "", "t", "", "", "hush"));
  EXPECT_FALSE(refused(Kind::kClientCertificate, "", "t", "c", "/p", ""));
  EXPECT_TRUE(refused(Kind::kClientCertificate, "", "t", "c", "p", ""));
  EXPECT_FALSE(refused(Kind::kManagedIdentity, "", "", "", "", ""));
  EXPECT_TRUE(refused(Kind::kManagedIdentity, "", "", "a?b", "", ""));
  EXPECT_TRUE(refused(Kind::kAzureCli, "", "a b", "", "", ""));
  const StoredCredential certificate = {.kind = Kind::kClientCertificate,
                                        .account = "",
                                        .tenant = "t",
                                        .client_id = "c",
                                        .certificate_path = "/caf\xe9.pem",
                                        .authority = "",
                                        .user = "",
                                        .secret = Secret()};
  EXPECT_FALSE(EncodeCredential(certificate));
}

}  // namespace
}  // namespace asr
