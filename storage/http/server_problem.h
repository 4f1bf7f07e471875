// What a server says when it refuses: its code, its words, and the id under which it logged that.
#pragma once

#include <string>
#include <string_view>

#include "storage/base/clock.h"
#include "storage/base/error.h"
#include "storage/http/http_message.h"

namespace asr {

struct ServerProblem {
  std::string code;        // "ServerBusy", "invalid_client"; empty if it named none
  std::string message;     // one line; empty if it said nothing. Never what was signed
  std::string request_id;  // the server's own
};

// From x-ms-error-code, else from a body of Azure Storage (XML), Resource Manager or Entra ID
// (JSON).
[[nodiscard]] ServerProblem ReadServerProblem(const HttpResponse& response);

// The error of a reply that nobody expected: 401 and 403 kNotAuthorized, 404 and other 4xx
// kRequestRefused, 408, 429 and 503 kServerBusy, other 5xx kServerError, 1xx and 3xx kBadReply.
// `what` says what was tried: "cannot write to items/web/disk.vhd". `now` is this machine's time,
// to find out that its clock is wrong. Retryable as IsWorthRetrying (retry_policy.h) says.
[[nodiscard]] Error RefusalError(const HttpResponse& response, std::string_view what,
                                 Timestamp now);

}  // namespace asr
