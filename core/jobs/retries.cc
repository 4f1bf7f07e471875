#include "core/jobs/retries.h"

#include <fmt/format.h>

#include "core/jobs/log_while_away.h"

namespace asr {

std::optional<RetryState> NextRetry(const std::optional<RetryState>& before, const Error& error,
                                    Timestamp now,
                                    const std::vector<std::chrono::seconds>& delays) {
  const RetryClass retry_class = ClassifyError(error);
  if (retry_class == RetryClass::kNextCycle) return std::nullopt;
  RetryState next;
  next.attempt = before ? before->attempt + 1 : 1;
  // What is logged meanwhile gets rarer the longer its vault is away, and nothing else counts.
  const bool is_as_before = before && IsOfAway(before->error) == IsOfAway(error);
  next.since = is_as_before ? before->since : now;
  next.error = error;
  if (retry_class == RetryClass::kRecoverable)
    next.next_try = now + RetryDelay(next.attempt, delays);
  return next;
}

Error DescribeRetry(const RetryState& retry) {
  Error error = retry.error;
  const std::string failed = error.Line();
  error.context.clear();
  if (retry.next_try) {
    error.message = fmt::format(
        "attempt {} of the replication failed, as it does since {}; the next is at {}: {}",
        retry.attempt, FormatTime(retry.since), FormatTime(*retry.next_try), failed);
    return error;
  }
  if (IsOfAway(retry.error)) {
    error.message = fmt::format(
        "nothing is sent since {} until this is mended, and what changes in running VMs is logged "
        "meanwhile: {}",
        FormatTime(retry.since), failed);
    error.action += error.action.empty() ? "mend this" : "";
    error.action += "; a running agent goes on once the vault answers, or at once: asr resume VM";
    return error;
  }
  error.message = fmt::format("scheduled replication stopped at {} until this is mended: {}",
                              FormatTime(retry.since), failed);
  error.action += error.action.empty() ? "mend this, then: asr resume VM" : "; then: asr resume VM";
  return error;
}

Status NoteReplicationEnd(Environment& environment, const std::string& vault_id, const ItemId& item,
                          const Status& outcome, const std::vector<std::chrono::seconds>& delays) {
  if (outcome) return environment.state.SetRetry(vault_id, item, std::nullopt);
  ASR_TRY(const ItemSchedule schedule, environment.state.FindItemSchedule(vault_id, item));
  const auto next = NextRetry(schedule.retry, outcome.error(), environment.clock.Now(), delays);
  return next ? environment.state.SetRetry(vault_id, item, next) : Status();
}

}  // namespace asr
