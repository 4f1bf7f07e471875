// A replication policy: how often, how long kept.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "storage/base/result.h"

namespace asr {

// Within `age` from now keep one point every `interval`; interval 0 keeps all.
struct RetentionTier {
  std::chrono::seconds age{0};
  std::chrono::seconds interval{0};
  bool operator==(const RetentionTier&) const = default;
};

struct Policy {
  std::string name;
  std::chrono::seconds frequency{300};     // 5 s .. 24 h
  std::chrono::seconds app_consistent{0};  // 0 = never, or 1 h .. 12 h
  std::string start = "now";               // of the initial replication: "now" or "HH:MM"
  std::vector<RetentionTier> retention;    // ascending by age; never empty
  bool operator==(const Policy&) const = default;
};

inline constexpr std::size_t kMostPointsOfAnItem =
    500;                                                // what tools for Azure show and delete well
inline constexpr std::size_t kLeastPointsOfAnItem = 3;  // the newest ones always stay

// The standard grid of `limit`: every point of the last hour, then one per 5 minutes for 6 hours,
// then one per hour, cut at `limit`.
[[nodiscard]] std::vector<RetentionTier> StandardRetention(std::chrono::seconds limit);

// "24h" (a limit: the standard grid) or "1h:all,24h:15m,7d:1d".
[[nodiscard]] Result<std::vector<RetentionTier>> ParseRetention(const std::string& text);
[[nodiscard]] std::string FormatRetention(const std::vector<RetentionTier>& tiers);

// kUsage, naming option, value and range, if anything is out of range or the grid would keep more
// than kMostPointsOfAnItem points at this frequency.
[[nodiscard]] Status ValidatePolicy(const Policy& policy);

}  // namespace asr
