#include "core/jobs/delta.h"

#include <utility>

#include <fmt/format.h>

#include "core/jobs/change_spool.h"
#include "core/jobs/resync.h"
#include "core/jobs/send_changes.h"
#include "core/vault/item_documents.h"

namespace asr {
namespace {

Result<std::optional<RecoveryPoint>> SendDirectly(ReplicationPass& pass) {
  pass.was_read.clear();
  ASR_TRY(const std::uint64_t changed_bytes, ReplicateDisks(pass, "Replicate disk"));
  return SealPass(pass, changed_bytes);
}

Result<std::optional<RecoveryPoint>> SendWithoutLog(ReplicationPass& pass,
                                                    const SpooledChanges& spooled) {
  const Error& reason = *spooled.reason;
  if (reason.code == ErrorCode::kLogTooLarge) {
    return RunResync(
        pass,
        {.state = ResyncState::kRequired, .cause = reason.Line(), .disk = spooled.reason_disk});
  }
  pass.environment.progress.Warn(fmt::format("VM {}: the changes are sent without a change log: {}",
                                             pass.item.name, reason.Line()));
  return SendDirectly(pass);
}

Result<SpooledChanges> SpoolPass(ReplicationPass& pass) {
  SpoolWork work{.environment = pass.environment,
                 .item = pass.item,
                 .source = pass.source,
                 .run = pass.run,
                 .sets = LogSetsOf(pass.environment, pass.vault.identity().id, pass.item.id),
                 .algorithm = pass.vault.identity().algorithm,
                 .replicas = &pass.replicas,
                 .was_read = {},
                 .parent = {},
                 .parent_point = {}};
  ASR_TRY(auto documents, pass.vault.Documents(pass.item.id));
  ASR_TRY(const auto ids, documents.ListPointIds());
  if (!ids.empty()) {
    work.parent = ids.front();
    work.parent_point.emplace(std::move(documents.ReadPoints({ids.front()}).front()));
  }
  pass.was_read.clear();
  for (std::size_t i = 0; i < pass.item.disks.size(); ++i) {
    ASR_TRY(const bool unread, IsUnread(pass, i, work.parent));
    pass.was_read.push_back(!unread);
  }
  work.was_read = pass.was_read;
  return SpoolChanges(work);
}

}  // namespace

Result<std::optional<RecoveryPoint>> ReplicateDelta(ReplicationPass& pass) {
  ASR_TRY(const SpooledChanges spooled, SpoolPass(pass));
  if (spooled.outcome == SpooledChanges::Outcome::kNoLog) return SendWithoutLog(pass, spooled);
  if (spooled.outcome == SpooledChanges::Outcome::kNothing) return SealPass(pass, 0);
  // The set has all that is needed: however long the network takes, the VM is done with.
  pass.source.Keep();
  LogSets sets = LogSetsOf(pass.environment, pass.vault.identity().id, pass.item.id);
  const LogSender sender{pass.environment, pass.vault, pass.lease, pass.replicas, pass.run};
  auto sealed = SendLogSet(sender, spooled.set);
  if (!sealed && !IsOfChangeLogs(sealed.error())) return Fail(sealed.error());
  if (!sealed) {
    RemoveUnusable(pass.environment, sets, spooled.set, sealed.error());
    if (!pass.source.is_open()) {
      // The next cycle compares the disks: nobody has to do anything.
      Error error = sealed.error();
      error.code = ErrorCode::kResyncRequired;
      return Fail(std::move(error).Retryable());
    }
    return SendDirectly(pass);
  }
  const PointId held = *sealed ? (*sealed)->id : *spooled.set.point.parent;
  ASR_CHECK(NoteCursors(pass, held));
  RemoveLogSet(pass.environment, sets, spooled.set);
  return sealed;
}

}  // namespace asr
