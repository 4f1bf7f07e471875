#include "storage/fs/posix_file.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <utility>

#include <fmt/format.h>

namespace asr {
namespace {

std::int64_t Nanoseconds(const timespec& time) {
  return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

bool IsDirectlyTransferable(std::uint64_t offset_bytes, ByteSpan bytes) {
  return offset_bytes % kDirectAlignment == 0 && bytes.size() % kDirectAlignment == 0 &&
         reinterpret_cast<std::uintptr_t>(bytes.data()) % kDirectAlignment == 0;
}

class PosixFile : public File {
 public:
  PosixFile(std::string path, FileDescriptor cached, FileDescriptor direct)
      : path_(std::move(path)), cached_(std::move(cached)), direct_(std::move(direct)) {}

  Status ReadAt(std::uint64_t offset_bytes, MutableByteSpan out) override {
    ASR_TRY(const std::size_t count, ReadUpTo(offset_bytes, out));
    if (count != out.size()) {
      return Fail(MakeError(ErrorKind::kIo, ErrorCode::kIo,
                            fmt::format("{} ends early: {} bytes wanted at offset {}, {} there",
                                        path_, out.size(), offset_bytes, count)));
    }
    return {};
  }

  Result<std::size_t> ReadUpTo(std::uint64_t offset_bytes, MutableByteSpan out) override {
    std::size_t done = 0;
    while (done < out.size()) {
      const MutableByteSpan rest = out.subspan(done);
      const int descriptor = DescriptorFor(offset_bytes + done, rest);
      const ssize_t count =
          ::pread(descriptor, rest.data(), rest.size(), static_cast<off_t>(offset_bytes + done));
      if (count == 0) break;
      if (count < 0) {
        if (errno == EINTR) continue;
        return Fail(ErrnoError(
            errno, fmt::format("cannot read {} at offset {}", path_, offset_bytes + done)));
      }
      done += static_cast<std::size_t>(count);
    }
    return done;
  }

  Status WriteAt(std::uint64_t offset_bytes, ByteSpan bytes) override {
    std::size_t done = 0;
    while (done < bytes.size()) {
      const ByteSpan rest = bytes.subspan(done);
      const int descriptor = DescriptorFor(offset_bytes + done, rest);
      const ssize_t count =
          ::pwrite(descriptor, rest.data(), rest.size(), static_cast<off_t>(offset_bytes + done));
      if (count < 0) {
        if (errno == EINTR) continue;
        return Fail(ErrnoError(
            errno, fmt::format("cannot write {} at offset {}", path_, offset_bytes + done)));
      }
      done += static_cast<std::size_t>(count);
    }
    return {};
  }

  Status Sync() override {
    if (::fdatasync(cached_.get()) != 0) {
      return Fail(ErrnoError(errno, fmt::format("cannot sync {}", path_)));
    }
    return {};
  }

  Status Resize(std::uint64_t size_bytes) override {
    if (::ftruncate(cached_.get(), static_cast<off_t>(size_bytes)) != 0) {
      return Fail(ErrnoError(errno, fmt::format("cannot resize {} to {}", path_, size_bytes)));
    }
    return {};
  }

  Status PunchHole(Extent range) override {
    if (range.length_bytes == 0) return {};
    if (::fallocate(cached_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                    static_cast<off_t>(range.offset_bytes),
                    static_cast<off_t>(range.length_bytes)) != 0) {
      return Fail(ErrnoError(errno, fmt::format("cannot punch a hole into {} at offset {}", path_,
                                                range.offset_bytes)));
    }
    return {};
  }

  Result<FileStamp> Stat() override { return StampOf(cached_.get(), path_); }

  Result<std::vector<Extent>> DataExtents(Extent range) override {
    ASR_TRY(const FileStamp stamp, Stat());
    const std::uint64_t end = std::min(range.end_bytes(), stamp.size_bytes);
    std::vector<Extent> extents;
    std::uint64_t position = range.offset_bytes;
    while (position < end) {
      const off_t data = ::lseek(cached_.get(), static_cast<off_t>(position), SEEK_DATA);
      if (data < 0) {
        if (errno == ENXIO) break;  // only holes from here on
        AppendExtent(extents, {position, end - position});
        break;
      }
      const auto start = static_cast<std::uint64_t>(data);
      if (start >= end) break;
      const off_t hole = ::lseek(cached_.get(), data, SEEK_HOLE);
      const std::uint64_t stop = hole < 0 ? end : std::min(static_cast<std::uint64_t>(hole), end);
      if (stop <= start) {
        // Somebody punched a hole between the two calls: call the rest data, which is always safe.
        AppendExtent(extents, {start, end - start});
        break;
      }
      AppendExtent(extents, {start, stop - start});
      position = stop;
    }
    return extents;
  }

 private:
  int DescriptorFor(std::uint64_t offset_bytes, ByteSpan bytes) const {
    return direct_.valid() && IsDirectlyTransferable(offset_bytes, bytes) ? direct_.get()
                                                                          : cached_.get();
  }

  std::string path_;
  FileDescriptor cached_;
  FileDescriptor direct_;  // the same file with O_DIRECT, or invalid
};

int OpenFlags(OpenMode mode) {
  switch (mode) {
    case OpenMode::kRead:
      return O_RDONLY;
    case OpenMode::kWrite:
      return O_RDWR;
    case OpenMode::kCreate:
      return O_RDWR | O_CREAT | O_EXCL;
    case OpenMode::kOpenOrCreate:
      return O_RDWR | O_CREAT;
  }
  return O_RDONLY;
}

// Documentation/admin-guide/abi-stable, /sys/block/<disk>/stat: the 5th number counts writes, the
// 7th their sectors, the 12th and 14th the same of discards. Nothing is counted where queue/iostats
// is 0.
std::uint64_t WrittenTo(const struct stat& device) {
  constexpr std::array<std::size_t, 4> kCounts = {4, 6, 11, 13};
  const std::string directory =
      fmt::format("/sys/dev/block/{}:{}", ::major(device.st_rdev), ::minor(device.st_rdev));
  // A partition's queue is that of its disk.
  for (const char* queue : {"/queue/iostats", "/../queue/iostats"}) {
    int counts = 1;
    if (std::ifstream(directory + queue) >> counts && counts == 0) return 0;
  }
  std::ifstream file(directory + "/stat");
  std::uint64_t sum = 0;
  std::uint64_t number = 0;
  for (std::size_t i = 0; file >> number; ++i) {
    if (std::ranges::find(kCounts, i) != kCounts.end()) sum += number;
  }
  return sum;
}

}  // namespace

Result<FileStamp> StampOf(int descriptor, const std::string& path) {
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) {
    return Fail(ErrnoError(errno, fmt::format("cannot stat {}", path)));
  }
  FileStamp stamp = StampFromStat(status);
  if (stamp.type != FileType::kBlockDevice) return stamp;
  if (::ioctl(descriptor, BLKGETSIZE64, &stamp.size_bytes) != 0) {
    return Fail(ErrnoError(errno, fmt::format("cannot tell the size of {}", path)));
  }
  stamp.written = WrittenTo(status);
  return stamp;
}

FileStamp StampFromStat(const struct stat& status) {
  FileStamp stamp;
  stamp.device = status.st_dev;
  stamp.inode = status.st_ino;
  stamp.size_bytes = static_cast<std::uint64_t>(status.st_size);
  stamp.modified_ns = Nanoseconds(status.st_mtim);
  stamp.changed_ns = Nanoseconds(status.st_ctim);
  stamp.allocated_bytes = static_cast<std::uint64_t>(status.st_blocks) * 512;
  if (S_ISREG(status.st_mode)) {
    stamp.type = FileType::kRegular;
  } else if (S_ISDIR(status.st_mode)) {
    stamp.type = FileType::kDirectory;
  } else if (S_ISBLK(status.st_mode)) {
    stamp.type = FileType::kBlockDevice;
  } else {
    stamp.type = FileType::kOther;
  }
  return stamp;
}

namespace {

int OpenDescriptor(const std::string& path, OpenOptions options) {
  // O_NONBLOCK, or a pipe in the place of a file would be waited for; files do not know it.
  const int flags = OpenFlags(options.mode) | O_CLOEXEC | O_NONBLOCK;
  const mode_t mode = options.owner_only ? 0600 : 0644;
  if (options.no_links) {
    open_how how{};
    how.flags = static_cast<std::uint64_t>(flags);
    how.mode = (flags & O_CREAT) != 0 ? mode : 0;
    how.resolve = RESOLVE_NO_SYMLINKS;
    const auto opened =
        static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, path.c_str(), &how, sizeof(how)));
    // EPERM: containers that do not know the call.
    if (opened >= 0 || (errno != ENOSYS && errno != EPERM)) return opened;
  }
  return ::open(path.c_str(), flags, mode);
}

}  // namespace

Result<std::unique_ptr<File>> OpenPosixFile(const std::string& path, OpenOptions options) {
  FileDescriptor cached(OpenDescriptor(path, options));
  if (!cached.valid()) return Fail(ErrnoError(errno, fmt::format("cannot open {}", path)));
  FileDescriptor direct;
  if (options.direct) {
    // By the descriptor, not the name: the name may mean another file by now.
    const int access = options.mode == OpenMode::kRead ? O_RDONLY : O_RDWR;
    const std::string same_file = fmt::format("/proc/self/fd/{}", cached.get());
    direct = FileDescriptor(::open(same_file.c_str(), access | O_DIRECT | O_CLOEXEC));
  }
  return std::make_unique<PosixFile>(path, std::move(cached), std::move(direct));
}

}  // namespace asr
