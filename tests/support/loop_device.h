// A file as a block device, as an LVM volume is one. Of root, outside of user namespaces.
#pragma once

#include <fcntl.h>

#include <stdexcept>
#include <string>

#include "storage/base/file_descriptor.h"
#include "storage/base/text.h"
#include "tests/support/shell_command.h"

namespace asr::testing {

class LoopDevice {
 public:
  explicit LoopDevice(const std::string& file) {
    path_ = MustRunShell("losetup --find --show " + ShellQuote(file));
    path_.erase(path_.find_last_not_of('\n') + 1);
    descriptor_ = FileDescriptor(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    if (!descriptor_.valid()) throw std::runtime_error("cannot open " + path_);
    // It goes with its last user, however that ends.
    MustRunShell("losetup --detach " + path_);
  }

  [[nodiscard]] const std::string& path() const { return path_; }
  // The file has grown.
  void Grow() const { MustRunShell("losetup --set-capacity " + path_); }

 private:
  std::string path_;
  FileDescriptor descriptor_;
};

}  // namespace asr::testing
