#include "core/model/policy.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "core/model/duration.h"

namespace asr {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr seconds kLeastFrequency{5};
constexpr seconds kMostFrequency = hours{24};
constexpr seconds kLeastAppConsistent = hours{1};
constexpr seconds kMostAppConsistent = hours{12};
constexpr seconds kMostAge = hours{24} * 3650;
constexpr std::size_t kMostTiers = 16;
constexpr std::size_t kLongestName = 64;
constexpr seconds kLeastRetryDelay{1};
constexpr seconds kMostRetryDelay = hours{24};
constexpr std::size_t kMostRetryDelays = 16;
// Of kMostPointsOfAnItem, what the tier that keeps all may take in the standard grid.
constexpr std::int64_t kMostUnthinnedPoints = 360;
constexpr const char* kRetentionForms =
    "give a limit like 24h, or a grid like 1h:all,24h:15m,7d:1d (age:interval)";

Error Invalid(std::string message) {
  return MakeError(ErrorKind::kUsage, ErrorCode::kPolicyInvalid, std::move(message));
}

Error OutOfRange(const char* option, seconds value, const std::string& range) {
  return Invalid(fmt::format("{} {} is out of range: {}", option, FormatDuration(value), range))
      .WithAction(fmt::format("give {} from that range", option));
}

Error BadRetention(const std::string& text, const std::string& problem) {
  return Invalid(fmt::format("--retention {}: {}", text, problem)).WithAction(kRetentionForms);
}

Error BadRetryDelays(const std::string& text, const std::string& problem) {
  return Invalid(fmt::format("--retry-delays {}: {}", text, problem))
      .WithAction("give 1 to 16 delays from 1s to 24h, like 1m,2m,4m,8m,10m,30m; the last repeats");
}

std::optional<std::string> ProblemOfDelays(const std::vector<seconds>& delays) {
  if (delays.empty()) return "there is no delay";
  if (delays.size() > kMostRetryDelays) {
    return fmt::format("{} delays are more than the {} there may be", delays.size(),
                       kMostRetryDelays);
  }
  for (const seconds delay : delays) {
    if (delay < kLeastRetryDelay || delay > kMostRetryDelay) {
      return fmt::format("{} is out of range: 1s to 24h", FormatDuration(delay));
    }
  }
  return std::nullopt;
}

std::string FormatGrid(const std::vector<RetentionTier>& tiers) {
  std::string text;
  for (const RetentionTier& tier : tiers) {
    const std::string interval =
        tier.interval == seconds{0} ? "all" : FormatDuration(tier.interval);
    text += fmt::format("{}{}:{}", text.empty() ? "" : ",", FormatDuration(tier.age), interval);
  }
  return text;
}

// What is wrong with the tiers, in words; nullopt if they are a grid.
std::optional<std::string> ProblemOf(const std::vector<RetentionTier>& tiers) {
  if (tiers.empty()) return "there is no tier";
  if (tiers.size() > kMostTiers) {
    return fmt::format("{} tiers are more than the {} there may be", tiers.size(), kMostTiers);
  }
  RetentionTier previous;
  for (const RetentionTier& tier : tiers) {
    const std::string age = FormatDuration(tier.age);
    if (tier.age < seconds{1} || tier.age > kMostAge) {
      return fmt::format("the age {} is out of range: 1s to {}", age, FormatDuration(kMostAge));
    }
    if (tier.interval < seconds{0} || tier.interval > tier.age) {
      return fmt::format("the interval {} is longer than its age {}", FormatDuration(tier.interval),
                         age);
    }
    if (tier.age <= previous.age) {
      return fmt::format("the age {} follows {}; ages must rise", age,
                         FormatDuration(previous.age));
    }
    if (tier.interval < previous.interval) {
      return fmt::format(
          "older points would be kept closer together at {}; intervals must not "
          "fall with age",
          age);
    }
    previous = tier;
  }
  return std::nullopt;
}

Result<RetentionTier> ParseTier(const std::string& text, const std::string& part) {
  const std::size_t colon = part.find(':');
  if (colon == std::string::npos) {
    return Fail(BadRetention(text, fmt::format("'{}' lacks its interval", part)));
  }
  const std::string interval_text = part.substr(colon + 1);
  const auto age = ParseDuration(part.substr(0, colon));
  if (!age) return Fail(BadRetention(text, fmt::format("'{}' begins with no duration", part)));
  if (interval_text == "all") return RetentionTier{.age = *age, .interval = seconds{0}};
  const auto interval = ParseDuration(interval_text);
  if (!interval || *interval == seconds{0}) {
    return Fail(BadRetention(
        text, fmt::format("'{}' is neither 'all' nor a duration above 0", interval_text)));
  }
  return RetentionTier{.age = *age, .interval = *interval};
}

// A grid as old as `tiers` that fits, if thinning to days does it.
std::optional<std::string> FittingGrid(const std::vector<RetentionTier>& tiers, seconds frequency) {
  const seconds limit = tiers.back().age;
  for (const seconds hourly : {hours{24} * 7, hours{24} * 3, hours{24}}) {
    if (limit <= hourly) continue;
    std::vector<RetentionTier> grid = StandardRetention(hourly, frequency);
    grid.push_back({.age = limit, .interval = hours{24}});
    if (CountRetainedPoints(grid, frequency) <= kMostPointsOfAnItem) return FormatGrid(grid);
  }
  return std::nullopt;
}

Status CheckName(const std::string& name) {
  const bool plain = std::all_of(name.begin(), name.end(), [](char letter) {
    return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
           (letter >= '0' && letter <= '9') || letter == '-' || letter == '_' || letter == '.';
  });
  if (plain && !name.empty() && name.front() != '.' && name.size() <= kLongestName) return {};
  return Fail(Invalid(fmt::format("'{}' cannot be the name of a policy", name))
                  .WithAction(fmt::format("use 1 to {} letters, digits, '-', '_' and '.', not "
                                          "beginning with '.'",
                                          kLongestName)));
}

Status CheckStart(const std::string& start) {
  if (start == "now") return {};
  const auto digit = [&](std::size_t index) { return start[index] >= '0' && start[index] <= '9'; };
  const bool shaped =
      start.size() == 5 && digit(0) && digit(1) && start[2] == ':' && digit(3) && digit(4);
  if (shaped && start.substr(0, 2) < "24" && start[3] < '6') return {};
  return Fail(Invalid(fmt::format("--start {} is no time of day", start))
                  .WithAction("give --start now, or a time from 00:00 to 23:59"));
}

Status CheckCount(const Policy& policy) {
  const std::size_t count = CountRetainedPoints(policy.retention, policy.frequency);
  if (count <= kMostPointsOfAnItem) return {};
  const auto fitting = FittingGrid(policy.retention, policy.frequency);
  return Fail(Invalid(fmt::format("--retention {} keeps {} points at --frequency {}; an item holds "
                                  "at most {}",
                                  FormatRetention(policy.retention), count,
                                  FormatDuration(policy.frequency), kMostPointsOfAnItem))
                  .WithAction(fitting
                                  ? fmt::format("thin out older points: --retention {}", *fitting)
                                  : "keep older points further apart, or for less time"));
}

}  // namespace

std::vector<RetentionTier> StandardRetention(seconds limit, seconds frequency) {
  seconds keep_all = hours{1};
  while (keep_all > minutes{1} && keep_all / std::max(frequency, seconds{1}) > kMostUnthinnedPoints)
    keep_all /= 2;
  std::vector<RetentionTier> tiers;
  for (const RetentionTier& tier : {RetentionTier{.age = keep_all, .interval = seconds{0}},
                                    RetentionTier{.age = hours{6}, .interval = minutes{5}},
                                    RetentionTier{.age = limit, .interval = hours{1}}}) {
    tiers.push_back({.age = std::min(tier.age, limit), .interval = tier.interval});
    if (tier.age >= limit) break;
  }
  return tiers;
}

Result<std::vector<RetentionTier>> ParseRetention(const std::string& text, seconds frequency) {
  std::vector<RetentionTier> tiers;
  if (text.find(':') == std::string::npos) {
    const auto limit = ParseDuration(text);
    if (!limit) return Fail(BadRetention(text, "neither a duration nor a grid"));
    tiers = StandardRetention(*limit, frequency);
  } else {
    std::size_t begin = 0;
    while (begin <= text.size()) {
      const std::size_t end = std::min(text.find(',', begin), text.size());
      ASR_TRY(const RetentionTier tier, ParseTier(text, text.substr(begin, end - begin)));
      tiers.push_back(tier);
      begin = end + 1;
    }
  }
  if (const auto problem = ProblemOf(tiers)) return Fail(BadRetention(text, *problem));
  return tiers;
}

std::string FormatRetention(const std::vector<RetentionTier>& tiers) {
  if (tiers.empty()) return "";
  const seconds limit = tiers.back().age;
  return tiers == StandardRetention(limit) ? FormatDuration(limit) : FormatGrid(tiers);
}

std::vector<seconds> StandardRetryDelays() {
  return {minutes{1}, minutes{2}, minutes{4}, minutes{8}, minutes{10}, minutes{30}};
}

Result<std::vector<seconds>> ParseRetryDelays(const std::string& text) {
  std::vector<seconds> delays;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string part = text.substr(begin, end - begin);
    const auto delay = ParseDuration(part);
    if (!delay) return Fail(BadRetryDelays(text, fmt::format("'{}' is no duration", part)));
    delays.push_back(*delay);
    begin = end + 1;
  }
  if (const auto problem = ProblemOfDelays(delays)) return Fail(BadRetryDelays(text, *problem));
  return delays;
}

std::string FormatRetryDelays(const std::vector<seconds>& delays) {
  std::string text;
  for (const seconds delay : delays) text += (text.empty() ? "" : ",") + FormatDuration(delay);
  return text;
}

std::size_t CountRetainedPoints(const std::vector<RetentionTier>& tiers, seconds frequency) {
  std::int64_t count = 0;
  seconds begin{0};
  for (const RetentionTier& tier : tiers) {
    const std::int64_t apart = std::max({tier.interval, frequency, seconds{1}}).count();
    count += ((tier.age - begin).count() + apart - 1) / apart;
    begin = tier.age;
  }
  return std::max(static_cast<std::size_t>(count), kLeastPointsOfAnItem);
}

Status ValidatePolicy(const Policy& policy) {
  ASR_CHECK(CheckName(policy.name));
  if (policy.frequency < kLeastFrequency || policy.frequency > kMostFrequency) {
    return Fail(OutOfRange("--frequency", policy.frequency, "5s to 24h"));
  }
  const bool wants_app_consistent = policy.app_consistent != seconds{0};
  if (wants_app_consistent &&
      (policy.app_consistent < kLeastAppConsistent || policy.app_consistent > kMostAppConsistent)) {
    return Fail(OutOfRange("--app-consistent", policy.app_consistent, "0 (never), or 1h to 12h"));
  }
  ASR_CHECK(CheckStart(policy.start));
  if (const auto problem = ProblemOf(policy.retention)) {
    return Fail(BadRetention(FormatRetention(policy.retention), *problem));
  }
  if (const auto problem = ProblemOfDelays(policy.retry_delays)) {
    return Fail(BadRetryDelays(FormatRetryDelays(policy.retry_delays), *problem));
  }
  return CheckCount(policy);
}

}  // namespace asr
