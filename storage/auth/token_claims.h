// What a token of Entra ID says of who holds it.
#pragma once

#include <string>
#include <string_view>

namespace asr {

// For people to read: no signature is checked, and nothing is allowed by it.
struct TokenClaims {
  std::string user;    // "ada@contoso.com", an application's id; empty: it does not say
  std::string tenant;  // its id; empty: it does not say
};

// Of a JSON web token; all empty if it is none.
[[nodiscard]] TokenClaims ReadTokenClaims(std::string_view token);

}  // namespace asr
