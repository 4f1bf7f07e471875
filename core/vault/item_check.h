// The part of a vault's check that is about one item.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/vault/finding_list.h"

namespace asr {

// What every advice to remove something begins with.
inline constexpr std::string_view kLetCopyingEnd =
    "if the vault is being copied or brought back, let that end first; ";

// As the item is at one instant: a writer beside the check makes findings that are none.
class ItemCheck {
 public:
  ItemCheck(BlobStore& store, ItemId id, Timestamp now, VaultReport& report);

  void Run();

 private:
  void CheckLeftOvers();
  void CheckItem();
  void CheckState();
  void ListSnapshots();
  // False if they cannot be listed: then nothing can be said of what is missing.
  [[nodiscard]] bool SortBlobs();
  void SortPointBlob(const std::string& blob, const std::string& name);
  void CheckScreenshot(const std::string& proof, const Screenshot& screenshot);
  void CheckDisk(const ItemDisk& disk);
  void CheckSize(const std::string& blob, std::uint64_t right_bytes);
  void CountUnknown(const ItemDisk& disk);
  void CheckPoint(const PointId& id);
  void CheckSnapshot(const RecoveryPoint& point, const PointDisk& disk);
  void CheckFirmware(const RecoveryPoint& point);
  void CheckUnsealed();
  void AddLostPoints(const std::set<SnapshotId>& unsealed);
  void CheckPin(const std::string& blob);
  [[nodiscard]] bool IsUnfinished() const;
  // Nothing is lost with its page blobs: it is being made, or deleted.
  [[nodiscard]] bool MayLackBlobs() const;
  [[nodiscard]] bool IsGone(const std::string& blob);

  BlobStore& store_;
  const ItemId id_;
  const Timestamp now_;
  FindingList findings_;
  VaultReport& report_;

  Item item_;
  std::map<std::string, std::uint64_t> page_blobs_;  // name and size of those in disks/
  std::set<std::string> dropped_;                    // points that must not be sealed any more
  std::vector<PointId> points_;
  std::map<SnapshotId, std::string> snapshots_;  // and one of the blobs that have it
};

}  // namespace asr
