#include "storage/fs/file_writer.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include <fmt/format.h>

#include "storage/base/file_descriptor.h"

namespace asr {
namespace {

// QEMU's file driver (docs/system/qemu-block-drivers, "Disk image file locking"): for each
// permission in use it holds a read lock on the byte 100 + n, for each that nobody else may use one
// on 200 + n.
constexpr std::array<off_t, 3> kQemuBytes = {
    101,  // writes
    103,  // resizes
    200,  // lets nobody read what must be consistent
};

bool IsLocked(int descriptor, off_t byte) {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = byte;
  lock.l_len = 1;
  return ::fcntl(descriptor, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

// Over a network a lease is refused for reasons of its own.
bool KnowsAllOpeners(int descriptor) {
  constexpr std::array<std::int64_t, 5> kLocal = {EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC,
                                                  BTRFS_SUPER_MAGIC, F2FS_SUPER_MAGIC, TMPFS_MAGIC};
  struct statfs status {};
  return ::fstatfs(descriptor, &status) == 0 &&
         std::ranges::find(kLocal, status.f_type) != kLocal.end();
}

// A read lease is given only while nobody has the file open for writing. It is given back at once;
// whoever opens the file meanwhile waits that long, and we are told by a signal that is ignored
// unless somebody asks for it.
bool IsOpenForWriting(int descriptor) {
  if (!KnowsAllOpeners(descriptor) || ::fcntl(descriptor, F_SETSIG, SIGURG) != 0) return false;
  if (::fcntl(descriptor, F_SETLEASE, F_RDLCK) != 0) return errno == EAGAIN;
  ::fcntl(descriptor, F_SETLEASE, F_UNLCK);
  return false;
}

}  // namespace

Result<std::optional<std::string>> FindPosixWriter(const std::string& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.valid()) return Fail(ErrnoError(errno, fmt::format("cannot open {}", path)));
  if (std::ranges::any_of(kQemuBytes, [&](off_t byte) { return IsLocked(file.get(), byte); })) {
    return std::optional<std::string>("QEMU has it open for writing");
  }
  if (IsOpenForWriting(file.get())) {
    return std::optional<std::string>("a process of this machine has it open for writing");
  }
  return std::optional<std::string>{};
}

}  // namespace asr
