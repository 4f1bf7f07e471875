#include "cli/credential_json.h"

#include "cli/json_values.h"

namespace asr {

Json CredentialJson(const CredentialSummary& credential) {
  Json json;
  json["name"] = credential.name;
  json["kind"] = CredentialKindName(credential.kind);
  json["account"] = TextJson(credential.account);
  json["user"] = TextJson(credential.user);
  json["expiresAt"] = TimeJson(credential.expires_at);
  return json;
}

}  // namespace asr
