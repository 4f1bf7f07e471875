#include "core/points/retention.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <utility>

namespace asr {
namespace {

struct Candidate {
  RetentionPoint point;
  bool is_protected = false;  // stays whatever the tiers say
  std::optional<RemovalReason> removal;
};

// Tier and number of the slot.
using Slot = std::pair<std::size_t, std::int64_t>;

// Numbers of slots rise with time before 1970 too.
std::int64_t SlotNumber(Timestamp time, std::chrono::seconds interval) {
  const std::int64_t length = std::chrono::milliseconds(interval).count();
  const std::int64_t offset = time.time_since_epoch().count();
  return offset / length - (offset % length < 0 ? 1 : 0);
}

// The tier that a point of this age lies in: tiers.size() if it is beyond the last.
std::size_t TierOf(const std::vector<RetentionTier>& tiers, std::chrono::milliseconds age) {
  const auto tier = std::find_if(tiers.begin(), tiers.end(),
                                 [age](const RetentionTier& each) { return age <= each.age; });
  return static_cast<std::size_t>(tier - tiers.begin());
}

bool StandsBefore(const RetentionPoint& left, const RetentionPoint& right) {
  if (left.consistency != right.consistency) return left.consistency == Consistency::kApp;
  return std::pair(left.time, left.id) < std::pair(right.time, right.id);
}

std::vector<Candidate> Sort(std::vector<RetentionPoint> points, Timestamp now) {
  std::sort(points.begin(), points.end(), [](const auto& left, const auto& right) {
    return std::pair(left.time, left.id) < std::pair(right.time, right.id);
  });
  std::vector<Candidate> candidates;
  candidates.reserve(points.size());
  for (RetentionPoint& point : points) {
    const bool is_newest = points.size() - candidates.size() <= kLeastPointsOfAnItem;
    const bool is_protected = is_newest || point.kept_by_hand || point.time > now;
    candidates.push_back({std::move(point), is_protected, std::nullopt});
  }
  return candidates;
}

void ApplyTiers(const std::vector<RetentionTier>& tiers, Timestamp now,
                std::vector<Candidate>& candidates) {
  std::map<Slot, Candidate*> representatives;
  for (Candidate& candidate : candidates) {
    const std::size_t tier = TierOf(tiers, now - candidate.point.time);
    if (tier == tiers.size()) {
      candidate.removal = RemovalReason::kExpired;
      continue;
    }
    if (tiers[tier].interval == std::chrono::seconds{0}) continue;
    const Slot slot{tier, SlotNumber(candidate.point.time, tiers[tier].interval)};
    Candidate*& representative = representatives[slot];
    if (representative == nullptr) {
      representative = &candidate;
    } else if (StandsBefore(candidate.point, representative->point)) {
      std::exchange(representative, &candidate)->removal = RemovalReason::kThinned;
    } else {
      candidate.removal = RemovalReason::kThinned;
    }
  }
  for (Candidate& candidate : candidates) {
    if (candidate.is_protected) candidate.removal.reset();
  }
}

// Takes one more point away, if one may go.
bool RemoveMostCrowded(std::vector<Candidate*>& kept) {
  auto best = kept.end();
  std::pair<bool, std::chrono::milliseconds> best_rank;
  for (auto each = kept.begin(); each != kept.end(); ++each) {
    if ((*each)->is_protected) continue;
    // The newest are protected, so that there is a next one. The oldest carries the reach back.
    const Timestamp next = (*std::next(each))->point.time;
    const auto gap = each == kept.begin() ? std::chrono::milliseconds::max()
                                          : next - (*std::prev(each))->point.time;
    const std::pair rank{(*each)->point.consistency == Consistency::kApp, gap};
    if (best != kept.end() && rank >= best_rank) continue;
    best = each;
    best_rank = rank;
  }
  if (best == kept.end()) return false;
  (*best)->removal = RemovalReason::kTooMany;
  kept.erase(best);
  return true;
}

void ApplyCap(std::vector<Candidate>& candidates) {
  std::vector<Candidate*> kept;
  for (Candidate& candidate : candidates) {
    if (!candidate.removal) kept.push_back(&candidate);
  }
  while (kept.size() > kMostPointsOfAnItem && RemoveMostCrowded(kept)) {
  }
}

}  // namespace

RetentionDecision DecideRetention(const std::vector<RetentionTier>& tiers,
                                  std::vector<RetentionPoint> points, Timestamp now) {
  std::vector<Candidate> candidates = Sort(std::move(points), now);
  ApplyTiers(tiers, now, candidates);
  ApplyCap(candidates);
  RetentionDecision decision;
  for (const Candidate& candidate : candidates) {
    if (candidate.removal) {
      decision.removals.push_back({candidate.point.id, *candidate.removal});
    }
  }
  const std::size_t count = decision.removals.size();
  decision.asks = count > kLeastPointsOfAnItem && count * 2 > candidates.size();
  return decision;
}

Timestamp RetentionNow(Timestamp local, std::optional<Timestamp> server,
                       std::optional<Timestamp> newest_point, std::chrono::seconds frequency) {
  Timestamp now = local;
  if (server) now = std::min(now, *server);
  if (newest_point) now = std::min<Timestamp>(now, *newest_point + 2 * frequency);
  return now;
}

}  // namespace asr
