// A directory for what an ssh of ours needs for a while: a socket, a program.
#pragma once

#include <string>

#include "storage/base/file_descriptor.h"
#include "storage/base/result.h"

namespace asr {

// Only this user can enter it. It goes with this object; if we are killed, another process of ours
// removes it when it makes one of its own.
class SshPlace {
 public:
  // In `parent`, whose path has to be short: a socket's may have 107 bytes.
  [[nodiscard]] static Result<SshPlace> Make(const std::string& parent);
  SshPlace() = default;
  ~SshPlace() { Remove(); }
  SshPlace(SshPlace&& other) noexcept;
  SshPlace& operator=(SshPlace&& other) noexcept;

  // Of one file in it; empty if there is no directory.
  [[nodiscard]] const std::string& path() const { return path_; }
  // At once, with the file.
  void Remove();

 private:
  std::string path_;
  FileDescriptor lock_;  // of the directory, as long as its owner lives
};

}  // namespace asr
