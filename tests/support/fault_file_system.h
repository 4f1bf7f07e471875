// A file system that fails when it is told to: the N-th call with a given errno, once, or for good
// as if the process had died there.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "storage/fs/file_system.h"

namespace asr::testing {

// Thread-safe. Every call of the file system and of its files counts, beginning with 1.
class FaultFileSystem : public FileSystem {
 public:
  explicit FaultFileSystem(FileSystem& base) : base_(base) {}

  // One call fails; those after it work again.
  void FailAt(std::uint64_t call, int errno_value) { Arm(call, errno_value, false); }
  // The process dies in this call: a write may be half done, nothing is done afterwards.
  void DieAt(std::uint64_t call) { Arm(call, 5 /* EIO */, true); }

  // From this call on everything below `folder` that takes space is refused (ENOSPC): writes, new
  // files, growth. What reads, renames or removes goes on.
  void FillAt(std::uint64_t call, const std::string& folder);

  // Overwriting what a file has takes no space then; without it, as where each write is to a new
  // place.
  bool overwrites_in_place = false;

  // Runs before each call, if set; for what another process does just then.
  std::function<void(std::uint64_t call)> before_call;

  // Runs after each read of a file, if set, and may change what was read.
  std::function<void(const std::string& path, std::uint64_t offset_bytes, MutableByteSpan bytes)>
      after_read;

  // Runs before each read of a file and after each write, if set; the read fails with its error.
  std::function<Status(const std::string& path, Extent range)> before_read;
  std::function<void(const std::string& path, Extent range)> after_write;

  [[nodiscard]] std::uint64_t calls() const { return calls_; }
  [[nodiscard]] bool has_failed() const { return has_failed_; }

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
  Result<std::uint64_t> FreeBytes(const std::string& path) override;
  Result<std::string> Canonical(const std::string& path) override;

  // For the files: counts a call and fails it if its turn has come.
  [[nodiscard]] Status Count(const char* what);
  // The same for a call that takes space.
  [[nodiscard]] Status CountTaking(const char* what, const std::string& path);
  [[nodiscard]] bool is_dead() const { return is_dead_; }

 private:
  void Arm(std::uint64_t call, int errno_value, bool dies);

  FileSystem& base_;
  std::atomic<std::uint64_t> calls_ = 0;
  std::atomic<std::uint64_t> fail_at_ = 0;
  std::atomic<int> errno_value_ = 0;
  std::atomic<bool> dies_ = false;
  std::atomic<bool> is_dead_ = false;
  std::atomic<bool> has_failed_ = false;
  std::atomic<bool> is_full_ = false;
  std::string full_folder_;  // empty: no disk fills up
};

}  // namespace asr::testing
