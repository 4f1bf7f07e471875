// Sources of tokens against authorities on loopback.
#include "storage/auth/token_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <map>
#include <thread>

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <nlohmann/json.hpp>

#include "storage/auth/az_cli.h"
#include "storage/auth/client_assertion.h"
#include "storage/auth/crypto.h"
#include "storage/auth/entra_sources.h"
#include "storage/auth/managed_identity.h"
#include "storage/auth/token_chain.h"
#include "storage/auth/token_reply.h"
#include "storage/fs/file_system.h"
#include "storage/http/curl_transport.h"
#include "storage/http/url.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_transport.h"
#include "tests/support/raw_http_server.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_certificate.h"

namespace asr {
namespace {

using ::testing::Contains;
using testing::FakeClock;
using ::testing::HasSubstr;
using testing::PlainReply;
using testing::RawHttpServer;
using testing::ReceivedRequest;
using testing::Reply;
using testing::ServerConnection;
using testing::SharedCertificate;
using testing::TempDir;

constexpr const char* kToken = R"({"access_token":"the-token","expires_in":3600})";

class TokenSourceTest : public ::testing::Test {
 protected:
  TokenSourceTest() {
    Write("ca.pem", SharedCertificate().authority_pem());
    auto transport = CurlTransport::Create({.ca_file = directory_ / "ca.pem"});
    EXPECT_TRUE(transport);
    transport_ = *std::move(transport);
    client_ = std::make_unique<HttpClient>(*transport_, clock_);
  }
  std::string Write(const std::string& name, const std::string& text, unsigned mode = 0600) {
    const std::string path = directory_ / name;
    EXPECT_TRUE(WriteFileAtomic(PosixFileSystem(), path, AsBytes(text)));
    EXPECT_EQ(::chmod(path.c_str(), mode), 0);
    return path;
  }
  VariableLookup Variables() {
    return [this](const std::string& name) -> std::optional<std::string> {
      const auto found = variables_.find(name);
      if (found == variables_.end()) return std::nullopt;
      return found->second;
    };
  }
  EntraApplication Application() {
    auto application = ApplicationFromEnvironment(Variables());
    EXPECT_TRUE(application) << application.error().Line();
    return application ? *std::move(application) : EntraApplication();
  }
  void SetApplication(const RawHttpServer& authority) {
    variables_["AZURE_AUTHORITY_HOST"] = authority.origin() + "/";
    variables_["AZURE_TENANT_ID"] = "tenant-1";
    variables_["AZURE_CLIENT_ID"] = "client-1";
  }
  static std::map<std::string, std::string> Form(const ReceivedRequest& request) {
    std::map<std::string, std::string> fields;
    const auto url = ParseUrl("https://x/?" + request.body);
    for (const auto& [name, value] : url->query) {
      fields[name] = PercentDecode(value);
    }
    return fields;
  }
  static RawHttpServer::Handler Always(std::string reply) {
    return [reply](const ReceivedRequest&, ServerConnection& to) { return to.Write(reply); };
  }

  TempDir directory_;
  FakeClock clock_;
  std::map<std::string, std::string> variables_;
  std::unique_ptr<CurlTransport> transport_;
  std::unique_ptr<HttpClient> client_;
  const TokenRequest storage_{kStorageScope, {}};
};

TEST_F(TokenSourceTest, ClientSecret) {
  const RawHttpServer authority(Always(PlainReply(200, kToken)), &SharedCertificate());
  SetApplication(authority);
  const auto source = MakeClientSecretSource(Application(), Secret("s&cret="), *client_, clock_);
  const auto token = source->Fetch(storage_, {});
  ASSERT_TRUE(token) << token.error().Line();
  EXPECT_EQ(token->value.Reveal(), "the-token");
  EXPECT_EQ(token->expires_at, clock_.Now() + std::chrono::hours(1));
  const auto request = authority.requests().at(0);
  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.target, "/tenant-1/oauth2/v2.0/token");
  EXPECT_EQ(request.headers.Get("content-type"), "application/x-www-form-urlencoded");
  const auto form = Form(request);
  EXPECT_EQ(form.at("grant_type"), "client_credentials");
  EXPECT_EQ(form.at("client_id"), "client-1");
  EXPECT_EQ(form.at("client_secret"), "s&cret=");
  EXPECT_EQ(form.at("scope"), "https://storage.azure.com/.default");
  ASSERT_TRUE(source->Fetch({kStorageScope, "tenant-2"}, {}));
  EXPECT_EQ(authority.requests().at(1).target, "/tenant-2/oauth2/v2.0/token");
}

TEST_F(TokenSourceTest, RefusalsSayWhatIsWrong) {
  const auto code = [&](int status, const std::string& body) {
    const RawHttpServer authority(Always(PlainReply(status, body)), &SharedCertificate());
    SetApplication(authority);
    const auto token = MakeClientSecretSource(Application(), Secret("hush"), *client_, clock_)
                           ->Fetch(storage_, {});
    EXPECT_FALSE(token);
    EXPECT_THAT(token.error().Line(), Not(HasSubstr("hush")));
    EXPECT_EQ(authority.requests().size(), 1U);
    return token.error().code;
  };
  const std::string form = R"({{"error":"{}","error_description":"{}: words.\r\nTrace ID: x"}})";
  EXPECT_EQ(code(401, fmt::format(fmt::runtime(form), "invalid_client", "AADSTS7000222")),
            ErrorCode::kCredentialExpired);
  EXPECT_EQ(code(401, fmt::format(fmt::runtime(form), "invalid_client", "AADSTS7000215")),
            ErrorCode::kCredentialInvalid);
  EXPECT_EQ(code(400, fmt::format(fmt::runtime(form), "unauthorized_client", "AADSTS700016")),
            ErrorCode::kSignInFailed);
  EXPECT_EQ(code(200, "<html>a portal</html>"), ErrorCode::kBadReply);
  EXPECT_EQ(code(200, R"({"access_token":"","expires_in":1})"), ErrorCode::kBadReply);
  EXPECT_EQ(code(200, R"({"access_token":"hush"})"), ErrorCode::kBadReply);
}

TEST_F(TokenSourceTest, ABusyAuthorityIsAskedAgain) {
  std::atomic<int> asked = 0;
  const RawHttpServer authority(
      [&](const ReceivedRequest&, ServerConnection& to) {
        return to.Write(asked++ == 0 ? PlainReply(503, "") : PlainReply(200, kToken));
      },
      &SharedCertificate());
  SetApplication(authority);
  EXPECT_TRUE(
      MakeClientSecretSource(Application(), Secret("x"), *client_, clock_)->Fetch(storage_, {}));
}

// The claims of a token whose signature is right.
nlohmann::json VerifiedClaims(const std::string& token, nlohmann::json& header) {
  const std::size_t first = token.find('.');
  const std::size_t last = token.rfind('.');
  const std::unique_ptr<BIO, decltype(&BIO_free)> memory(
      BIO_new_mem_buf(SharedCertificate().certificate_pem().data(), -1), BIO_free);
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(
      PEM_read_bio_X509(memory.get(), nullptr, nullptr, nullptr), X509_free);
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        EVP_MD_CTX_free);
  EXPECT_EQ(EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr,
                                 X509_get0_pubkey(certificate.get())),
            1);
  const std::string signature = Base64UrlDecode(token.substr(last + 1)).value_or("");
  EXPECT_EQ(EVP_DigestVerify(
                context.get(), reinterpret_cast<const unsigned char*>(signature.data()),
                signature.size(), reinterpret_cast<const unsigned char*>(token.data()), last),
            1);
  header = nlohmann::json::parse(Base64UrlDecode(token.substr(0, first)).value_or(""));
  return nlohmann::json::parse(
      Base64UrlDecode(token.substr(first + 1, last - first - 1)).value_or(""));
}

TEST_F(TokenSourceTest, ClientCertificate) {
  const RawHttpServer authority(Always(PlainReply(200, kToken)), &SharedCertificate());
  SetApplication(authority);
  // Test certificates begin an hour ago by the real clock, whatever the fake one says.
  clock_.Set(SystemClock().Now());
  const std::string pem =
      Write("client.pem", SharedCertificate().certificate_pem() + SharedCertificate().key_pem());
  const auto source = MakeClientCertificateSource(Application(), pem, Secret(), *client_, clock_);
  const auto token = source->Fetch(storage_, {});
  ASSERT_TRUE(token) << token.error().Line();
  const auto form = Form(authority.requests().at(0));
  EXPECT_EQ(form.at("client_assertion_type"),
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
  EXPECT_FALSE(form.contains("client_secret"));
  nlohmann::json header;
  const auto claims = VerifiedClaims(form.at("client_assertion"), header);
  EXPECT_EQ(header["alg"], "RS256");
  EXPECT_EQ(header["x5t"].get<std::string>().size(), 27U);  // 20 bytes
  EXPECT_EQ(claims["aud"], authority.origin() + "/tenant-1/oauth2/v2.0/token");
  EXPECT_EQ(claims["iss"], "client-1");
  EXPECT_EQ(claims["sub"], "client-1");
  EXPECT_EQ(claims["exp"].get<int>() - claims["nbf"].get<int>(), 600);
  ASSERT_TRUE(source->Fetch(storage_, {}));
  EXPECT_NE(Form(authority.requests().at(1)).at("client_assertion"), form.at("client_assertion"));
}

TEST_F(TokenSourceTest, CertificatesThatCannotBeUsed) {
  const auto code = [&](const std::string& pem, Timestamp now) {
    const auto certificate = ClientCertificate::Parse(Secret(pem), Secret());
    if (!certificate) return certificate.error().code;
    const auto assertion = certificate->Assertion("c", "a", now);
    return assertion ? ErrorCode{} : assertion.error().code;
  };
  const std::string certificate = SharedCertificate().certificate_pem();
  const std::string key = SharedCertificate().key_pem();
  const Timestamp now = SystemClock().Now();
  EXPECT_EQ(code(key + certificate, now), ErrorCode{});
  EXPECT_EQ(code(certificate, now), ErrorCode::kCredentialInvalid);
  EXPECT_EQ(code(key, now), ErrorCode::kCredentialInvalid);
  EXPECT_EQ(code(key + SharedCertificate().authority_pem(), now), ErrorCode::kCredentialInvalid);
  EXPECT_EQ(code("", now), ErrorCode::kCredentialInvalid);
  EXPECT_EQ(code(key + certificate, now + std::chrono::hours(25)), ErrorCode::kCredentialExpired);
}

TEST_F(TokenSourceTest, AReadableCertificateIsRefused) {
  const RawHttpServer authority(Always(PlainReply(200, kToken)), &SharedCertificate());
  SetApplication(authority);
  const std::string pem = Write(
      "client.pem", SharedCertificate().certificate_pem() + SharedCertificate().key_pem(), 0644);
  const auto token = MakeClientCertificateSource(Application(), pem, Secret(), *client_, clock_)
                         ->Fetch(storage_, {});
  EXPECT_EQ(token.error().code, ErrorCode::kCredentialInvalid);
  EXPECT_TRUE(authority.requests().empty());
}

TEST_F(TokenSourceTest, WorkloadIdentityReadsItsFileForEveryToken) {
  const RawHttpServer authority(Always(PlainReply(200, kToken)), &SharedCertificate());
  SetApplication(authority);
  const std::string path = Write("token", "first\n", 0644);  // as Kubernetes makes it
  const auto source = MakeWorkloadIdentitySource(Application(), path, *client_, clock_);
  ASSERT_TRUE(source->Fetch(storage_, {}));
  Write("token", "second", 0644);
  ASSERT_TRUE(source->Fetch(storage_, {}));
  EXPECT_EQ(Form(authority.requests().at(0)).at("client_assertion"), "first");
  EXPECT_EQ(Form(authority.requests().at(1)).at("client_assertion"), "second");
}

TEST_F(TokenSourceTest, SecretsAreSentOverTlsOnly) {
  variables_ = {{"AZURE_AUTHORITY_HOST", "http://127.0.0.1:1"},
                {"AZURE_TENANT_ID", "t"},
                {"AZURE_CLIENT_ID", "c"}};
  EXPECT_EQ(ApplicationFromEnvironment(Variables()).error().code, ErrorCode::kCredentialInvalid);
  variables_["AZURE_AUTHORITY_HOST"] = "https://127.0.0.1:1";
  EXPECT_TRUE(ApplicationFromEnvironment(Variables()));
  variables_["AZURE_TENANT_ID"] = "../evil";
  EXPECT_EQ(ApplicationFromEnvironment(Variables()).error().code, ErrorCode::kCredentialInvalid);
}

class ManagedIdentityTest : public TokenSourceTest {
 protected:
  Result<AccessToken> Fetch(ManagedIdentityOptions options = {}) {
    return MakeManagedIdentitySource(Variables(), std::move(options), *client_, clock_)
        ->Fetch(storage_, {});
  }
};

TEST_F(ManagedIdentityTest, VirtualMachine) {
  const RawHttpServer service(Always(
      PlainReply(200, R"({"access_token":"vm","expires_on":"1795420800","expires_in":"5400"})")));
  variables_["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = service.origin();
  const auto token = Fetch({.client_id = "mine"});
  ASSERT_TRUE(token) << token.error().Line();
  EXPECT_EQ(token->value.Reveal(), "vm");
  EXPECT_EQ(token->expires_at, clock_.Now() + std::chrono::seconds(5400));
  const auto request = service.requests().at(0);
  EXPECT_EQ(request.target,
            "/metadata/identity/oauth2/token?api-version=2018-02-01&"
            "resource=https%3A%2F%2Fstorage.azure.com&client_id=mine");
  EXPECT_EQ(request.headers.Get("metadata"), "true");
}

TEST_F(ManagedIdentityTest, NoServiceMeansNotHereAndSoon) {
  std::string origin;
  { origin = RawHttpServer(Always("")).origin(); }
  variables_["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = origin;
  const double before = clock_.MonotonicSeconds();
  EXPECT_EQ(Fetch().error().code, ErrorCode::kCredentialNotFound);
  EXPECT_EQ(clock_.MonotonicSeconds(), before);  // no second try
}

TEST_F(ManagedIdentityTest, AMachineWithoutAnIdentity) {
  const RawHttpServer service(Always(PlainReply(400, R"({"error":"invalid_request"})")));
  variables_["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = service.origin();
  EXPECT_EQ(Fetch().error().code, ErrorCode::kCredentialNotFound);
}

// Not Azure's: of a container's host, or of a network that lets nothing through.
TEST_F(ManagedIdentityTest, AProxyThatRefusesIsNoIdentity) {
  const RawHttpServer service(
      Always(PlainReply(403, "connecting to 169.254.169.254: unreachable")));
  variables_["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = service.origin();
  EXPECT_EQ(Fetch().error().code, ErrorCode::kCredentialNotFound);
}

TEST_F(ManagedIdentityTest, ABusyServiceIsAskedAgain) {
  std::atomic<int> asked = 0;
  const RawHttpServer service([&](const ReceivedRequest&, ServerConnection& to) {
    return to.Write(asked++ < 2 ? PlainReply(429, "") : PlainReply(200, kToken));
  });
  variables_["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = service.origin();
  EXPECT_TRUE(Fetch());
}

TEST_F(ManagedIdentityTest, AppServiceOldAndNew) {
  const RawHttpServer service(
      Always(PlainReply(200, R"({"access_token":"app","expires_on":"1795420800"})")));
  variables_ = {{"IDENTITY_ENDPOINT", service.origin() + "/msi/token"},
                {"IDENTITY_HEADER", "header-secret"}};
  const auto token = Fetch();
  ASSERT_TRUE(token) << token.error().Line();
  EXPECT_EQ(token->expires_at, Timestamp{std::chrono::seconds(1'795'420'800)});
  EXPECT_EQ(service.requests().at(0).target,
            "/msi/token?api-version=2019-08-01&resource=https%3A%2F%2Fstorage.azure.com");
  EXPECT_EQ(service.requests().at(0).headers.Get("x-identity-header"), "header-secret");
  variables_ = {{"MSI_ENDPOINT", service.origin() + "/msi/token"}, {"MSI_SECRET", "old-secret"}};
  ASSERT_TRUE(Fetch({.client_id = "mine"}));
  EXPECT_THAT(service.requests().at(1).target, HasSubstr("api-version=2017-09-01"));
  EXPECT_THAT(service.requests().at(1).target, HasSubstr("clientid=mine"));
  EXPECT_EQ(service.requests().at(1).headers.Get("secret"), "old-secret");
}

TEST_F(ManagedIdentityTest, ArcAsksForAKeyThatLiesWhereItMust) {
  std::string realm;
  const RawHttpServer service([&](const ReceivedRequest& request, ServerConnection& to) {
    if (request.headers.Get("authorization") == "Basic the-key") {
      return to.Write(PlainReply(200, kToken));
    }
    return to.Write(PlainReply(401, "", "WWW-Authenticate: Basic realm=" + realm + "\r\n"));
  });
  variables_ = {{"IDENTITY_ENDPOINT", service.origin() + "/metadata/identity/oauth2/token"},
                {"IMDS_ENDPOINT", service.origin()}};
  const ManagedIdentityOptions options{.client_id = {}, .arc_key_directory = directory_.path()};
  realm = Write("a.key", "the-key", 0640);
  ASSERT_TRUE(Fetch(options));
  EXPECT_THAT(service.requests().at(0).target, HasSubstr("api-version=2019-11-01"));
  for (const std::string& elsewhere :
       {std::string("/etc/passwd"), std::string("/etc/x.key"), directory_ / "../x.key",
        Write("a.txt", "the-key"), std::string()}) {
    realm = elsewhere;
    EXPECT_EQ(Fetch(options).error().code, ErrorCode::kSignInFailed) << elsewhere;
  }
}

class AzCliTest : public TokenSourceTest {
 protected:
  AzCliTest() : path_(::getenv("PATH")) {}
  ~AzCliTest() override { ::setenv("PATH", path_.c_str(), 1); }
  void SetAz(const std::string& script) {
    Write("az", "#!/bin/sh\n" + script, 0700);
    ::setenv("PATH", (directory_.path() + ":/usr/bin:/bin").c_str(), 1);
  }
  Result<AccessToken> Fetch(const std::string& tenant = {}) {
    return MakeAzCliSource(clock_)->Fetch({kStorageScope, tenant}, stop_.get_token());
  }
  std::string path_;
  std::stop_source stop_;
};

TEST_F(AzCliTest, PrefersTheTimeThatHasNoZone) {
  SetAz(
      "echo \"$@\" > \"$(dirname \"$0\")/asked\"\n"
      "echo '{\"accessToken\":\"az\",\"expiresOn\":\"2001-01-01 00:00:00.000000\","
      "\"expires_on\":1795420800}'");
  const auto token = Fetch("tenant-1");
  ASSERT_TRUE(token) << token.error().Line();
  EXPECT_EQ(token->value.Reveal(), "az");
  EXPECT_EQ(token->expires_at, Timestamp{std::chrono::seconds(1'795'420'800)});
  EXPECT_EQ(*ReadWholeFile(PosixFileSystem(), directory_ / "asked"),
            "account get-access-token --output json --scope https://storage.azure.com/.default "
            "--tenant tenant-1\n");
}

TEST_F(AzCliTest, OlderOnesSayLocalTime) {
  const std::string local = "2026-11-23 07:30:00";
  SetAz("echo '{\"accessToken\":\"az\",\"expiresOn\":\"" + local + ".000000\"}'");
  std::tm fields{};
  ASSERT_NE(::strptime(local.c_str(), "%Y-%m-%d %H:%M:%S", &fields), nullptr);
  fields.tm_isdst = -1;
  EXPECT_EQ(Fetch()->expires_at, Timestamp{std::chrono::seconds(std::mktime(&fields))});
}

TEST_F(AzCliTest, NobodySignedInAndNotInstalledMeanNotHere) {
  SetAz("echo \"ERROR: Please run 'az login' to setup account.\" >&2; exit 1");
  EXPECT_EQ(Fetch().error().code, ErrorCode::kCredentialNotFound);
  EXPECT_EQ(Fetch().error().action, "az login");
  ::setenv("PATH", (directory_ / "empty").c_str(), 1);
  EXPECT_EQ(Fetch().error().code, ErrorCode::kCredentialNotFound);
}

TEST_F(AzCliTest, OtherTroubleIsTold) {
  SetAz("echo 'ERROR: AADSTS50076: more proof is needed' >&2; exit 1");
  const auto token = Fetch();
  EXPECT_EQ(token.error().code, ErrorCode::kSignInFailed);
  EXPECT_THAT(token.error().message, HasSubstr("AADSTS50076"));
  SetAz("echo nonsense");
  EXPECT_EQ(Fetch().error().code, ErrorCode::kBadReply);
}

TEST_F(AzCliTest, NothingStrangeReachesTheScript) {
  SetAz("touch \"$(dirname \"$0\")/ran\"");
  for (const char* tenant : {"a b", "$(x)", "a;b", "a'b", "a\nb"}) {
    EXPECT_EQ(Fetch(tenant).error().code, ErrorCode::kCredentialInvalid) << tenant;
  }
  EXPECT_FALSE(Exists(PosixFileSystem(), directory_ / "ran"));
}

TEST_F(AzCliTest, WhatHangsIsStoppedWithAllItStarted) {
  SetAz("echo $$ > \"$(dirname \"$0\")/pid\"; sleep 60");
  std::thread stopper([&] {
    while (!Exists(PosixFileSystem(), directory_ / "pid")) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    stop_.request_stop();
  });
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(Fetch().error().code, ErrorCode::kCancelled);
  stopper.join();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
  const int group = std::stoi(*ReadWholeFile(PosixFileSystem(), directory_ / "pid"));
  // What was killed may take a moment until it is collected.
  for (int i = 0; i < 500 && ::kill(-group, 0) == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_NE(::kill(-group, 0), 0);
}

class FakeSource : public TokenSource {
 public:
  FakeSource(std::string name, Result<AccessToken> answer)
      : name_(std::move(name)), answer_(std::move(answer)) {}
  std::string name() const override { return name_; }
  Result<AccessToken> Fetch(const TokenRequest&, const std::stop_token&) override {
    ++*asked_;
    return answer_;
  }
  std::string name_;
  Result<AccessToken> answer_;
  std::shared_ptr<int> asked_ = std::make_shared<int>(0);
};

TEST(TokenChainTest, TheFirstThatIsSetUpIsKeptTo) {
  const Error missing =
      MakeError(ErrorKind::kNotFound, ErrorCode::kCredentialNotFound, "is not set");
  auto first = std::make_unique<FakeSource>("first", Fail(missing));
  auto second = std::make_unique<FakeSource>("second", AccessToken{Secret("2"), {}, {}});
  auto third = std::make_unique<FakeSource>("third", AccessToken{Secret("3"), {}, {}});
  const auto first_asked = first->asked_;
  const auto third_asked = third->asked_;
  std::vector<std::unique_ptr<TokenSource>> sources;
  sources.push_back(std::move(first));
  sources.push_back(std::move(second));
  sources.push_back(std::move(third));
  TokenChain chain(std::move(sources));
  EXPECT_EQ(chain.Fetch({}, {})->value.Reveal(), "2");
  EXPECT_EQ(chain.Fetch({}, {})->value.Reveal(), "2");
  EXPECT_EQ(*first_asked, 1);
  EXPECT_EQ(*third_asked, 0);
  EXPECT_EQ(chain.name(), "second");
}

TEST(TokenChainTest, OneThatFailsEndsTheSearch) {
  std::vector<std::unique_ptr<TokenSource>> sources;
  sources.push_back(std::make_unique<FakeSource>(
      "first", Fail(MakeError(ErrorKind::kState, ErrorCode::kCredentialExpired, "is old"))));
  sources.push_back(std::make_unique<FakeSource>("second", AccessToken{Secret("2"), {}, {}}));
  TokenChain chain(std::move(sources));
  EXPECT_EQ(chain.Fetch({}, {}).error().code, ErrorCode::kCredentialExpired);
}

class DefaultSourceTest : public AzCliTest {
 protected:
  Result<AccessToken> FetchDefault() {
    ASR_TRY(const auto source,
            MakeDefaultTokenSource(Variables(), *client_, clock_,
                                   {.client_id = {}, .arc_key_directory = directory_.path()}));
    return source->Fetch(storage_, {});
  }
  std::string Value() {
    const auto token = FetchDefault();
    return token ? std::string(token->value.Reveal()) : token.error().CodeText();
  }
};

TEST_F(DefaultSourceTest, InTheOrderOfAzuresTools) {
  const auto token = [](std::string_view name) {
    return PlainReply(200, fmt::format(R"({{"access_token":"{}","expires_in":3600}})", name));
  };
  const RawHttpServer authority(
      [&](const ReceivedRequest& request, ServerConnection& to) {
        const bool has_secret = Form(request).contains("client_secret");
        return to.Write(token(has_secret ? "environment" : "workload"));
      },
      &SharedCertificate());
  const RawHttpServer service(Always(token("managed")));
  SetApplication(authority);
  variables_["AZURE_CLIENT_SECRET"] = "x";
  variables_["AZURE_FEDERATED_TOKEN_FILE"] = Write("token", "y", 0644);
  variables_["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = service.origin();
  SetAz("echo '{\"accessToken\":\"cli\",\"expires_on\":1795420800}'");
  EXPECT_EQ(Value(), "environment");
  for (const auto& [kind, expected] :
       std::map<std::string, std::string>{{"prod", "environment"},
                                          {"dev", "cli"},
                                          {"EnvironmentCredential", "environment"},
                                          {"WorkloadIdentityCredential", "workload"},
                                          {"managedidentitycredential", "managed"},
                                          {"AzureCliCredential", "cli"},
                                          {"SomeOtherCredential", "ASR1605"}}) {
    variables_["AZURE_TOKEN_CREDENTIALS"] = kind;
    EXPECT_EQ(Value(), expected) << kind;
  }
  variables_.erase("AZURE_TOKEN_CREDENTIALS");
  variables_.erase("AZURE_CLIENT_SECRET");
  EXPECT_EQ(Value(), "workload");
  variables_.erase("AZURE_FEDERATED_TOKEN_FILE");
  EXPECT_EQ(Value(), "managed");
  variables_["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = "http://127.0.0.1:1";
  EXPECT_EQ(Value(), "cli");
}

TEST_F(DefaultSourceTest, NothingSetUpSaysWhyForEach) {
  variables_["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = "http://127.0.0.1:1";
  ::setenv("PATH", (directory_ / "empty").c_str(), 1);
  const auto token = FetchDefault();
  ASSERT_FALSE(token);
  EXPECT_EQ(token.error().code, ErrorCode::kCredentialNotFound);
  EXPECT_EQ(token.error().causes.size(), 4U);
  EXPECT_THAT(token.error().causes, Contains(HasSubstr("AZURE_CLIENT_SECRET")));
  EXPECT_THAT(token.error().causes, Contains(HasSubstr("is not installed")));
}

}  // namespace
}  // namespace asr
