// What proves to a server who asks.
#pragma once

#include <stop_token>

#include "storage/base/result.h"
#include "storage/http/http_message.h"

namespace asr {

// Thread-safe.
class Authorizer {
 public:
  virtual ~Authorizer() = default;
  // Adds the proof to the request, which is otherwise complete. Called for every try anew: a
  // signature holds for minutes only. May ask an authority for a token.
  [[nodiscard]] virtual Status Sign(HttpRequest& request, const std::stop_token& stop) = 0;
  // The server answered 401 to `refused`, as Sign left it: gets another proof if there can be one.
  // False: nothing has changed, so the same would only be refused again.
  [[nodiscard]] virtual Result<bool> Renew(const HttpRequest& /*refused*/,
                                           const HttpResponse& /*refusal*/,
                                           const std::stop_token& /*stop*/) {
    return false;
  }
};

}  // namespace asr
