// Entra ID on loopback: device codes, refresh tokens that are replaced, applications' secrets.
#pragma once

#include <chrono>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "storage/auth/crypto.h"
#include "storage/http/url.h"
#include "tests/support/raw_http_server.h"
#include "tests/support/test_certificate.h"

namespace asr::testing {

// A JSON web token that nobody signed.
inline std::string UnsignedToken(const nlohmann::json& claims) {
  return Base64UrlEncode(AsBytes(std::string(R"({"alg":"none"})"))) + "." +
         Base64UrlEncode(AsBytes(claims.dump())) + "." +
         Base64UrlEncode(AsBytes(std::string("unsigned")));
}

class FakeEntra {
 public:
  // Speaks TLS.
  explicit FakeEntra(const TestCertificate& certificate)
      : server_([this](const ReceivedRequest& request,
                       ServerConnection& to) { return to.Write(Answer(request)); },
                &certificate) {}

  [[nodiscard]] std::string origin() const { return server_.origin(); }
  [[nodiscard]] std::vector<ReceivedRequest> requests() const { return server_.requests(); }

  // What a poll for the code is answered, one after the other; after these: signed in.
  void Poll(std::vector<std::string> problems) {
    const std::lock_guard lock(mutex_);
    polls_ = std::move(problems);
  }
  // Refresh tokens given so far are refused from now on.
  void RevokeAll() {
    const std::lock_guard lock(mutex_);
    good_.clear();
  }
  // A refresh token is good once: the next one withdraws it.
  void Rotate() {
    const std::lock_guard lock(mutex_);
    rotates_ = true;
  }
  // Of access tokens and codes.
  void SetLifetime(int token_seconds, int code_seconds) {
    const std::lock_guard lock(mutex_);
    token_seconds_ = token_seconds;
    code_seconds_ = code_seconds;
  }

  static std::map<std::string, std::string> Form(const ReceivedRequest& request) {
    std::map<std::string, std::string> fields;
    const auto url = ParseUrl("https://x/?" + request.body);
    for (const auto& [name, value] : url->query) fields[name] = PercentDecode(value);
    return fields;
  }

 private:
  static std::string Refuse(const std::string& problem) {
    const nlohmann::json body = {{"error", problem},
                                 {"error_description", "AADSTS70016: words.\r\nTrace: x"}};
    return PlainReply(400, body.dump());
  }

  std::string Answer(const ReceivedRequest& request) {
    const std::lock_guard lock(mutex_);
    const auto form = Form(request);
    if (request.target.ends_with("/devicecode")) {
      const nlohmann::json body = {{"device_code", "device-secret"},
                                   {"user_code", "ABCD-EFGH"},
                                   {"verification_uri", "https://microsoft.com/devicelogin"},
                                   {"expires_in", code_seconds_},
                                   {"interval", 1}};
      return PlainReply(200, body.dump());
    }
    const std::string grant = form.contains("grant_type") ? form.at("grant_type") : "";
    if (grant == "refresh_token") {
      const std::string& token = form.at("refresh_token");
      if (!good_.contains(token)) return Refuse("invalid_grant");
      if (rotates_) good_.erase(token);
      return Tokens(/*of_person=*/true);
    }
    if (grant == "client_credentials") {
      if (form.contains("client_secret") && form.at("client_secret") != "right-secret") {
        return Refuse("invalid_client");
      }
      return Tokens(/*of_person=*/false);
    }
    if (form.at("device_code") != "device-secret") return Refuse("bad_verification_code");
    if (polls_.empty()) return Tokens(/*of_person=*/true);
    const std::string problem = polls_.front();
    polls_.erase(polls_.begin());
    return problem == "503" ? PlainReply(503, "") : Refuse(problem);
  }

  std::string Tokens(bool of_person) {
    const auto now = std::chrono::duration_cast<std::chrono::seconds>(
                         std::chrono::system_clock::now().time_since_epoch())
                         .count();
    nlohmann::json claims = {{"aud", "https://storage.azure.com"},
                             {"iss", "https://sts.windows.net/tenant-of-ada/"},
                             {"iat", now - 60},
                             {"nbf", now - 60},
                             {"exp", now + 86400},
                             {"oid", "00000000-0000-0000-0000-000000000001"},
                             {"tid", "tenant-of-ada"},
                             {"sub", "subject"},
                             {"ver", "1.0"}};
    if (!of_person) claims["appid"] = "app-1";
    nlohmann::json body = {{"token_type", "Bearer"},
                           {"access_token", UnsignedToken(claims)},
                           {"expires_in", token_seconds_}};
    if (of_person) {
      const std::string refresh = fmt::format("refresh-{}", ++given_);
      good_.insert(refresh);
      body["refresh_token"] = refresh;
      body["id_token"] =
          UnsignedToken({{"preferred_username", "ada@contoso.com"}, {"tid", "tenant-of-ada"}});
    }
    return PlainReply(200, body.dump());
  }

  std::mutex mutex_;  // guards what follows
  std::vector<std::string> polls_;
  std::set<std::string> good_;
  bool rotates_ = false;
  int given_ = 0;
  int token_seconds_ = 3600;
  int code_seconds_ = 900;
  RawHttpServer server_;  // last: its threads use the rest
};

}  // namespace asr::testing
