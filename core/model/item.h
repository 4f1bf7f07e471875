// A replicated item: a protected VM as the vault knows it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/model/ids.h"
#include "core/model/virtual_machine.h"
#include "storage/base/checksum.h"
#include "storage/base/clock.h"

namespace asr {

enum class ProtectionState : std::uint8_t {
  kEnablingProtection,
  kInitialReplicationInProgress,
  kFinalizingProtection,
  kProtected,
  kPlannedFailoverInProgress,
  kUnplannedFailoverInProgress,
  kFailoverCommitPending,
  kFailedOver,
  kReverseReplicating,
  kDisablingProtection,
  kUnprotected,
};
// Whether the whole of the disks has to be compared, whatever change logs and stamps say.
enum class ResyncState : std::uint8_t {
  kNone,
  kRequired,    // found by us
  kScheduled,   // asked for by a person; runs with the next replication, as a required one does
  kInProgress,  // runs, or was interrupted
};
enum class TestFailoverState : std::uint8_t { kNone, kInProgress, kWaitingForCleanup, kCleaningUp };

// "Protected"...: the words of documents and JSON. Parse returns nullopt for any other word.
[[nodiscard]] std::string_view ProtectionStateName(ProtectionState state);
[[nodiscard]] std::optional<ProtectionState> ParseProtectionState(std::string_view name);
[[nodiscard]] std::string_view ResyncStateName(ResyncState state);
[[nodiscard]] std::optional<ResyncState> ParseResyncState(std::string_view name);
[[nodiscard]] std::string_view TestFailoverStateName(TestFailoverState state);

struct ItemDisk {
  DiskName name;
  std::string path;    // on the source host
  std::string format;  // of the source image; restore's default
  std::uint64_t size_bytes = 0;
  std::uint32_t logical_sector_bytes = 512;
  Bits128 unique_id{};  // of the replica's VHD footer; never changes
  bool operator==(const ItemDisk&) const = default;
};

struct Item {
  ItemId id;
  std::string name;  // the VM's
  std::string host;
  std::string uuid = {};  // the VM's, of its hypervisor; empty: its images are all there is
  std::string policy;
  ProtectionState state = ProtectionState::kEnablingProtection;
  std::uint64_t epoch = 1;  // who may write; only ever raised
  GenerationId generation;
  // Of the change logs that are being applied, or were last: the replicas hold the newest point,
  // perhaps a part of them, and nothing else.
  std::optional<PointId> applying = {};
  ResyncState resync = ResyncState::kNone;
  std::string resync_cause;  // in words; empty while there is none
  bool resync_deep = false;  // the vault's bytes are to be read, too
  Timestamp created{};
  std::vector<ItemDisk> disks;  // the first is the boot disk
  std::vector<DiskName> excluded_disks;
  MachineSettings settings;  // as the VM's host says
  TargetSettings target{};   // as was said here
  bool operator==(const Item&) const = default;
};

// Restore's and the vault's size: the fixed VHD pads a disk with zeros to a whole MiB.
[[nodiscard]] std::uint64_t PaddedDiskBytes(std::uint64_t size_bytes);

}  // namespace asr
