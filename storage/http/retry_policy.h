// When a request is tried again, and how long that waits. Pure.
#pragma once

#include <optional>
#include <string_view>

#include "storage/base/clock.h"
#include "storage/http/http_message.h"

namespace asr {

struct RetryPolicy {
  double base_seconds = 0.8;  // before the second try; doubles with each one
  double cap_seconds = 60;
  // No try begins later than this after the first one. What the server asks to wait counts, too:
  // if it is longer than what is left, the request fails at once.
  double budget_seconds = 300;
  // Trouble on the way to a server that never answered this client: more likely a wrong name than
  // a network that will be back.
  int first_contact_tries = 3;
};

// Another try may help: 408, 429, 500, 502, 503, 504 (also as the status of a copy's source), but
// for a feature that the server does not have; and 409 of what is only for the moment.
[[nodiscard]] bool IsWorthRetrying(const HttpResponse& response);

// The server or the way to it has more than it can take: 503, 408, 429, 500 OperationTimedOut.
[[nodiscard]] bool IsCongestion(const HttpResponse& response);

// How long the server asks to wait: retry-after-ms, x-ms-retry-after-ms, Retry-After in seconds or
// as a date (against the server's own Date, else `now`). nullopt if it does not say.
[[nodiscard]] std::optional<double> RetryAfterSeconds(const HttpResponse& response, Timestamp now);

// Before try `next_try` (the second is 2): exponential, times 0.8 to 1.3 by `random` in [0, 1). If
// the server named a time, that and up to 0.3 of it more.
[[nodiscard]] double RetryDelaySeconds(const RetryPolicy& policy, int next_try, double random,
                                       std::optional<double> server_seconds);

// "Sun, 06 Nov 1994 08:49:37 GMT". nullopt if it is none.
[[nodiscard]] std::optional<Timestamp> ParseHttpDate(std::string_view text);
[[nodiscard]] std::string FormatHttpDate(Timestamp time);

}  // namespace asr
