#include "storage/http/retry_policy.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <ctime>

#include <fmt/format.h>

#include "storage/http/server_problem.h"

namespace asr {
namespace {

// Names of RFC 9110 5.6.7, whatever the process's locale.
constexpr std::array<std::string_view, 7> kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

std::optional<double> Number(std::string_view text) {
  double value = 0;
  const auto [end, problem] =
      std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (problem != std::errc() || end != text.data() + text.size() || !std::isfinite(value) ||
      value < 0) {
    return std::nullopt;
  }
  return value;
}

std::optional<unsigned> Digits(std::string_view text) {
  unsigned value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool IsRetryStatus(int status) {
  return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 ||
         status == 504;
}

bool IsForTheMoment(std::string_view code) {
  return code == "ContainerBeingDeleted" || code == "LeaseIsBreaking" ||
         code == "SnapshotOperationRateExceeded";
}

}  // namespace

bool IsWorthRetrying(const HttpResponse& response) {
  const auto source_status = Number(response.headers.Get("x-ms-copy-source-status-code"));
  if (source_status && IsRetryStatus(static_cast<int>(*source_status))) return true;
  if (response.status == 409) return IsForTheMoment(ReadServerProblem(response).code);
  if (!IsRetryStatus(response.status)) return false;
  const std::string code = ReadServerProblem(response).code;
  return code != "FeatureNotSupported" && code != "APINotImplemented";
}

bool IsCongestion(const HttpResponse& response) {
  if (response.status == 503 || response.status == 408 || response.status == 429) return true;
  return response.status == 500 && ReadServerProblem(response).code == "OperationTimedOut";
}

std::optional<double> RetryAfterSeconds(const HttpResponse& response, Timestamp now) {
  for (const char* const name : {"retry-after-ms", "x-ms-retry-after-ms"}) {
    if (const auto milliseconds = Number(response.headers.Get(name))) return *milliseconds / 1000;
  }
  const std::string_view text = response.headers.Get("retry-after");
  if (const auto seconds = Number(text)) return seconds;
  const auto date = ParseHttpDate(text);
  if (!date) return std::nullopt;
  const Timestamp server_now = ParseHttpDate(response.headers.Get("date")).value_or(now);
  return std::max(0.0, std::chrono::duration<double>(*date - server_now).count());
}

double RetryDelaySeconds(const RetryPolicy& policy, int next_try, double random,
                         std::optional<double> server_seconds) {
  if (server_seconds) return *server_seconds * (1 + 0.3 * random);
  const double doubled = policy.base_seconds * std::exp2(std::min(next_try - 2, 60));
  return std::min(doubled, policy.cap_seconds) * (0.8 + 0.5 * random);
}

std::optional<Timestamp> ParseHttpDate(std::string_view text) {
  // Always as long as this: RFC 9110 wants nothing else to be sent today.
  if (text.size() != std::string_view("Sun, 06 Nov 1994 08:49:37 GMT").size()) return std::nullopt;
  if (text.substr(3, 2) != ", " || !text.ends_with(" GMT") || text[19] != ':' || text[22] != ':') {
    return std::nullopt;
  }
  const auto* const month = std::find(kMonths.begin(), kMonths.end(), text.substr(8, 3));
  const auto day = Digits(text.substr(5, 2));
  const auto year = Digits(text.substr(12, 4));
  const auto hour = Digits(text.substr(17, 2));
  const auto minute = Digits(text.substr(20, 2));
  const auto second = Digits(text.substr(23, 2));
  if (month == kMonths.end() || !day || !year || !hour || !minute || !second) return std::nullopt;
  return ParseTime(fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", *year,
                               month - kMonths.begin() + 1, *day, *hour, *minute, *second));
}

std::string FormatHttpDate(Timestamp time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
  const auto since_epoch = static_cast<std::time_t>(seconds);
  std::tm fields{};
  ::gmtime_r(&since_epoch, &fields);
  return fmt::format("{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
                     kDays.at(static_cast<std::size_t>(fields.tm_wday)), fields.tm_mday,
                     kMonths.at(static_cast<std::size_t>(fields.tm_mon)), fields.tm_year + 1900,
                     fields.tm_hour, fields.tm_min, fields.tm_sec);
}

}  // namespace asr
