#include "storage/blob/unfinished_writes.h"

#include <string_view>

namespace asr {
namespace {

constexpr std::string_view kMark = ".tmp-";

// None if there is no such directory: others may remove one that is empty.
Result<std::vector<DirectoryEntry>> EntriesOf(FileSystem& fs, const std::string& directory) {
  auto entries = fs.List(directory);
  if (!entries && IsNotFound(entries.error())) return std::vector<DirectoryEntry>{};
  return entries;
}

Status RemoveIfThere(FileSystem& fs, const std::string& path) {
  Status removed = fs.RemoveFile(path);
  if (!removed && IsNotFound(removed.error())) return {};
  return removed;
}

// True if anything was removed.
Result<bool> Sweep(FileSystem& fs, const std::string& directory, std::size_t levels) {
  ASR_TRY(const auto entries, EntriesOf(fs, directory));
  bool any_removed = false;
  for (const DirectoryEntry& entry : entries) {
    const std::string path = JoinPath(directory, entry.name);
    if (entry.is_directory && levels > 0) {
      ASR_TRY(const bool removed_below, Sweep(fs, path, levels - 1));
      if (removed_below) static_cast<void>(fs.RemoveEmptyDirectory(path).has_value());
      any_removed |= removed_below;
    } else if (!entry.is_directory && entry.name.find(kMark) != std::string::npos) {
      ASR_CHECK(RemoveIfThere(fs, path));
      any_removed = true;
    }
  }
  return any_removed;
}

}  // namespace

Status RemoveUnfinishedWritesOf(FileSystem& fs, const std::string& path) {
  const std::string directory = ParentOf(path);
  const std::string beginning = BaseName(path) + std::string(kMark);
  ASR_TRY(const auto entries, EntriesOf(fs, directory));
  for (const DirectoryEntry& entry : entries) {
    if (entry.is_directory || !entry.name.starts_with(beginning)) continue;
    ASR_CHECK(RemoveIfThere(fs, JoinPath(directory, entry.name)));
  }
  return {};
}

Status RemoveUnfinishedWritesIn(FileSystem& fs, const std::string& directory, std::size_t levels) {
  ASR_CHECK(Sweep(fs, directory, levels));
  return {};
}

}  // namespace asr
