// Group digests of replicas, kept on this machine, so that a delta need not read 4 MiB of them for
// every TiB of disk from a vault that is far away. Each file tells which version of the digest blob
// it is of, as the store names versions, and which recovery point holds the same: of another
// version it is not used. A file that is lost or damaged costs that reading, and nothing else.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/model/digest.h"
#include "core/model/ids.h"
#include "storage/fs/file_system.h"

namespace asr {

struct CachedDigests {
  std::string version;         // of the digest blob (PageBlob::ContentName)
  PointId point;               // its snapshot holds the same
  std::vector<Digest> groups;  // of all groups; none is unknown
};

// Not for two processes at once: the holder of the item's lease uses the files of that item.
class DigestCache {
 public:
  // In `directory`, of one vault. `fs` outlives this.
  DigestCache(FileSystem& fs, std::string directory) : fs_(fs), directory_(std::move(directory)) {}

  // nullopt if there is nothing of this version with `group_count` groups.
  [[nodiscard]] std::optional<CachedDigests> Load(const ItemId& item, const DiskName& disk,
                                                  const std::string& version,
                                                  std::size_t group_count) const;
  // Replaces what is kept of the disk. What cannot be kept is not.
  void Save(const ItemId& item, const DiskName& disk, const CachedDigests& digests) const;
  // The blob has a new version with the same content.
  void Rename(const ItemId& item, const DiskName& disk, const CachedDigests& digests) const;
  void Forget(const ItemId& item) const;

 private:
  [[nodiscard]] std::string DirectoryOf(const ItemId& item) const;

  FileSystem& fs_;
  std::string directory_;
};

}  // namespace asr
