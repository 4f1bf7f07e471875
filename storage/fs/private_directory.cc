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

}  // namespace asr
