// A page blob of the directory store: the live file holds exactly the blob's bytes, undo files
// beside it what its snapshots do not share with it.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "storage/blob/blob_store.h"
#include "storage/blob/chunk_keeper.h"
#include "storage/fs/file_system.h"

namespace asr {

// "/vault/items/x/disks/root.vhd" -> "/vault/items/x/disks/root.vhd.undo"
[[nodiscard]] std::string UndoDirectoryOf(const std::string& live_path);

class DirectoryPageBlob : public PageBlob {
 public:
  // `name` is for messages. Recovers what an earlier writer left unfinished.
  [[nodiscard]] static Result<std::unique_ptr<PageBlob>> Open(FileSystem& fs, std::string name,
                                                              std::string live_path);

  [[nodiscard]] std::uint64_t size_bytes() const override { return size_bytes_; }
  [[nodiscard]] Status Read(std::uint64_t offset_bytes, MutableByteSpan out) override;
  [[nodiscard]] Status Write(std::uint64_t offset_bytes, ByteSpan bytes) override;
  [[nodiscard]] Status Clear(Extent range) override;
  [[nodiscard]] Status Preserve(const std::vector<Extent>& ranges) override;
  [[nodiscard]] Status KeepInstead(std::uint64_t offset_bytes, ByteSpan bytes) override;
  [[nodiscard]] Status Resize(std::uint64_t size_bytes) override;
  [[nodiscard]] Status Flush() override;
  [[nodiscard]] Status CreateSnapshot(const SnapshotId& id) override;
  [[nodiscard]] Result<std::vector<SnapshotId>> ListSnapshots() override;
  [[nodiscard]] Status PrepareDelete(const SnapshotId& id) override;
  [[nodiscard]] Status DeleteSnapshot(const SnapshotId& id) override;

 private:
  DirectoryPageBlob(FileSystem& fs, std::string name, std::string live_path)
      : fs_(fs),
        name_(std::move(name)),
        live_path_(std::move(live_path)),
        undo_directory_(UndoDirectoryOf(live_path_)) {}

  [[nodiscard]] std::string UndoPath(const SnapshotId& id) const;
  [[nodiscard]] Status EnsureChain();
  [[nodiscard]] Status LoadChain();
  [[nodiscard]] Status Keep(const std::vector<Extent>& ranges);
  [[nodiscard]] Status TakeSnapshot(const SnapshotId& id);
  [[nodiscard]] Status FoldSnapshot(std::size_t index);
  [[nodiscard]] Status DropSnapshot(std::size_t index);

  FileSystem& fs_;
  std::string name_;
  std::string live_path_;
  std::string undo_directory_;
  std::unique_ptr<File> live_;
  std::uint64_t size_bytes_ = 0;
  std::atomic<bool> live_is_doubtful_ = false;  // a sync of it failed

  std::mutex chain_mutex_;
  // False after a change of the chain that failed half-way: it is read again before the next write.
  bool chain_is_known_ = false;
  std::vector<SnapshotId> snapshots_;    // oldest first
  std::unique_ptr<ChunkKeeper> keeper_;  // of the newest; null without snapshots
};

}  // namespace asr
