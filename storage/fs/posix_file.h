// An open file of the machine, with direct I/O where a request is aligned for it.
#pragma once

#include <sys/stat.h>

#include <memory>
#include <string>

#include "storage/fs/file_system.h"

namespace asr {

// Owns the descriptor.
class FileDescriptor {
 public:
  explicit FileDescriptor(int value = -1) : value_(value) {}
  ~FileDescriptor();
  FileDescriptor(FileDescriptor&& other) noexcept : value_(other.Release()) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;

  [[nodiscard]] int get() const { return value_; }
  [[nodiscard]] bool valid() const { return value_ >= 0; }
  int Release();

 private:
  int value_;
};

[[nodiscard]] FileStamp StampFromStat(const struct stat& status);

[[nodiscard]] Result<std::unique_ptr<File>> OpenPosixFile(const std::string& path,
                                                          OpenOptions options);

}  // namespace asr
