#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include <fmt/format.h>

#include "storage/fs/file_writer.h"
#include "storage/fs/posix_file.h"

namespace asr {
namespace {

class HeldLock : public FileLock {
 public:
  HeldLock(FileDescriptor descriptor, std::string path)
      : descriptor_(std::move(descriptor)), path_(std::move(path)) {}

  Result<bool> IsInPlace() override {
    struct stat held {};
    struct stat named {};
    if (::fstat(descriptor_.get(), &held) != 0) {
      return Fail(ErrnoError(errno, fmt::format("cannot look at the lock {}", path_)));
    }
    if (::stat(path_.c_str(), &named) != 0) {
      if (errno == ENOENT) return false;
      return Fail(ErrnoError(errno, fmt::format("cannot look at {}", path_)));
    }
    return held.st_dev == named.st_dev && held.st_ino == named.st_ino;
  }

 private:
  FileDescriptor descriptor_;
  std::string path_;
};

// statfs(2), and the kernel's include/uapi/linux/magic.h. FUSE may be local or not: it cannot be
// told, and its locks are its server's affair.
std::string_view NetworkTypeName(std::uint32_t magic) {
  switch (magic) {
    case 0x6969:
      return "NFS";
    case 0x517B:      // smbfs
    case 0xFF534D42:  // cifs
    case 0xFE534D42:  // smb2
      return "SMB";
    case 0x65735546:
      return "FUSE";
    case 0x01021997:
      return "9P";
    case 0x00C36400:
      return "Ceph";
    case 0x5346414F:
      return "AFS";
    default:
      return "";
  }
}

class MachineFileSystem : public FileSystem {
 public:
  Result<std::unique_ptr<File>> Open(const std::string& path, OpenOptions options) override {
    return OpenPosixFile(path, options);
  }

  Result<FileStamp> Stat(const std::string& path) override {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) {
      return Fail(ErrnoError(errno, fmt::format("cannot stat {}", path)));
    }
    if (!S_ISBLK(status.st_mode)) return StampFromStat(status);
    const FileDescriptor device(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!device.valid()) return Fail(ErrnoError(errno, fmt::format("cannot open {}", path)));
    return StampOf(device.get(), path);
  }

  Result<std::vector<DirectoryEntry>> List(const std::string& path) override {
    DIR* directory = ::opendir(path.c_str());
    if (directory == nullptr) {
      return Fail(ErrnoError(errno, fmt::format("cannot list {}", path)));
    }
    std::vector<DirectoryEntry> entries;
    errno = 0;
    while (const dirent* entry = ::readdir(directory)) {
      std::string name = entry->d_name;
      if (name == "." || name == "..") continue;
      bool is_directory = entry->d_type == DT_DIR;
      if (entry->d_type == DT_UNKNOWN || entry->d_type == DT_LNK) {
        struct stat status {};
        is_directory =
            ::stat(JoinPath(path, name).c_str(), &status) == 0 && S_ISDIR(status.st_mode);
      }
      entries.push_back({std::move(name), is_directory, entry->d_ino});
      errno = 0;
    }
    const int problem = errno;
    ::closedir(directory);
    if (problem != 0) return Fail(ErrnoError(problem, fmt::format("cannot list {}", path)));
    std::sort(entries.begin(), entries.end(),
              [](const auto& left, const auto& right) { return left.name < right.name; });
    return entries;
  }

  Status CreateDirectories(const std::string& path) override {
    if (::mkdir(path.c_str(), 0755) == 0) return SyncDirectory(ParentOf(path));
    if (errno == EEXIST) {
      ASR_TRY(const FileStamp stamp, Stat(path));
      if (stamp.type == FileType::kDirectory) return {};
      return Fail(ErrnoError(EEXIST, fmt::format("cannot create directory {}", path)));
    }
    if (errno != ENOENT) {
      return Fail(ErrnoError(errno, fmt::format("cannot create directory {}", path)));
    }
    const std::string parent = ParentOf(path);
    if (parent == path) {
      return Fail(ErrnoError(ENOENT, fmt::format("cannot create directory {}", path)));
    }
    ASR_CHECK(CreateDirectories(parent));
    if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) {
      return Fail(ErrnoError(errno, fmt::format("cannot create directory {}", path)));
    }
    return SyncDirectory(parent);
  }

  Status Rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) {
      return Fail(ErrnoError(errno, fmt::format("cannot rename {} to {}", from, to)));
    }
    return {};
  }

  Status RenameNoReplace(const std::string& from, const std::string& to) override {
    if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return {};
    if (errno == EINVAL || errno == ENOSYS) {
      // A file system without the flag: a second name is never given to one that is taken either.
      if (::link(from.c_str(), to.c_str()) == 0) return RemoveFile(from);
    }
    return Fail(ErrnoError(errno, fmt::format("cannot rename {} to {}", from, to)));
  }

  Status RemoveFile(const std::string& path) override {
    if (::unlink(path.c_str()) != 0) {
      return Fail(ErrnoError(errno, fmt::format("cannot remove {}", path)));
    }
    return {};
  }

  Status RemoveEmptyDirectory(const std::string& path) override {
    if (::rmdir(path.c_str()) != 0) {
      return Fail(ErrnoError(errno, fmt::format("cannot remove directory {}", path)));
    }
    return {};
  }

  Status RemoveTree(const std::string& path) override {
    std::error_code problem;
    std::filesystem::remove_all(path, problem);
    if (problem) return Fail(ErrnoError(problem.value(), fmt::format("cannot remove {}", path)));
    return {};
  }

  Status SyncDirectory(const std::string& path) override {
    const FileDescriptor directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory.valid() || ::fsync(directory.get()) != 0) {
      return Fail(ErrnoError(errno, fmt::format("cannot sync directory {}", path)));
    }
    return {};
  }

  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) override {
    FileDescriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    if (!file.valid()) return Fail(ErrnoError(errno, fmt::format("cannot open {}", path)));
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) {
        return Fail(MakeError(ErrorKind::kBusy, ErrorCode::kLocked,
                              fmt::format("{} is locked by another process", path))
                        .Retryable());
      }
      return Fail(ErrnoError(errno, fmt::format("cannot lock {}", path)));
    }
    return std::make_unique<HeldLock>(std::move(file), path);
  }

  Result<std::uint64_t> FreeBytes(const std::string& path) override {
    struct statvfs status {};
    if (::statvfs(path.c_str(), &status) != 0) {
      return Fail(ErrnoError(errno, fmt::format("cannot tell the free space at {}", path)));
    }
    return static_cast<std::uint64_t>(status.f_bavail) * status.f_frsize;
  }

  Result<std::string> Canonical(const std::string& path) override {
    char* resolved = ::realpath(path.c_str(), nullptr);
    if (resolved == nullptr) {
      return Fail(ErrnoError(errno, fmt::format("cannot resolve {}", path)));
    }
    std::string text = resolved;
    std::free(resolved);
    return text;
  }

  Result<std::string> NetworkType(const std::string& path) override {
    struct statfs status {};
    if (::statfs(path.c_str(), &status) != 0) {
      return Fail(ErrnoError(errno, fmt::format("cannot tell the file system of {}", path)));
    }
    return std::string(NetworkTypeName(static_cast<std::uint32_t>(status.f_type)));
  }

  Result<std::optional<std::string>> FindWriter(const std::string& path) override {
    return FindPosixWriter(path);
  }
};

}  // namespace

FileSystem& PosixFileSystem() {
  static MachineFileSystem file_system;
  return file_system;
}

}  // namespace asr
