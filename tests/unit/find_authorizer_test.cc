#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <map>

#include <fmt/format.h>

#include "core/jobs/credentials.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"

namespace asr {
namespace {

using ::testing::ElementsAre;
using testing::FakeClock;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::TempDir;
using Kind = CredentialKind;

class Warnings : public ProgressSink {
 public:
  void TaskStarted(const std::string& /*name*/, std::uint64_t /*bytes_total*/) override {}
  void TaskAdvanced(std::uint64_t /*bytes*/) override {}
  void TaskEnded(bool /*succeeded*/) override {}
  void Warn(const std::string& message) override { lines.push_back(message); }
  std::vector<std::string> lines;
};

class FixedAuthorizer : public Authorizer {
 public:
  Status Sign(HttpRequest& request, const std::stop_token& /*stop*/) override {
    request.headers.Set("authorization", "Bearer given");
    return {};
  }
};

// It is 2026-11-23T06:30:00Z.
class FindAuthorizerTest : public ::testing::Test {
 protected:
  FindAuthorizerTest() {
    state_ = *StateDatabase::Open(PosixFileSystem(), clock_, directory_ / "state");
    environment_.emplace(Environment{.fs = PosixFileSystem(),
                                     .clock = clock_,
                                     .state = *state_,
                                     .progress = warnings_,
                                     .state_directory = directory_ / "state",
                                     .stop = {}});
    environment_->variables = [this](const std::string& name) -> std::optional<std::string> {
      const auto found = variables_.find(name);
      if (found == variables_.end()) return std::nullopt;
      return found->second;
    };
  }

  static StoredCredential Make(Kind kind, const std::string& secret,
                               const std::string& account = "") {
    StoredCredential credential;
    credential.kind = kind;
    credential.account = account;
    credential.secret = Secret(secret);
    return credential;
  }
  static std::string Sas(const std::string& end) {
    return "sv=2023-11-03&se=" + end + "&sr=c&sp=rl&sig=aHVzaA";
  }
  void Add(const std::string& name, const StoredCredential& credential, bool replace = false) {
    const auto added = AddCredential(*environment_, name, credential, replace);
    ASSERT_TRUE(added) << added.error().Line();
  }
  static StorageLocation Location(const std::string& url) { return ParseStorageUrl(url)->location; }
  Result<std::unique_ptr<Authorizer>> Find(const std::string& name, const std::string& url = kUrl) {
    return FindAuthorizer(*environment_, Location(url), {.name = name, .entra_sign_in = entra_});
  }
  // "SharedKey contoso", "Bearer given", or what was added to the URL.
  std::string Proof(const std::string& name, const std::string& url = kUrl) {
    const auto authorizer = Find(name, url);
    if (!authorizer) return authorizer.error().CodeText() + " " + authorizer.error().Line();
    return Sign(**authorizer);
  }
  static std::string Sign(Authorizer& authorizer) {
    HttpRequest request;
    request.url = "https://x/y";
    const Status signed_it = authorizer.Sign(request, {});
    if (!signed_it) return signed_it.error().Line();
    const std::string header(request.headers.Get("authorization"));
    return header.empty() ? request.url.substr(std::string("https://x/y").size())
                          : header.substr(0, header.find(':'));
  }

  static constexpr const char* kUrl = "https://contoso.blob.core.windows.net/vault";
  static constexpr const char* kLocal = "http://127.0.0.1:10000/contoso/vault";

  const TempDir directory_;
  FakeClock clock_;
  Warnings warnings_;
  std::map<std::string, std::string> variables_;
  EntraSignIn entra_;
  std::unique_ptr<StateDatabase> state_;
  std::optional<Environment> environment_;
};

TEST_F(FindAuthorizerTest, TheNamedOneWinsOverVariables) {
  Add("key", Make(Kind::kAccountKey, "aHVzaA==", "contoso"));
  Add("string", Make(Kind::kConnectionString, "AccountName=contoso;AccountKey=aHVzaA=="));
  Add("sas", Make(Kind::kSas, Sas("2027-01-01")));
  variables_ = {{"AZURE_STORAGE_SAS_TOKEN", Sas("2027-06-01")}};
  EXPECT_EQ(Proof("key"), "SharedKey contoso");
  EXPECT_EQ(Proof("string"), "SharedKey contoso");
  EXPECT_EQ(Proof("sas"), "?" + Sas("2027-01-01"));
  EXPECT_EQ(Proof(""), "?" + Sas("2027-06-01"));
  EXPECT_THAT(Proof("kee"), HasSubstr("did you mean 'key'"));
  EXPECT_THAT(Proof("../key"), HasSubstr("ASR9001"));
  EXPECT_THAT(warnings_.lines, IsEmpty());
}

TEST_F(FindAuthorizerTest, VariablesOfAnotherAccountArePassedOver) {
  variables_ = {{"AZURE_STORAGE_ACCOUNT", "fabrikam"}, {"AZURE_STORAGE_KEY", "aHVzaA=="}};
  const auto none = Find("");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kCredentialNotFound);
  EXPECT_EQ(none.error().kind, ErrorKind::kNotFound);
  EXPECT_THAT(none.error().action, HasSubstr("asr credential add NAME --account contoso"));
  EXPECT_THAT(none.error().action, HasSubstr("AZURE_STORAGE_CONNECTION_STRING"));
  variables_["AZURE_STORAGE_ACCOUNT"] = "contoso";
  EXPECT_EQ(Proof(""), "SharedKey contoso");
  EXPECT_EQ(Proof("", kLocal), "SharedKey contoso");
  // A domain of one's own does not tell the account; the credential does.
  variables_["AZURE_STORAGE_ACCOUNT"] = "fabrikam";
  EXPECT_EQ(Proof("", "https://backup.example.com/vault"), "SharedKey fabrikam");
}

TEST_F(FindAuthorizerTest, TheCredentialOfAnotherAccountIsRefused) {
  Add("key", Make(Kind::kAccountKey, "aHVzaA==", "fabrikam"));
  Add("string", Make(Kind::kConnectionString, "AccountName=fabrikam;AccountKey=aHVzaA=="));
  Add("sas", Make(Kind::kSas, Sas("2027-01-01"), "fabrikam"));
  for (const char* name : {"key", "string", "sas"}) {
    for (const char* url : {kUrl, kLocal}) {
      const auto refused = Find(name, url);
      ASSERT_FALSE(refused) << name;
      EXPECT_EQ(refused.error().code, ErrorCode::kCredentialInvalid) << name;
      EXPECT_THAT(refused.error().Line(), HasSubstr("fabrikam, not for contoso")) << name;
    }
    EXPECT_TRUE(Find(name, "https://backup.example.com/vault")) << name;
  }
}

TEST_F(FindAuthorizerTest, ASasNearItsEndIsWarnedOf) {
  Add("sas", Make(Kind::kSas, Sas("2026-11-30T06:00:00Z"), "contoso"));
  ASSERT_EQ(warnings_.lines.size(), 1U);
  EXPECT_THAT(warnings_.lines[0], HasSubstr("credential sas ends at 2026-11-30T06:00:00.000Z, in "
                                            "6 days"));
  EXPECT_THAT(warnings_.lines[0], HasSubstr("--sas-file FILE --account contoso --replace"));
  warnings_.lines.clear();
  EXPECT_TRUE(Find("sas"));
  EXPECT_EQ(warnings_.lines.size(), 1U);
  warnings_.lines.clear();
  Add("later", Make(Kind::kSas, Sas("2026-11-30T06:30:01Z")));
  EXPECT_THAT(warnings_.lines, IsEmpty());
  variables_ = {{"AZURE_STORAGE_SAS_TOKEN", Sas("2026-11-23T08:00:00Z")}};
  EXPECT_TRUE(Find(""));
  ASSERT_EQ(warnings_.lines.size(), 1U);
  EXPECT_THAT(warnings_.lines[0], HasSubstr("AZURE_STORAGE_SAS_TOKEN ends at"));
  EXPECT_THAT(warnings_.lines[0], HasSubstr("in 1 hour;"));
  EXPECT_THAT(warnings_.lines[0], Not(HasSubstr("aHVzaA")));
}

TEST_F(FindAuthorizerTest, OneThatHasEndedIsRefused) {
  const auto late = AddCredential(*environment_, "sas", Make(Kind::kSas, Sas("2026-11-23")), false);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::kCredentialExpired);
  EXPECT_EQ(CredentialsOf(*environment_).Read("sas").error().code, ErrorCode::kCredentialNotFound);

  Add("sas", Make(Kind::kSas, Sas("2026-12-24")));
  clock_.Set(*ParseTime("2026-12-24T00:00:00Z"));
  const auto ended = Find("sas");
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code, ErrorCode::kCredentialExpired);
  EXPECT_THAT(ended.error().action, HasSubstr("asr credential add sas --sas-file FILE --replace"));
  // The same again is no change.
  EXPECT_TRUE(AddCredential(*environment_, "sas", Make(Kind::kSas, Sas("2026-12-24")), false));
  variables_ = {{"AZURE_STORAGE_SAS_TOKEN", Sas("2026-11-23")}};
  EXPECT_EQ(Find("").error().code, ErrorCode::kCredentialExpired);
}

TEST_F(FindAuthorizerTest, WorkGoesOnWithTheOneThatTookItsPlace) {
  Add("sas", Make(Kind::kSas, Sas("2026-12-24")));
  const auto authorizer = Find("sas");
  ASSERT_TRUE(authorizer);
  EXPECT_EQ(Sign(**authorizer), "?" + Sas("2026-12-24"));
  clock_.Set(*ParseTime("2026-12-24T00:00:00Z"));
  EXPECT_THAT(Sign(**authorizer), HasSubstr("expired"));
  Add("sas", Make(Kind::kSas, Sas("2027-12-24")), /*replace=*/true);
  EXPECT_EQ(Sign(**authorizer), "?" + Sas("2027-12-24"));
  // Refused: the one that is kept by now is tried, unless it is the same.
  HttpRequest refused;
  refused.url = "https://x/y?" + Sas("2027-12-24");
  EXPECT_FALSE((*authorizer)->Renew(refused, {}, {}).value());
  Add("sas", Make(Kind::kSas, Sas("2028-12-24")), /*replace=*/true);
  EXPECT_TRUE((*authorizer)->Renew(refused, {}, {}).value());
  EXPECT_EQ(Sign(**authorizer), "?" + Sas("2028-12-24"));
  // Another kind of credential cannot go on in the middle.
  refused.url = "https://x/y?" + Sas("2028-12-24");
  Add("sas", Make(Kind::kAccountKey, "aHVzaA==", "contoso"), /*replace=*/true);
  EXPECT_FALSE((*authorizer)->Renew(refused, {}, {}));
}

TEST_F(FindAuthorizerTest, ASasOverPlainHttpIsWarnedOf) {
  Add("sas", Make(Kind::kSas, Sas("2027-12-24")));
  Add("key", Make(Kind::kAccountKey, "aHVzaA==", "contoso"));
  for (const char* safe : {"https://10.1.2.3/contoso/vault", "http://127.0.0.1:10000/contoso/vault",
                           "http://localhost:10000/contoso/vault"}) {
    EXPECT_TRUE(Find("sas", safe));
  }
  EXPECT_TRUE(Find("key", "http://10.1.2.3/contoso/vault"));
  EXPECT_THAT(warnings_.lines, IsEmpty());
  EXPECT_TRUE(Find("sas", "http://10.1.2.3/contoso/vault"));
  EXPECT_THAT(warnings_.lines, ElementsAre(HasSubstr("credential sas")));
  EXPECT_THAT(warnings_.lines[0], HasSubstr("plain http"));
  EXPECT_THAT(warnings_.lines[0], Not(HasSubstr("sig=")));
  variables_ = {{"AZURE_STORAGE_ACCOUNT", "contoso"},
                {"AZURE_STORAGE_SAS_TOKEN", Sas("2027-12-24")}};
  EXPECT_TRUE(Find("", "http://10.1.2.3/contoso/vault"));
  EXPECT_EQ(warnings_.lines.size(), 2U);
}

TEST_F(FindAuthorizerTest, EntraIdComesLastAndOverHttpsOnly) {
  Add("me", Make(Kind::kAzureCli, ""));
  const auto left_out = Find("me");
  ASSERT_FALSE(left_out);
  EXPECT_EQ(left_out.error().kind, ErrorKind::kUnsupported);

  std::vector<std::string> asked;
  entra_ = [&](const EntraIdentity* identity) -> Result<std::unique_ptr<Authorizer>> {
    asked.emplace_back(identity == nullptr ? "" : CredentialKindName(identity->credential.kind));
    return std::make_unique<FixedAuthorizer>();
  };
  EXPECT_EQ(Proof("me"), "Bearer given");
  EXPECT_EQ(Proof(""), "Bearer given");
  EXPECT_THAT(asked, ElementsAre("azure-cli", ""));
  EXPECT_THAT(Proof("me", kLocal), HasSubstr("ASR1605"));
  EXPECT_THAT(Proof("", kLocal), HasSubstr("ASR1603"));
  variables_ = {{"AZURE_STORAGE_KEY", "aHVzaA=="}};
  EXPECT_EQ(Proof(""), "SharedKey contoso");
  EXPECT_THAT(asked, ElementsAre("azure-cli", ""));
  // Whoever signed in with `asr login` comes before what the surroundings say.
  StoredCredential login = Make(Kind::kLogin, "refresh-1");
  login.tenant = "contoso.com";
  login.client_id = "c1";
  login.authority = "https://login.microsoftonline.com";
  Add(kLoginName, login);
  EXPECT_EQ(Proof(""), "SharedKey contoso");
  variables_.clear();
  EXPECT_EQ(Proof(""), "Bearer given");
  EXPECT_THAT(asked, ElementsAre("azure-cli", "", "login"));
}

TEST_F(FindAuthorizerTest, ACertificateNeedsAPrivateFileWithItsKey) {
  const std::string path = directory_ / "cert.pem";
  StoredCredential credential = Make(Kind::kClientCertificate, "");
  credential.tenant = "t";
  credential.client_id = "c";
  credential.certificate_path = path;
  const auto refusal = [&]() -> std::string {
    const auto added = AddCredential(*environment_, "cert", credential, false);
    return added ? "" : added.error().Line();
  };
  const auto write = [&](std::string_view text) {
    ASSERT_TRUE(WriteFileAtomic(PosixFileSystem(), path,
                                std::as_bytes(std::span(text.data(), text.size()))));
  };
  EXPECT_THAT(refusal(), HasSubstr("credential cert"));  // there is no file
  write("-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\nhush");
  EXPECT_THAT(refusal(), HasSubstr("can be read by others"));
  write("-----BEGIN CERTIFICATE-----\nhush");
  ASSERT_EQ(::chmod(path.c_str(), 0600), 0);
  EXPECT_THAT(refusal(), HasSubstr("has not both"));
  write("-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\nhush");
  ASSERT_EQ(::chmod(path.c_str(), 0600), 0);
  EXPECT_EQ(refusal(), "");
}

}  // namespace
}  // namespace asr
