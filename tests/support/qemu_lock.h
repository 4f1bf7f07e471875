// An image as QEMU holds it while a guest writes to it.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>

#include <string>

#include "storage/base/file_descriptor.h"

namespace asr::testing {

// Until destroyed. QEMU's docs/system/qemu-block-drivers: a read lock on byte 100 + n for each
// permission in use; 1 is to write.
class QemuLock {
 public:
  explicit QemuLock(const std::string& path) : file_(::open(path.c_str(), O_RDWR | O_CLOEXEC)) {
    struct flock lock {};
    lock.l_type = F_RDLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = 101;
    lock.l_len = 1;
    EXPECT_EQ(::fcntl(file_.get(), F_OFD_SETLK, &lock), 0) << path;
  }

 private:
  FileDescriptor file_;
};

}  // namespace asr::testing
