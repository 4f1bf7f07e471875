#include "storage/fs/file_system.h"

#include <fmt/format.h>

#include "storage/base/checksum.h"

namespace asr {

bool Exists(FileSystem& fs, const std::string& path) { return fs.Stat(path).has_value(); }

Result<bool> PathExists(FileSystem& fs, const std::string& path) {
  const auto stamp = fs.Stat(path);
  if (stamp) return true;
  if (stamp.error().code == ErrorCode::kFileNotFound) return false;
  return Fail(stamp.error());
}

Result<std::string> ReadWholeFile(FileSystem& fs, const std::string& path,
                                  std::uint64_t limit_bytes) {
  ASR_TRY(const auto file, fs.Open(path, {.mode = OpenMode::kRead}));
  ASR_TRY(const FileStamp stamp, file->Stat());
  if (stamp.size_bytes > limit_bytes) {
    return Fail(ErrorKind::kCorrupt, ErrorCode::kIo,
                fmt::format("{} is {} bytes long, more than the {} it may have", path,
                            stamp.size_bytes, limit_bytes));
  }
  std::string text(stamp.size_bytes, '\0');
  ASR_TRY(const std::size_t count,
          file->ReadUpTo(0, std::as_writable_bytes(std::span(text.data(), text.size()))));
  text.resize(count);
  return text;
}

std::string TemporaryPath(const std::string& path) {
  // Random: two writers of one document must not write into each other's file.
  return fmt::format("{}.tmp-{}", path, ToHex(ByteSpan(RandomBits()).first(6)));
}

namespace {

enum class IfThere : std::uint8_t { kReplace, kFail };

Status WriteByRename(FileSystem& fs, const std::string& path, ByteSpan bytes, IfThere if_there) {
  const std::string temporary = TemporaryPath(path);
  const auto write = [&]() -> Status {
    ASR_TRY(const auto file, fs.Open(temporary, {.mode = OpenMode::kCreate}));
    ASR_CHECK(file->WriteAt(0, bytes));
    ASR_CHECK(file->Sync());
    ASR_CHECK(if_there == IfThere::kReplace ? fs.Rename(temporary, path)
                                            : fs.RenameNoReplace(temporary, path));
    return fs.SyncDirectory(ParentOf(path));
  };
  Status status = write();
  if (!status) static_cast<void>(fs.RemoveFile(temporary).has_value());
  return status;
}

}  // namespace

Status WriteFileAtomic(FileSystem& fs, const std::string& path, ByteSpan bytes) {
  return WriteByRename(fs, path, bytes, IfThere::kReplace);
}

Status WriteNewFileAtomic(FileSystem& fs, const std::string& path, ByteSpan bytes) {
  return WriteByRename(fs, path, bytes, IfThere::kFail);
}

std::string JoinPath(std::string_view directory, std::string_view name) {
  if (directory.empty()) return std::string(name);
  if (directory.back() == '/') return fmt::format("{}{}", directory, name);
  return fmt::format("{}/{}", directory, name);
}

std::string ParentOf(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  const auto slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return std::string(slash == 0 ? "/" : path.substr(0, slash));
}

std::string BaseName(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  const auto slash = path.rfind('/');
  return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
}

}  // namespace asr
