// What libvirt starts as its ssh.
#pragma once

#include <string>
#include <utility>

#include "core/source/libvirt_uri.h"
#include "storage/base/result.h"

namespace asr {

// libvirt's own ssh knows no other file of host keys, and would wait for a dead machine for ever:
// a script with our options, there as long as this object. A connection needs it only at its begin.
class SshProgram {
 public:
  // kIo where no directory for temporary files lets programs run.
  [[nodiscard]] static Result<SshProgram> Write(const SshTarget& target);
  ~SshProgram();
  SshProgram(SshProgram&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  SshProgram& operator=(SshProgram&& other) noexcept {
    std::swap(path_, other.path_);
    return *this;
  }

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  explicit SshProgram(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace asr
