// What enable and replicate share: read a VM's disks into their replicas, and seal what they hold.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/jobs/environment.h"
#include "core/jobs/job_run.h"
#include "core/model/item.h"
#include "core/model/virtual_machine.h"
#include "core/points/seal.h"
#include "core/source/source_snapshot.h"
#include "core/vault/vault.h"

namespace asr {

// Everything that one pass over an item's disks works with.
struct ReplicationPass {
  Environment& environment;
  Vault& vault;
  ItemLease& lease;
  const Item& item;          // the lease's
  SourceSnapshot& source;    // its disks stand in the order of the item's
  const Replicas& replicas;  // in the same order
  JobRun& run;
  bool is_resync = false;  // all is read, and sealed whether anything changed or not
  // Of a resync that is about one disk: others that nobody touched are not read.
  std::optional<std::size_t> resync_disk = {};
  std::vector<bool> was_read = {};         // by ReplicateDisks, in the same order
  std::vector<std::size_t> replaced = {};  // disks of which it was said that they were replaced
};

struct ResyncRequest {
  ResyncState state = ResyncState::kScheduled;  // kRequired or kScheduled: why it is due
  std::string cause = {};                       // in words; empty for a scheduled one
  // The vault's bytes are read first, and compared with its digests: by digests alone nobody would
  // see that they were damaged.
  bool deep = false;
  std::optional<std::size_t> disk = {};  // the only one that is concerned; none: all of them
};

enum class LostPoints : std::uint8_t { kRefuse, kDrop };

// Replicas of all disks of the item, cleared of what an interrupted seal or prune left. kCorrupt
// if points may have lost their documents (MayBeLostPoints), which kDrop gives up; of all points,
// in any case.
[[nodiscard]] Result<Replicas> OpenReplicas(Vault& vault, const ItemLease& lease, bool create,
                                            LostPoints lost = LostPoints::kRefuse,
                                            ReplicaGrowth growth = ReplicaGrowth::kFollow);

// Warns of snapshots that could not be dropped then.
void WarnOfLeftOvers(Environment& environment, const Item& item, const Replicas& replicas);

// One task a disk: "Replicate disk root". A disk whose files nobody touched since the newest point
// is not read. Returns the bytes that were sent or cleared.
[[nodiscard]] Result<std::uint64_t> ReplicateDisks(ReplicationPass& pass,
                                                   const std::string& task_prefix);

// Task "Seal recovery point": the source is looked at once more, then the point is sealed. nullopt
// if the replicas hold just what the newest point holds, and it is no resync. In both cases the
// cursors are noted.
[[nodiscard]] Result<std::optional<RecoveryPoint>> SealPass(ReplicationPass& pass,
                                                            std::uint64_t changed_bytes);

// A VM that is started, stopped or rebooted by its host shows two faces of which no point is made:
// true, with a warning, if that is why the pass failed which began in `power_state`, and another
// one may succeed. `vm`: "HOST/NAME"; `passes`: that were made.
[[nodiscard]] bool IsWorthAnotherPass(Environment& environment, const std::string& vm,
                                      VmPowerState power_state, int passes, const Error& error);

// The parts of it, for a delta that goes through change logs.

// True if the replicas hold exactly what the point holds.
[[nodiscard]] Result<bool> HoldPoint(const Replicas& replicas, const PointId& point);
// Of what may have changed, or may hold data where that is not known.
[[nodiscard]] Result<std::uint64_t> BytesToRead(const SourceSnapshot::OpenedDisk& disk);
// The newest point; nullopt if there is none.
[[nodiscard]] Result<std::optional<PointId>> NewestId(Vault& vault, const ItemId& item);
// True if the newest point holds the content of this disk already, so that it need not be read.
[[nodiscard]] Result<bool> IsUnread(ReplicationPass& pass, std::size_t index,
                                    const std::optional<PointId>& newest);
// The point that a pass over `source` will seal on top of `newest`.
[[nodiscard]] RecoveryPoint DescribePoint(const Item& item, const SourceSnapshot& source,
                                          const std::optional<PointId>& newest,
                                          std::uint64_t changed_bytes);
// Seals what the replicas hold, unless the newest point holds just that: then nullopt.
[[nodiscard]] Result<std::optional<RecoveryPoint>> SealIfNew(Vault& vault, const ItemLease& lease,
                                                             const Replicas& replicas,
                                                             const RecoveryPoint& point);
// After the seal: `held` holds what the pass read.
[[nodiscard]] Status NoteCursors(ReplicationPass& pass, const PointId& held);

}  // namespace asr
