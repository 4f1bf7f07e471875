#include "storage/blob/blob_remains.h"

#include <algorithm>
#include <utility>

#include "storage/blob/blob_name.h"
#include "storage/blob/directory_page_blob.h"
#include "storage/blob/undo_chain.h"

namespace asr {
namespace {

class Search {
 public:
  Search(FileSystem& fs, std::string root, std::string prefix)
      : fs_(fs), root_(std::move(root)), prefix_(std::move(prefix)) {}

  // `directory` ends with '/', or is empty.
  Status Look(const std::string& directory) {
    const auto entries = fs_.List(JoinPath(root_, directory));
    if (!entries && IsNotFound(entries.error())) return {};
    if (!entries) return Fail(entries.error());
    const std::string undo_ending = UndoDirectoryOf("");
    for (const DirectoryEntry& entry : *entries) {
      if (!entry.is_directory) continue;
      const std::string name = directory + entry.name;
      if (entry.name.ends_with(undo_ending)) {
        const std::string blob = name.substr(0, name.size() - undo_ending.size());
        if (blob.starts_with(prefix_)) ASR_CHECK(LookAt(blob));
      } else if (!IsReservedSegment(entry.name)) {
        const std::string below = name + "/";
        if (below.starts_with(prefix_) || prefix_.starts_with(below)) ASR_CHECK(Look(below));
      }
    }
    return {};
  }

  std::vector<BlobRemains> Take() {
    std::ranges::sort(found_, {}, &BlobRemains::name);
    return std::move(found_);
  }

 private:
  Status LookAt(const std::string& blob) {
    const std::string path = JoinPath(root_, blob);
    BlobRemains remains;
    remains.name = blob;
    ASR_TRY(const bool exists, PathExists(fs_, path));
    if (exists) {
      const auto listed = LoadChainBesideWriter(fs_, UndoDirectoryOf(path), blob, {});
      if (!listed && listed.error().kind == ErrorKind::kCorrupt) return {};
      ASR_CHECK(listed);
      remains.snapshots = listed->chain.left_overs;
    } else {
      ASR_TRY(const UndoListing listing, ListUndoFiles(fs_, UndoDirectoryOf(path)));
      remains.is_gone = true;
      for (const auto& entry : listing.files) remains.snapshots.push_back(entry.id);
    }
    if (remains.is_gone || !remains.snapshots.empty()) found_.push_back(std::move(remains));
    return {};
  }

  FileSystem& fs_;
  std::string root_;
  std::string prefix_;
  std::vector<BlobRemains> found_;
};

}  // namespace

Result<std::vector<BlobRemains>> ListRemainsIn(FileSystem& fs, const std::string& root,
                                               const std::string& prefix) {
  Search search(fs, root, prefix);
  ASR_CHECK(search.Look(prefix.substr(0, prefix.rfind('/') + 1)));
  return search.Take();
}

}  // namespace asr
