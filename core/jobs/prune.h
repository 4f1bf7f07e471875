// Retention at work: which points of an item go now, and removing them.
#pragma once

#include <chrono>

#include "core/jobs/environment.h"
#include "core/jobs/replication.h"
#include "core/model/item.h"
#include "core/model/plan.h"
#include "core/points/retention.h"
#include "core/points/seal.h"
#include "core/vault/vault.h"

namespace asr {

// Between the clocks of this machine and of the vault's service: with more, nobody knows how old
// points are.
inline constexpr std::chrono::minutes kMostClockDifference{10};

// By the item's policy, its points, and the pins in force.
[[nodiscard]] Result<RetentionDecision> DecideRemovals(Environment& environment, Vault& vault,
                                                       const Item& item);

// Part of each cycle: removes what the policy lets go. Where that would be over half of the points
// at once, it removes nothing and warns.
[[nodiscard]] Status ApplyRetention(Environment& environment, Vault& vault, const ItemLease& lease,
                                    const Replicas& replicas);

// The same on request, without the limit of a half: the caller has asked. With kDrop it also drops
// what FindLostPoints tells of.
[[nodiscard]] Result<Job> PrunePoints(Environment& environment, Vault& vault, const Item& item,
                                      LostPoints lost);
[[nodiscard]] Result<Plan> PlanPrune(Environment& environment, Vault& vault, const Item& item);

}  // namespace asr
