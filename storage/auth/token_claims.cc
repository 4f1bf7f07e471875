#include "storage/auth/token_claims.h"

#include <nlohmann/json.hpp>

#include "storage/auth/crypto.h"
#include "storage/auth/entra_sources.h"

namespace asr {

TokenClaims ReadTokenClaims(std::string_view token) {
  const std::size_t first = token.find('.');
  const std::size_t last = token.rfind('.');
  if (first == std::string_view::npos || first == last) return {};
  const auto payload = Base64UrlDecode(token.substr(first + 1, last - first - 1));
  const auto json = nlohmann::json::parse(payload.value_or(""), nullptr, false);
  if (!json.is_object()) return {};
  const auto text = [&](const char* name) {
    const auto found = json.find(name);
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  TokenClaims claims;
  // People first, then applications; the object's id is all that a managed identity has.
  for (const char* const name :
       {"preferred_username", "upn", "unique_name", "email", "appid", "azp", "oid"}) {
    if (claims.user.empty()) claims.user = text(name);
  }
  claims.tenant = text("tid");
  if (!IsEntraName(claims.tenant)) claims.tenant.clear();
  return claims;
}

}  // namespace asr
