// Shared access signatures: of the account, of the service (container, blob, snapshot), and by a
// user delegation key.
#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>

#include "tests/support/page_blob_server/authorization.h"
#include "tests/support/page_blob_server/service_error.h"

namespace asr::testing::page_blob {
namespace {

constexpr std::string_view kOrderOfPermissions = "racwdxyltmeopi";

std::string Join(const std::vector<std::string>& fields) {
  return fmt::format("{}", fmt::join(fields, "\n"));
}

class Sas {
 public:
  Sas(const Credentials& credentials, const ServerRequest& request, const Target& target)
      : credentials_(credentials), request_(request), target_(target) {}

  [[nodiscard]] std::string Field(const std::string& name) const {
    return request_.QueryOr(name, "");
  }
  [[nodiscard]] bool is_of_account() const { return request_.Query("ss") != nullptr; }
  [[nodiscard]] bool is_delegated() const { return request_.Query("skoid") != nullptr; }
  [[nodiscard]] std::string StringToSign() const {
    if (is_of_account()) return OfAccount();
    return is_delegated() ? Delegated() : OfService();
  }
  // What the signature was made with; several where any of them will do. Plain bytes.
  [[nodiscard]] std::vector<std::string> Keys() const {
    std::vector<std::string> keys;
    if (is_delegated()) {
      const std::string key =
          UserDelegationKey(credentials_, Field("skt"), Field("ske"), Field("skv"));
      keys.push_back(*DecodeBase64(key));
    } else {
      for (const std::string& key : credentials_.keys) {
        if (!credentials_.refused.contains(key)) keys.push_back(*DecodeBase64(key));
      }
    }
    return keys;
  }

 private:
  // Account SAS ends with an empty line.
  [[nodiscard]] std::string OfAccount() const {
    std::vector<std::string> fields = {credentials_.account, Field("sp"),  Field("ss"),
                                       Field("srt"),         Field("st"),  Field("se"),
                                       Field("sip"),         Field("spr"), Field("sv")};
    if (Field("sv") >= "2020-12-06") fields.push_back(Field("ses"));
    fields.emplace_back();
    return Join(fields);
  }
  [[nodiscard]] std::string Resource() const {
    const std::string container = "/blob/" + credentials_.account + "/" + target_.container;
    return Field("sr") == "c" ? container : container + "/" + target_.blob;
  }
  [[nodiscard]] std::string Snapshot() const { return Field("sr") == "bs" ? target_.snapshot : ""; }
  void AppendReplyHeaders(std::vector<std::string>& fields) const {
    for (const char* name : {"rscc", "rscd", "rsce", "rscl", "rsct"}) fields.push_back(Field(name));
  }
  [[nodiscard]] std::string OfService() const {
    std::vector<std::string> fields = {Field("sp"), Field("st"),  Field("se"),  Resource(),
                                       Field("si"), Field("sip"), Field("spr"), Field("sv"),
                                       Field("sr"), Snapshot()};
    if (Field("sv") >= "2020-12-06") fields.push_back(Field("ses"));
    AppendReplyHeaders(fields);
    return Join(fields);
  }
  [[nodiscard]] std::string Delegated() const {
    std::vector<std::string> fields;
    for (const char* name : {"sp", "st", "se"}) fields.push_back(Field(name));
    fields.push_back(Resource());
    for (const char* name :
         {"skoid", "sktid", "skt", "ske", "sks", "skv", "saoid", "suoid", "scid"})
      fields.push_back(Field(name));
    if (Field("sv") >= "2025-07-05") {
      for (const char* name : {"skdutid", "sduoid"}) fields.push_back(Field(name));
    }
    for (const char* name : {"sip", "spr", "sv", "sr"}) fields.push_back(Field(name));
    fields.push_back(Snapshot());
    fields.push_back(Field("ses"));
    if (Field("sv") >= "2026-04-06") {
      for (const char* name : {"srh", "srq"}) fields.push_back(Field(name));
    }
    AppendReplyHeaders(fields);
    return Join(fields);
  }

  const Credentials& credentials_;
  const ServerRequest& request_;
  const Target& target_;
};

void CheckTimes(const Sas& sas, const std::string& start_name, const std::string& end_name,
                ServiceTime now) {
  const std::string start = sas.Field(start_name);
  const auto starts = ParseIsoTime(start);
  const auto ends = ParseIsoTime(sas.Field(end_name));
  if (!ends) RefuseAuthentication(end_name + " is mandatory and must be a time");
  if (!start.empty() && !starts) RefuseAuthentication(start_name + " must be a time");
  if (now >= *ends || (starts && now < *starts)) {
    RefuseAuthentication(fmt::format(
        "Signature not valid in the specified time frame: Start [{}] - Expiry [{}] - Current [{}]",
        starts ? FormatHttpDate(*starts) : "", FormatHttpDate(*ends), FormatHttpDate(now)));
  }
}

void CheckKind(const Sas& sas, const Target& target) {
  const char type = TraitsOf(target.operation).resource_type;
  if (sas.is_of_account()) {
    if (sas.Field("ss").find('b') == std::string::npos) Refuse("AuthorizationServiceMismatch");
    if (type != '*' && sas.Field("srt").find(type) == std::string::npos) {
      Refuse("AuthorizationResourceTypeMismatch");
    }
    return;
  }
  const std::string resource = sas.Field("sr");
  if (resource != "b" && resource != "c" && resource != "bs") {
    RefuseAuthentication("sr is invalid or is not supported here: '" + resource + "'");
  }
  // A SAS of one container lists it; what is above it needs a SAS of the account.
  const bool is_inside =
      type == 'o' || (type == 'c' && resource == "c" && target.operation == Operation::kListBlobs);
  if (!is_inside) Refuse("AuthorizationFailure");
  if (resource == "bs" && target.snapshot.empty()) Refuse("AuthorizationFailure");
  if (resource == "b" && !target.snapshot.empty()) Refuse("AuthorizationFailure");
}

void CheckPermissionLetters(const Sas& sas) {
  const std::string letters = sas.Field("sp");
  if (letters.empty()) RefuseAuthentication("sp is mandatory");
  if (sas.is_of_account()) return;
  std::size_t last = 0;
  for (const char letter : letters) {
    const std::size_t at = kOrderOfPermissions.find(letter, last);
    if (at == std::string_view::npos) {
      RefuseAuthentication("sp has letters that are unknown or out of order: '" + letters + "'");
    }
    last = at + 1;
  }
}

}  // namespace

Caller AuthorizeSas(const Credentials& credentials, const ServerRequest& request,
                    const Target& target, ServiceTime now) {
  const Sas sas(credentials, request, target);
  const std::string version = sas.Field("sv");
  if (version < "2018-11-09" || (sas.is_delegated() && version < "2020-12-06")) {
    RefuseAuthentication("sv is missing, or older than what is supported here: '" + version + "'");
  }
  if (!sas.Field("si").empty()) RefuseAuthentication("No stored access policy of that name");
  const std::string text = sas.StringToSign();
  const auto keys = sas.Keys();
  const bool is_signed = std::ranges::any_of(
      keys, [&](const std::string& key) { return HmacSha256(key, text) == sas.Field("sig"); });
  if (!is_signed) RefuseAuthentication("Signature did not match. String to sign used was " + text);
  CheckTimes(sas, "st", "se", now);
  if (sas.is_delegated()) CheckTimes(sas, "skt", "ske", now);
  if (credentials.refused.contains(sas.Field("sig"))) {
    RefuseAuthentication("Signature not valid in the specified time frame");
  }
  CheckPermissionLetters(sas);
  if (sas.Field("spr") == "https" && !request.is_tls) Refuse("AuthorizationProtocolMismatch");
  const std::string addresses = sas.Field("sip");
  if (!addresses.empty() && addresses.find("127.0.0.1") == std::string::npos) {
    Refuse("AuthorizationSourceIPMismatch");
  }
  CheckKind(sas, target);
  return {sas.Field("sig"), sas.Field("sp"), false, false};
}

}  // namespace asr::testing::page_blob
