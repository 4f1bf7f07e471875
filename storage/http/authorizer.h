// What proves to a server who asks.
#pragma once

#include <stop_token>
#include <string>

#include "storage/base/result.h"
#include "storage/http/http_message.h"

namespace asr {

// A blob that the service is to read itself, as the source of a copy.
struct CopySource {
  std::string container;
  std::string blob;
  std::string snapshot;  // the service's name of it; empty: the blob itself
};

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
  // The same proof for `request`, a GET of `source`, but one that can be handed to the service: it
  // is in the URL, or an Authorization that holds for any request. Good for an hour at least, or as
  // long as what it is made of.
  [[nodiscard]] virtual Status SignSource(HttpRequest& request, const CopySource& /*source*/,
                                          const std::stop_token& stop) {
    return Sign(request, stop);
  }
};

}  // namespace asr
