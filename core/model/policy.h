// A replication policy: how often, how long kept.
#pragma once

#include <chrono>
#include <cstddef>
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

// How long after a failed cycle the next try begins: the first after the first failure in a row,
// and so on; the last one repeats. 1, 2, 4, 8, 10 minutes, then 30.
[[nodiscard]] std::vector<std::chrono::seconds> StandardRetryDelays();

struct Policy {
  std::string name;                        // letters, digits, "-", "_", "."; at most 64
  std::chrono::seconds frequency{300};     // 5 s .. 24 h
  std::chrono::seconds app_consistent{0};  // 0 = never, or 1 h .. 12 h
  std::string start = "now";               // of the initial replication: "now" or "HH:MM"
  std::vector<RetentionTier> retention;    // ascending by age; never empty
  std::vector<std::chrono::seconds> retry_delays = StandardRetryDelays();  // 1 to 16, 1 s .. 24 h
  bool operator==(const Policy&) const = default;
};

inline constexpr std::size_t kMostPointsOfAnItem = 500;  // tools for Azure still handle them well
inline constexpr std::size_t kLeastPointsOfAnItem = 3;   // the newest ones always stay

// The standard grid of `limit`: every point of the last hour, then one per 5 minutes up to 6 hours,
// then one per hour, cut at `limit`. More often than every 10 seconds an hour alone would fill an
// item, so that there all points are kept for a shorter time (30 minutes at 5 s).
[[nodiscard]] std::vector<RetentionTier> StandardRetention(
    std::chrono::seconds limit, std::chrono::seconds frequency = std::chrono::minutes{5});

// "24h" (a limit: the standard grid at this frequency) or a grid "1h:all,24h:15m,7d:1d": ages
// ascending, intervals never falling. kUsage (kPolicyInvalid) otherwise. Whoever changes a policy's
// frequency passes FormatRetention's text through here again.
[[nodiscard]] Result<std::vector<RetentionTier>> ParseRetention(
    const std::string& text, std::chrono::seconds frequency = std::chrono::minutes{5});

// What ParseRetention reads back as the same tiers: a limit where they are its standard grid.
[[nodiscard]] std::string FormatRetention(const std::vector<RetentionTier>& tiers);

// "1m,2m,4m,8m,10m,30m". kUsage (kPolicyInvalid) for anything else, and for delays out of range.
[[nodiscard]] Result<std::vector<std::chrono::seconds>> ParseRetryDelays(const std::string& text);
[[nodiscard]] std::string FormatRetryDelays(const std::vector<std::chrono::seconds>& delays);

// How many points the grid keeps of a VM that makes one at each `frequency` (> 0).
[[nodiscard]] std::size_t CountRetainedPoints(const std::vector<RetentionTier>& tiers,
                                              std::chrono::seconds frequency);

// kUsage (kPolicyInvalid), naming option, value and range, if anything is out of range or the grid
// would keep more than kMostPointsOfAnItem points at this frequency.
[[nodiscard]] Status ValidatePolicy(const Policy& policy);

}  // namespace asr
