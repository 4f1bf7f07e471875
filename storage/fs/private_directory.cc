#include "storage/fs/private_directory.h"

#include <sys/stat.h>

#include <cerrno>

#include <fmt/format.h>

namespace asr {

Status CreatePrivateDirectory(FileSystem& fs, const std::string& path) {
  ASR_CHECK(fs.CreateDirectories(ParentOf(path)));
  if (::mkdir(path.c_str(), 0700) == 0) return fs.SyncDirectory(ParentOf(path));
  const int problem = errno;
  if (problem == EEXIST) {
    ASR_TRY(const FileStamp stamp, fs.Stat(path));
    if (stamp.type == FileType::kDirectory) return {};
  }
  return Fail(ErrnoError(problem, fmt::format("cannot create directory {}", path)));
}

Result<std::uint32_t> PermissionsOfOthers(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    return Fail(ErrnoError(errno, fmt::format("cannot look at {}", path)));
  }
  return static_cast<std::uint32_t>(status.st_mode & 077);
}

Status WritePrivateFileAtomic(FileSystem& fs, const std::string& path, ByteSpan bytes) {
  const std::string temporary = TemporaryPath(path);
  const auto write = [&]() -> Status {
    ASR_TRY(const auto file, fs.Open(temporary, {.mode = OpenMode::kCreate, .owner_only = true}));
    ASR_CHECK(file->WriteAt(0, bytes));
    ASR_CHECK(file->Sync());
    ASR_CHECK(fs.Rename(temporary, path));
    return fs.SyncDirectory(ParentOf(path));
  };
  Status status = write();
  if (!status) static_cast<void>(fs.RemoveFile(temporary).has_value());
  return status;
}

}  // namespace asr
