// An open descriptor of the operating system.
#pragma once

#include <unistd.h>

#include <utility>

namespace asr {

// Owns the descriptor; negative: none.
class FileDescriptor {
 public:
  explicit FileDescriptor(int value = -1) : value_(value) {}
  ~FileDescriptor() { Close(); }
  FileDescriptor(FileDescriptor&& other) noexcept : value_(other.Release()) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    if (this != &other) {
      Close();
      value_ = other.Release();
    }
    return *this;
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;

  [[nodiscard]] int get() const { return value_; }
  [[nodiscard]] bool valid() const { return value_ >= 0; }
  int Release() { return std::exchange(value_, -1); }

 private:
  void Close() const {
    if (value_ >= 0) ::close(value_);
  }

  int value_;
};

}  // namespace asr
