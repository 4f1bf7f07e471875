// The undo files of one page blob as a chain, newest to oldest: found by listing the directory,
// linked by the predecessors that their headers name.
#pragma once

#include <string>
#include <vector>

#include "storage/blob/undo_file.h"

namespace asr {

struct UndoListing {
  struct Entry {
    SnapshotId id;
    std::uint64_t inode = 0;
    bool operator==(const Entry&) const = default;
  };
  std::vector<Entry> files;             // oldest first
  std::vector<std::string> unfinished;  // temporary names

  // True if `other` lists the same files, and not only the same names.
  [[nodiscard]] bool SameFiles(const UndoListing& other) const { return files == other.files; }
  [[nodiscard]] bool Has(const SnapshotId& id) const;
};

struct UndoChain {
  std::vector<UndoHeader> members;  // oldest first
  // Listed, but not on the chain: what an interrupted drop left behind.
  std::vector<SnapshotId> left_overs;
};

// A directory that does not exist lists nothing.
[[nodiscard]] Result<UndoListing> ListUndoFiles(FileSystem& fs, const std::string& directory);

// Follows the chain from the newest file down to `oldest_wanted`, or to its end if that is empty.
// A predecessor that is missing, or a file whose header names another snapshot, is kCorrupt
// (kBlobCorrupt). Beside a writer a listed file may be gone by now: kNotFound (kFileNotFound).
[[nodiscard]] Result<UndoChain> LoadUndoChain(FileSystem& fs, const std::string& directory,
                                              const UndoListing& listing,
                                              const SnapshotId& oldest_wanted);

struct ListedChain {
  UndoListing listing;
  UndoChain chain;
};

// The same for a reader beside a writer: lists again whenever files went meanwhile.
// Without `oldest_wanted` in the listing, the chain is empty. `name` is the blob's, for messages.
// kBusy (kLocked) if it never holds still.
[[nodiscard]] Result<ListedChain> LoadChainBesideWriter(FileSystem& fs,
                                                        const std::string& directory,
                                                        const std::string& name,
                                                        const SnapshotId& oldest_wanted);

// For the one writer: makes durable what an earlier writer may not have synced, removes what it
// left behind, and returns the chain.
[[nodiscard]] Result<UndoChain> RecoverUndoChain(FileSystem& fs, const std::string& directory);

// Gives `older` every chunk that `newer`, the next in the chain, holds and `older` lacks; durable
// when it returns. Both read the same as before, and `newer` may go afterwards. kIo (kBlobCorrupt)
// if `newer` has bytes that cannot be read any more: then it must stay.
[[nodiscard]] Status FoldUndoFile(const UndoFile& newer, UndoFile& older);

}  // namespace asr
