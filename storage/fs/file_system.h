// The one seam to the operating system's files. Everything that reads or writes files goes through
// it, so that tests can make any call fail and forget what was not synced.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/base/bytes.h"
#include "storage/base/result.h"

namespace asr {

enum class FileType : std::uint8_t { kRegular, kDirectory, kBlockDevice, kOther };

// Who a file is and when it last changed; two equal stamps mean the same, untouched file. What it
// takes on the disk is not part of that: a file system allocates late, long after the last write.
struct FileStamp {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t size_bytes = 0;
  std::int64_t modified_ns = 0;  // mtime, since 1970
  std::int64_t changed_ns = 0;   // ctime, since 1970
  FileType type = FileType::kRegular;
  std::uint64_t allocated_bytes = 0;  // no part of ==
  // Of a block device: grows with everything that is written to it; 0: the kernel does not count.
  // Where it does, the times are no part of ==: they are those of the node.
  std::uint64_t written = 0;

  bool operator==(const FileStamp& other) const {
    const bool is_same_time = modified_ns == other.modified_ns && changed_ns == other.changed_ns;
    return device == other.device && inode == other.inode && size_bytes == other.size_bytes &&
           type == other.type && written == other.written && (written != 0 || is_same_time);
  }
};

enum class OpenMode : std::uint8_t {
  kRead,          // must exist
  kWrite,         // must exist; read and write
  kCreate,        // must not exist; read and write
  kOpenOrCreate,  // read and write
};

struct OpenOptions {
  OpenMode mode = OpenMode::kRead;
  // Go round the page cache (O_DIRECT) for every request whose offset, length and address are
  // multiples of kDirectAlignment; other requests go through the cache and stay coherent with it.
  // Where the file system has no direct I/O, this is ignored.
  bool direct = false;
  // Fail (kIo) if any part of the path is a symbolic link by now: for a path that Canonical() gave,
  // which somebody may have changed since. Linux before 5.6 cannot tell, and follows it.
  bool no_links = false;
  // A file that is made is its owner's alone (mode 0600): it holds what a guest wrote.
  bool owner_only = false;
};

// An open file. All methods may be called from several threads at once; overlapping concurrent
// writes have no defined order.
class File {
 public:
  virtual ~File() = default;

  // Fills `out` whole, or fails; bytes past the end of the file are an error (kIo "ends early").
  virtual Status ReadAt(std::uint64_t offset_bytes, MutableByteSpan out) = 0;
  // Reads as much of `out` as the file has; returns the count.
  virtual Result<std::size_t> ReadUpTo(std::uint64_t offset_bytes, MutableByteSpan out) = 0;
  virtual Status WriteAt(std::uint64_t offset_bytes, ByteSpan bytes) = 0;
  // Returns once data and size are durable (fdatasync).
  virtual Status Sync() = 0;
  virtual Status Resize(std::uint64_t size_bytes) = 0;
  // The range reads as zeros afterwards and takes no space; the size stays.
  virtual Status PunchHole(Extent range) = 0;
  virtual Result<FileStamp> Stat() = 0;
  // Parts of `range` that may hold data, ascending (SEEK_DATA); the rest are holes, which read as
  // zeros. Where the file system cannot tell, all of it. Clipped to the file's end.
  virtual Result<std::vector<Extent>> DataExtents(Extent range) = 0;
};

struct DirectoryEntry {
  std::string name;
  bool is_directory = false;
  std::uint64_t inode = 0;  // 0 if unknown; one name with two inodes means two files
};

// Held until destroyed. The lock dies with the process.
class FileLock {
 public:
  virtual ~FileLock() = default;
  // False once its path names another file, or none: then others can hold a lock of that path too.
  [[nodiscard]] virtual Result<bool> IsInPlace() = 0;
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;

  virtual Result<std::unique_ptr<File>> Open(const std::string& path, OpenOptions options) = 0;
  // Follows symbolic links.
  virtual Result<FileStamp> Stat(const std::string& path) = 0;
  // Sorted by name, without "." and "..".
  virtual Result<std::vector<DirectoryEntry>> List(const std::string& path) = 0;
  // With parents; fine if it exists. Durable when it returns.
  virtual Status CreateDirectories(const std::string& path) = 0;
  // Replaces `to`. Not durable until the directory is synced.
  virtual Status Rename(const std::string& from, const std::string& to) = 0;
  // The same, but kState (kAlreadyExists) if there is a `to`; of two callers one wins.
  virtual Status RenameNoReplace(const std::string& from, const std::string& to) = 0;
  virtual Status RemoveFile(const std::string& path) = 0;
  // Fails if something is in it.
  virtual Status RemoveEmptyDirectory(const std::string& path) = 0;
  // A directory with all that is in it; fine if there is none.
  virtual Status RemoveTree(const std::string& path) = 0;
  virtual Status SyncDirectory(const std::string& path) = 0;
  // An exclusive flock on `path`, which is created if missing. kBusy if somebody holds it.
  virtual Result<std::unique_ptr<FileLock>> Lock(const std::string& path) = 0;
  virtual Result<std::uint64_t> FreeBytes(const std::string& path) = 0;
  // Absolute, without symbolic links; fails if it does not exist.
  virtual Result<std::string> Canonical(const std::string& path) = 0;
  // "NFS", "SMB", "FUSE": `path` lies on a file system that other machines may change, on which a
  // lock does not stop a machine that was cut off. Empty: it is this machine's own.
  virtual Result<std::string> NetworkType(const std::string& /*path*/) { return std::string(); }
  // Says who has the file open for writing now: a QEMU that locks its images, on any machine that
  // shares the file's locks; on a local file system any process, if the file is ours or we are
  // root. Nothing: nobody, or it cannot be told.
  virtual Result<std::optional<std::string>> FindWriter(const std::string& /*path*/) {
    return std::optional<std::string>{};
  }
};

// The machine's own.
[[nodiscard]] FileSystem& PosixFileSystem();

// False for every error, too: for messages and hints.
[[nodiscard]] bool Exists(FileSystem& fs, const std::string& path);
// The same where it matters: an error that does not say whether it exists is an error.
[[nodiscard]] Result<bool> PathExists(FileSystem& fs, const std::string& path);

// The whole file; more than `limit_bytes` is an error (kCorrupt).
[[nodiscard]] Result<std::string> ReadWholeFile(FileSystem& fs, const std::string& path,
                                                std::uint64_t limit_bytes = 16 * kMiB);

// Durable and all or nothing: temporary name beside it, write, sync, rename, sync of the directory.
[[nodiscard]] Status WriteFileAtomic(FileSystem& fs, const std::string& path, ByteSpan bytes);

// The same for a file that must not exist yet: kState (kAlreadyExists) if it does. Race-free.
[[nodiscard]] Status WriteNewFileAtomic(FileSystem& fs, const std::string& path, ByteSpan bytes);

// "PATH.tmp-0123456789ab": where a file is made before it is renamed to `path`.
[[nodiscard]] std::string TemporaryPath(const std::string& path);

// "/a/b" and "c" -> "/a/b/c". ParentOf("/a/b") -> "/a".
[[nodiscard]] std::string JoinPath(std::string_view directory, std::string_view name);
[[nodiscard]] std::string ParentOf(std::string_view path);
[[nodiscard]] std::string BaseName(std::string_view path);

}  // namespace asr
