// Keeps chunks of the live file in the undo file of the newest snapshot before they change.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "storage/blob/undo_file.h"

namespace asr {

// Thread-safe for ranges that share no chunk. Threads that keep at the same time share their
// syncs: each copies its own bytes, then one of them syncs, sets the bits and syncs for all.
class ChunkKeeper {
 public:
  // Both live as long as this. `undo` is the newest snapshot's; of an earlier process unless
  // `is_new`, which means that not every bit in it need be durable.
  ChunkKeeper(File& live, std::shared_ptr<UndoFile> undo, bool is_new);

  // Returns when all chunks that `ranges` touch are durably kept; those past the snapshot's end
  // need not be. After an error nothing is known to be kept: the caller must not change them.
  // Bytes of the live file that the disk under it has lost: kIo (kBlobCorrupt).
  [[nodiscard]] Status Keep(const std::vector<Extent>& ranges);
  // PageBlob::KeepInstead. Nothing for a chunk that is kept already.
  [[nodiscard]] Status KeepInstead(std::uint64_t offset_bytes, ByteSpan bytes);

 private:
  struct Request {
    std::vector<ChunkRun> runs;
    bool holds_data = false;
    bool done = false;
    Status status;
  };

  [[nodiscard]] Status TrustBits();
  [[nodiscard]] Result<std::vector<ChunkRun>> NotYetKept(ChunkRun run) const;
  // Returns whether there was anything but zeros.
  [[nodiscard]] Result<bool> CopyRun(ChunkRun run, AlignedBuffer& buffer);
  [[nodiscard]] Result<bool> CopyPiece(Extent piece, MutableByteSpan buffer);
  [[nodiscard]] Status Commit(Request& request);
  [[nodiscard]] Status CommitBatch(const std::vector<Request*>& batch);

  File& live_;
  std::shared_ptr<UndoFile> undo_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Request*> waiting_;
  bool has_leader_ = false;
  // False while a bit may be visible that is not durable.
  bool bits_are_durable_;
};

}  // namespace asr
