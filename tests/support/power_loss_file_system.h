// A file system in memory that knows what was synced, and can lose the rest: as ruthlessly as
// POSIX allows, which is more than any real file system does.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "storage/fs/file_system.h"

namespace asr::testing {

// Bytes with holes; copies share their pages.
class SparseContent {
 public:
  static constexpr std::uint64_t kBlockBytes = 4096;

  [[nodiscard]] std::uint64_t size_bytes() const { return size_bytes_; }
  [[nodiscard]] std::size_t Read(std::uint64_t offset_bytes, MutableByteSpan out) const;
  void Write(std::uint64_t offset_bytes, ByteSpan bytes);  // grows as needed
  void Punch(Extent range);
  void Resize(std::uint64_t size_bytes);
  [[nodiscard]] std::vector<Extent> DataExtents(Extent range) const;
  [[nodiscard]] std::uint64_t allocated_bytes() const { return blocks_.size() * kBlockBytes; }

 private:
  using Block = std::array<std::byte, kBlockBytes>;
  std::uint64_t size_bytes_ = 0;
  std::map<std::uint64_t, std::shared_ptr<Block>> blocks_;
};

// A change of a file that is not synced yet.
struct PendingChange {
  enum class Kind : std::uint8_t { kWrite, kPunch, kResize };
  Kind kind;
  Extent range;  // kResize: offset_bytes is the new size
  std::vector<std::byte> bytes;

  void ApplyTo(SparseContent& content) const;
};

struct Inode {
  std::uint64_t number = 0;
  bool is_directory = false;
  std::uint64_t changes = 0;
  SparseContent visible;
  SparseContent durable;
  std::vector<PendingChange> pending;

  [[nodiscard]] FileStamp Stamp() const;
};

// Thread-safe. Paths are absolute; "/" exists. After LosePower only files opened anew may be used.
class PowerLossFileSystem : public FileSystem {
 public:
  PowerLossFileSystem();

  // Every change that was not synced is kept or lost at random, each sector of a write for itself.
  // A seed of 0 loses all of them.
  void LosePower(std::uint64_t seed);
  // The N-th sync of a file from now on fails, and loses what it should have made durable: it
  // stays visible until the power is lost, as on Linux.
  void FailSync(std::uint64_t nth);
  [[nodiscard]] bool sync_failed() const { return sync_failed_; }

  Result<std::unique_ptr<File>> Open(const std::string& path, OpenOptions options) override;
  Result<FileStamp> Stat(const std::string& path) override;
  Result<std::vector<DirectoryEntry>> List(const std::string& path) override;
  Status CreateDirectories(const std::string& path) override;
  Status Rename(const std::string& from, const std::string& to) override;
  Status RenameNoReplace(const std::string& from, const std::string& to) override;
  Status RemoveFile(const std::string& path) override;
  Status RemoveEmptyDirectory(const std::string& path) override;
  Status RemoveTree(const std::string& path) override;
  Status SyncDirectory(const std::string& path) override;
  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) override;
  Result<std::uint64_t> FreeBytes(const std::string&) override { return kTiB; }
  Result<std::string> Canonical(const std::string& path) override;

  // For the files.
  [[nodiscard]] std::mutex& mutex() { return mutex_; }
  [[nodiscard]] Status SyncInode(Inode& inode);

 private:
  using Names = std::map<std::string, std::shared_ptr<Inode>>;
  // `from` disappears, `to` becomes `inode`; either may be empty.
  struct PendingName {
    std::string from;
    std::string to;
    std::shared_ptr<Inode> inode;

    [[nodiscard]] bool Concerns(const std::string& directory) const;
    void ApplyTo(Names& names) const;
  };

  [[nodiscard]] std::shared_ptr<Inode> Find(const std::string& path) const;
  [[nodiscard]] std::shared_ptr<Inode> MakeInode(bool is_directory);
  void Change(PendingName change);
  [[nodiscard]] bool IsEmptyDirectory(const std::string& path) const;

  std::mutex mutex_;
  Names visible_;
  Names durable_;
  std::vector<PendingName> pending_;
  std::uint64_t next_inode_ = 1;
  std::uint64_t syncs_until_failure_ = 0;
  bool sync_failed_ = false;
  std::shared_ptr<std::map<std::string, bool>> locks_ =
      std::make_shared<std::map<std::string, bool>>();
};

}  // namespace asr::testing
