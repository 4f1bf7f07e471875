#include "storage/base/clock.h"

#include <ctime>
#include <thread>

#include <fmt/chrono.h>
#include <fmt/format.h>

namespace asr {
namespace {

class MachineClock : public Clock {
 public:
  Timestamp Now() const override {
    return std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
  }
  double MonotonicSeconds() const override {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration<double>(now).count();
  }
  void SleepSeconds(double seconds) override {
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  }
};

struct Fields {
  std::tm tm{};
  int milliseconds = 0;
};

Fields Split(Timestamp time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  Fields fields;
  fields.tm = fmt::gmtime(std::chrono::system_clock::to_time_t(seconds));
  fields.milliseconds = static_cast<int>((time - seconds).count());
  return fields;
}

// Reads digits at the front of `text` and takes them off.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  std::optional<int> Digits(std::size_t count) {
    if (text_.size() < count) return std::nullopt;
    int value = 0;
    for (std::size_t i = 0; i < count; ++i) {
      if (text_[i] < '0' || text_[i] > '9') return std::nullopt;
      value = value * 10 + (text_[i] - '0');
    }
    text_.remove_prefix(count);
    return value;
  }
  bool Take(char expected) {
    if (text_.empty() || text_.front() != expected) return false;
    text_.remove_prefix(1);
    return true;
  }
  // Up to nine decimals, cut to milliseconds.
  std::optional<int> Fraction() {
    int value = 0;
    int digits = 0;
    while (!text_.empty() && text_.front() >= '0' && text_.front() <= '9') {
      if (digits < 3) value = value * 10 + (text_.front() - '0');
      if (++digits > 9) return std::nullopt;
      text_.remove_prefix(1);
    }
    if (digits == 0) return std::nullopt;
    for (; digits < 3; ++digits) value *= 10;
    return value;
  }
  bool empty() const { return text_.empty(); }

 private:
  std::string_view text_;
};

struct Parts {
  int year, month, day, hour, minute, second, milliseconds;
};

std::optional<Timestamp> Join(const Parts& parts) {
  using namespace std::chrono;
  const year_month_day date{year{parts.year}, month{static_cast<unsigned>(parts.month)},
                            day{static_cast<unsigned>(parts.day)}};
  if (!date.ok() || parts.hour > 23 || parts.minute > 59 || parts.second > 60) return std::nullopt;
  return Timestamp{sys_days{date} + hours{parts.hour} + minutes{parts.minute} +
                   seconds{parts.second} + milliseconds{parts.milliseconds}};
}

}  // namespace

Clock& SystemClock() {
  static MachineClock clock;
  return clock;
}

std::string FormatTime(Timestamp time) {
  const Fields fields = Split(time);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fields.tm, fields.milliseconds);
}

std::string FormatCompactTime(Timestamp time) {
  const Fields fields = Split(time);
  return fmt::format("{:%Y%m%dT%H%M%S}.{:03}Z", fields.tm, fields.milliseconds);
}

std::optional<Timestamp> ParseTime(std::string_view text) {
  Scanner scan(text);
  const auto year = scan.Digits(4);
  if (!year || !scan.Take('-')) return std::nullopt;
  const auto month = scan.Digits(2);
  if (!month || !scan.Take('-')) return std::nullopt;
  const auto day = scan.Digits(2);
  if (!day || !(scan.Take('T') || scan.Take('t') || scan.Take(' '))) return std::nullopt;
  const auto hour = scan.Digits(2);
  if (!hour || !scan.Take(':')) return std::nullopt;
  const auto minute = scan.Digits(2);
  if (!minute || !scan.Take(':')) return std::nullopt;
  const auto second = scan.Digits(2);
  if (!second) return std::nullopt;
  int milliseconds = 0;
  if (scan.Take('.')) {
    const auto fraction = scan.Fraction();
    if (!fraction) return std::nullopt;
    milliseconds = *fraction;
  }
  auto offset = std::chrono::minutes{0};
  if (!(scan.Take('Z') || scan.Take('z'))) {
    const bool east = scan.Take('+');
    if (!east && !scan.Take('-')) return std::nullopt;
    const auto hours = scan.Digits(2);
    if (!hours || !scan.Take(':')) return std::nullopt;
    const auto minutes = scan.Digits(2);
    if (!minutes) return std::nullopt;
    offset = std::chrono::minutes{(*hours * 60 + *minutes) * (east ? 1 : -1)};
  }
  if (!scan.empty()) return std::nullopt;
  const auto time = Join({*year, *month, *day, *hour, *minute, *second, milliseconds});
  if (!time) return std::nullopt;
  return *time - offset;
}

std::optional<Timestamp> ParseCompactTime(std::string_view text) {
  // Spread to the long form, which has one parser.
  if (text.size() != 20 || text[8] != 'T') return std::nullopt;
  return ParseTime(fmt::format("{}-{}-{}T{}:{}:{}", text.substr(0, 4), text.substr(4, 2),
                               text.substr(6, 2), text.substr(9, 2), text.substr(11, 2),
                               text.substr(13)));
}

}  // namespace asr
