#include "cli/damaged_items.h"

#include <fmt/format.h>

#include "core/jobs/protect.h"

#include "cli/item_texts.h"

namespace asr {

Status DeleteDamaged(Session& session, const FoundItem& found) {
  const Error& damage = *found.damage;
  // Not of what a newer version wrote, or what merely cannot be read now.
  if (damage.kind != ErrorKind::kCorrupt) return Fail(damage);
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(Vault* const vault, session.OpenVault());
  if (session.options().dry_run) {
    ASR_TRY(const Plan plan, PlanDeletion(*vault, found.item));
    session.PrintPlan(plan);
    return {};
  }
  session.Warn(damage.Line());
  ASR_TRY(const std::string loss, NameLoss(*vault, found.item));
  ASR_CHECK(session.Confirm(loss + ", which could still be restored"));
  ASR_TRY(const Job job, DeleteDamagedItem(*environment, *vault, found));
  return session.FinishJob(job);
}

}  // namespace asr
