// Which recovery points go. Pure: the same points at the same instant give the same answer.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/model/ids.h"
#include "core/model/point.h"
#include "core/model/policy.h"
#include "storage/base/clock.h"

namespace asr {

// What retention needs to know of a point.
struct RetentionPoint {
  PointId id;
  Timestamp time{};
  Consistency consistency = Consistency::kCrash;
  bool kept_by_hand = false;  // held, or pinned by a reader
};

enum class RemovalReason : std::uint8_t {
  kExpired,  // older than the last tier
  kThinned,  // another point stands for its interval
  kTooMany,  // over kMostPointsOfAnItem
};

struct Removal {
  PointId id;
  RemovalReason reason = RemovalReason::kExpired;
  bool operator==(const Removal&) const = default;
};

struct RetentionDecision {
  std::vector<Removal> removals;  // oldest first
  // Over half of the points (and more than 3) would go at once: remove nothing, ask. A wrong clock
  // or a policy mistyped looks like this.
  bool asks = false;
};

// `tiers` as ValidatePolicy accepts them; `points` in any order; `now` from RetentionNow.
//
// A tier with an interval keeps one point of each interval-long slot. Slots are counted from 1970,
// not from now, and the one kept is the oldest app-consistent point of the slot, else its oldest:
// so points that grow into a slot later never push out the one that was kept before, the choice of
// a coarse tier is among those that the finer one chose, and running again removes nothing more.
// Neighbours are less than two intervals apart, if the VM made a point in every interval.
//
// Kept whatever the tiers say: the newest kLeastPointsOfAnItem, points kept by hand, and points
// later than `now`. If still more than kMostPointsOfAnItem are left, those go whose neighbours are
// closest together, so that a burst of points thins itself out and not the history before it.
[[nodiscard]] RetentionDecision DecideRetention(const std::vector<RetentionTier>& tiers,
                                                std::vector<RetentionPoint> points, Timestamp now);

// The time that retention goes by: the earliest of the local clock, the server's date (if it tells
// one) and the newest point (if there is one) plus twice the policy's frequency. A clock that runs
// ahead removes nothing early, and points of a VM that makes no new ones do not age away.
[[nodiscard]] Timestamp RetentionNow(Timestamp local, std::optional<Timestamp> server,
                                     std::optional<Timestamp> newest_point,
                                     std::chrono::seconds frequency);

}  // namespace asr
