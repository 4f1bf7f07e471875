#include "storage/auth/managed_identity.h"

#include <atomic>
#include <filesystem>
#include <utility>

#include <fmt/format.h>

#include "storage/auth/secret_file.h"
#include "storage/auth/token_reply.h"
#include "storage/http/url.h"

namespace asr {
namespace {

// What these services call a scope.
std::string ResourceOf(const std::string& scope) {
  constexpr std::string_view kDefault = "/.default";
  return scope.ends_with(kDefault) ? scope.substr(0, scope.size() - kDefault.size()) : scope;
}

class IdentityService : public TokenSource {
 public:
  IdentityService(ManagedIdentityOptions options, std::string endpoint, HttpClient& client,
                  const Clock& clock)
      : options_(std::move(options)),
        endpoint_(std::move(endpoint)),
        client_(client),
        clock_(clock) {}

 protected:
  [[nodiscard]] HttpRequest Ask(const std::string& scope, std::string_view version,
                                const char* client_id_name = "client_id") const {
    std::vector<std::pair<std::string, std::string>> fields = {
        {"api-version", std::string(version)}, {"resource", ResourceOf(scope)}};
    if (!options_.client_id.empty()) fields.emplace_back(client_id_name, options_.client_id);
    HttpRequest request;
    request.url = endpoint_ + "?" + EncodeForm(fields);
    request.goes_past_proxies = true;
    return request;
  }

  [[nodiscard]] Result<HttpResponse> Send(HttpRequest request, const std::stop_token& stop,
                                          bool is_probe = false) {
    HttpCall call;
    call.what = fmt::format("cannot get a token of the {}", name());
    call.expected = {400, 401, 403, 404};
    if (is_probe) {
      request.connect_timeout_seconds = 1;
      request.stall_timeout_seconds = 30;
      call.retry = RetryPolicy{};
      call.retry->budget_seconds = 0;
    }
    return client_.Send(std::move(request), call, stop);
  }

  [[nodiscard]] Result<AccessToken> TokenOf(HttpResponse reply) const {
    if (!reply.IsSuccess()) return Fail(SignInError(reply, name()));
    const Secret text(std::move(reply.body));
    return ReadToken(text.Reveal(), clock_.Now());
  }

  [[nodiscard]] const ManagedIdentityOptions& options() const { return options_; }

 private:
  ManagedIdentityOptions options_;
  std::string endpoint_;
  HttpClient& client_;
  const Clock& clock_;
};

class AppService : public IdentityService {
 public:
  AppService(ManagedIdentityOptions options, std::string endpoint, Secret header, bool is_old,
             HttpClient& client, const Clock& clock)
      : IdentityService(std::move(options), std::move(endpoint), client, clock),
        header_(std::move(header)),
        is_old_(is_old) {}
  std::string name() const override { return "managed identity of App Service"; }
  Result<AccessToken> Fetch(const TokenRequest& asked, const std::stop_token& stop) override {
    HttpRequest request =
        is_old_ ? Ask(asked.scope, "2017-09-01", "clientid") : Ask(asked.scope, "2019-08-01");
    request.headers.Set(is_old_ ? "secret" : "x-identity-header", header_.Reveal());
    ASR_TRY(HttpResponse reply, Send(std::move(request), stop));
    return TokenOf(std::move(reply));
  }

 private:
  Secret header_;
  bool is_old_;
};

// The agent's challenge names a file that only those may read who may have the token.
class Arc : public IdentityService {
 public:
  using IdentityService::IdentityService;
  std::string name() const override { return "managed identity of Azure Arc"; }
  Result<AccessToken> Fetch(const TokenRequest& asked, const std::stop_token& stop) override {
    HttpRequest request = Ask(asked.scope, "2019-11-01");
    request.headers.Set("metadata", "true");
    ASR_TRY(const HttpResponse challenge, Send(request, stop));
    if (challenge.status != 401) return TokenOf(challenge);
    ASR_TRY(const std::string path, KeyPath(challenge.headers.Get("www-authenticate")));
    ASR_TRY(const Secret key, ReadPlatformFile(path));
    request.headers.Set("authorization", fmt::format("Basic {}", key.Reveal()));
    ASR_TRY(HttpResponse reply, Send(std::move(request), stop));
    return TokenOf(std::move(reply));
  }

 private:
  // Whoever answers in the agent's place must not make us send it any file.
  [[nodiscard]] Result<std::string> KeyPath(std::string_view challenge) const {
    constexpr std::string_view kRealm = "Basic realm=";
    const std::size_t at = challenge.find(kRealm);
    std::string path;
    if (at != std::string_view::npos) path = challenge.substr(at + kRealm.size());
    std::erase(path, '"');
    const std::filesystem::path file(path);
    if (file.extension() != ".key" || file.parent_path() != options().arc_key_directory) {
      return Fail(MakeError(ErrorKind::kState, ErrorCode::kSignInFailed,
                            "the agent of Azure Arc names no key in " + options().arc_key_directory)
                      .WithCause("something else answers at IDENTITY_ENDPOINT")
                      .WithAction("check the agent: azcmagent show"));
    }
    return path;
  }
};

class MetadataService : public IdentityService {
 public:
  using IdentityService::IdentityService;
  std::string name() const override { return "managed identity of this virtual machine"; }
  Result<AccessToken> Fetch(const TokenRequest& asked, const std::stop_token& stop) override {
    HttpRequest request = Ask(asked.scope, "2018-02-01");
    request.headers.Set("metadata", "true");
    const bool is_probe = !has_answered_;
    auto reply = Send(request, stop, is_probe);
    if (!reply && is_probe && reply.error().retryable &&
        reply.error().code != ErrorCode::kUnreachable) {
      // It is there, only busy.
      has_answered_ = true;
      reply = Send(std::move(request), stop);
    }
    if (!reply && is_probe && reply.error().code == ErrorCode::kUnreachable) {
      return Fail(MakeError(ErrorKind::kNotFound, ErrorCode::kCredentialNotFound,
                            "no metadata service answers: this is no virtual machine of Azure"));
    }
    if (!reply) return Fail(std::move(reply).error());
    // What other clouds, and proxies of containers, say at this address.
    const int status = reply->status;
    if (is_probe && (status == 404 || status == 403 || status == 400)) {
      return Fail(MakeError(ErrorKind::kNotFound, ErrorCode::kCredentialNotFound,
                            "this virtual machine has no managed identity, or not that one")
                      .WithAction("assign one: az vm identity assign -g GROUP -n VM"));
    }
    has_answered_ = true;
    return TokenOf(*std::move(reply));
  }

 private:
  std::atomic<bool> has_answered_ = false;
};

}  // namespace

std::unique_ptr<TokenSource> MakeManagedIdentitySource(const VariableLookup& environment,
                                                       ManagedIdentityOptions options,
                                                       HttpClient& client, const Clock& clock) {
  const auto endpoint = environment("IDENTITY_ENDPOINT");
  if (const auto header = environment("IDENTITY_HEADER"); endpoint && header) {
    return std::make_unique<AppService>(std::move(options), *endpoint, Secret(*header), false,
                                        client, clock);
  }
  if (endpoint && environment("IMDS_ENDPOINT")) {
    return std::make_unique<Arc>(std::move(options), *endpoint, client, clock);
  }
  const auto old_endpoint = environment("MSI_ENDPOINT");
  if (const auto secret = environment("MSI_SECRET"); old_endpoint && secret) {
    return std::make_unique<AppService>(std::move(options), *old_endpoint, Secret(*secret), true,
                                        client, clock);
  }
  std::string host =
      environment("AZURE_POD_IDENTITY_AUTHORITY_HOST").value_or("http://169.254.169.254");
  while (host.ends_with('/')) host.pop_back();
  return std::make_unique<MetadataService>(std::move(options),
                                           host + "/metadata/identity/oauth2/token", client, clock);
}

}  // namespace asr
