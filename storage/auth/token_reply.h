// What authorities answer to a request for a token.
#pragma once

#include <string>
#include <string_view>

#include "storage/auth/token_source.h"
#include "storage/http/http_message.h"

namespace asr {

// A reply with 200: {"access_token", "expires_in" or "expires_on", perhaps "refresh_in"}; of az
// {"accessToken", "expires_on" or "expiresOn"}. kBadReply, without the reply's text.
[[nodiscard]] Result<AccessToken> ReadToken(std::string_view body, Timestamp now);

// Of any other reply of Entra ID: kCredentialExpired or kCredentialInvalid where its code says that
// (AADSTS7000222, ...), else kSignInFailed. `who` names the source.
[[nodiscard]] Error SignInError(const HttpResponse& response, std::string_view who);

// Lifetimes over two hours are used half, others up to five minutes before their end.
[[nodiscard]] Timestamp RenewalTime(Timestamp now, Timestamp expires_at);

}  // namespace asr
