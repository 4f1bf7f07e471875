// Recovery points against their digests: reads what the vault stores of them.
#pragma once

#include <optional>

#include "core/jobs/environment.h"
#include "core/model/item.h"
#include "core/model/job.h"
#include "core/model/plan.h"
#include "core/model/point.h"
#include "core/vault/vault.h"

namespace asr {

struct VerifyRequest {
  std::optional<PointSelector> point;  // none: all of them, newest first
};

// kNotFound (kPointNotFound) if there is no such point, or none at all.
[[nodiscard]] Result<Plan> PlanVerify(Environment& environment, Vault& vault, const Item& item,
                                      const VerifyRequest& request);

// One task a point, "Verify recovery point ID". Each point that is whole gets a proof. A damaged
// one, and one whose document is, does not end the job: it fails at the end, with kCorrupt
// (kPointCorrupt) of the newest that is damaged. Takes no lease; a point that retention removes
// meanwhile is passed over.
[[nodiscard]] Result<Job> VerifyPoints(Environment& environment, Vault& vault, const Item& item,
                                       const VerifyRequest& request);

}  // namespace asr
