// An image file held in memory: quick to damage and reopen, and it counts what is read of it.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "storage/fs/file_system.h"

namespace asr::testing {

// Read-only. Made from a file on disk it stands in for that one, so that an image of a chain can be
// damaged while the others lie on disk; made from bytes it is there under every path but those of
// AddBeside. All that does not read fails.
class ImageInMemory : public FileSystem {
 public:
  explicit ImageInMemory(std::string path);
  explicit ImageInMemory(std::vector<std::byte> bytes) : bytes_(std::move(bytes)) {}

  // Another file, for an image that was made from bytes.
  void AddBeside(const std::string& path, std::vector<std::byte> bytes);

  [[nodiscard]] std::vector<std::byte>& bytes() { return bytes_; }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::uint64_t bytes_read() const { return bytes_read_; }

  Result<std::unique_ptr<File>> Open(const std::string& path, OpenOptions options) override;
  Result<FileStamp> Stat(const std::string& path) override;
  Result<std::vector<DirectoryEntry>> List(const std::string& path) override;
  Status CreateDirectories(const std::string& path) override;
  Status Rename(const std::string& from, const std::string& to) override;
  Status RenameNoReplace(const std::string& from, const std::string& to) override;
  Status RemoveEmptyDirectory(const std::string& path) override;
  Status RemoveFile(const std::string& path) override;
  Status RemoveTree(const std::string& path) override;
  Status SyncDirectory(const std::string& path) override;
  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) override;
  Result<std::uint64_t> FreeBytes(const std::string& path) override;
  Result<std::string> Canonical(const std::string& path) override;

 private:
  class OpenedFile;
  [[nodiscard]] bool IsElsewhere(const std::string& path) const;

  std::string path_;  // empty: every path
  std::vector<std::byte> bytes_;
  std::map<std::string, std::unique_ptr<ImageInMemory>> beside_;
  std::atomic<std::uint64_t> bytes_read_ = 0;
};

}  // namespace asr::testing
