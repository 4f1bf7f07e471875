#include "storage/blob/directory_page_blob.h"

#include <algorithm>

#include <fmt/format.h>

#include "storage/blob/blob_name.h"
#include "storage/blob/undo_chain.h"

namespace asr {
namespace {

// How much of a blob is cleared in one round: bounds the list of chunks to be kept first.
constexpr std::uint64_t kClearBytes = kGiB;

}  // namespace

std::string UndoDirectoryOf(const std::string& live_path) { return live_path + ".undo"; }

Result<std::unique_ptr<PageBlob>> DirectoryPageBlob::Open(FileSystem& fs, std::string name,
                                                          std::string live_path) {
  std::unique_ptr<DirectoryPageBlob> blob(
      new DirectoryPageBlob(fs, std::move(name), std::move(live_path)));
  auto live = fs.Open(blob->live_path_, {.mode = OpenMode::kWrite, .direct = true});
  if (!live && live.error().code == ErrorCode::kFileNotFound)
    return Fail(BlobNotFound(blob->name_));
  if (!live) return Fail(std::move(live).error());
  blob->live_ = *std::move(live);
  ASR_TRY(const FileStamp stamp, blob->live_->Stat());
  blob->size_bytes_ = stamp.size_bytes;
  ASR_CHECK(blob->EnsureChain());
  return std::unique_ptr<PageBlob>(std::move(blob));
}

std::string DirectoryPageBlob::UndoPath(const SnapshotId& id) const {
  return JoinPath(undo_directory_, id.value);
}

Status DirectoryPageBlob::EnsureChain() {
  const std::lock_guard lock(chain_mutex_);
  if (chain_is_known_) return {};
  ASR_CHECK(LoadChain());
  chain_is_known_ = true;
  return {};
}

Status DirectoryPageBlob::LoadChain() {
  keeper_.reset();
  snapshots_.clear();
  ASR_TRY(const UndoChain chain, RecoverUndoChain(fs_, undo_directory_));
  for (const UndoHeader& member : chain.members) snapshots_.push_back(member.snapshot);
  if (snapshots_.empty()) return {};
  // The undo directory itself may be younger than the last sync of its parent.
  ASR_CHECK(fs_.SyncDirectory(ParentOf(undo_directory_)));
  ASR_TRY(auto newest, UndoFile::Open(fs_, UndoPath(snapshots_.back()), UndoFile::Access::kWrite));
  keeper_ = std::make_unique<ChunkKeeper>(*live_, std::move(newest), false);
  return {};
}

Status DirectoryPageBlob::Read(std::uint64_t offset_bytes, MutableByteSpan out) {
  ASR_CHECK(CheckInside(name_, {offset_bytes, out.size()}, size_bytes_));
  return live_->ReadAt(offset_bytes, out);
}

Status DirectoryPageBlob::Keep(const std::vector<Extent>& ranges) {
  ASR_CHECK(EnsureChain());
  return keeper_ == nullptr ? Status{} : keeper_->Keep(ranges);
}

Status DirectoryPageBlob::Write(std::uint64_t offset_bytes, ByteSpan bytes) {
  const Extent range{offset_bytes, bytes.size()};
  ASR_CHECK(CheckPages(name_, range, size_bytes_));
  ASR_CHECK(Keep({range}));
  return live_->WriteAt(offset_bytes, bytes);
}

Status DirectoryPageBlob::Clear(Extent range) {
  ASR_CHECK(CheckPages(name_, range, size_bytes_));
  for (std::uint64_t offset = range.offset_bytes; offset < range.end_bytes();) {
    const Extent piece{offset, std::min(kClearBytes, range.end_bytes() - offset)};
    // Holes read as zeros before and after: they do not change, and need not be kept.
    ASR_TRY(const auto full, live_->DataExtents(piece));
    if (!full.empty()) {
      ASR_CHECK(Keep(full));
      ASR_CHECK(live_->PunchHole(piece));
    }
    offset += piece.length_bytes;
  }
  return {};
}

Status DirectoryPageBlob::Preserve(const std::vector<Extent>& ranges) {
  for (const Extent& range : ranges) ASR_CHECK(CheckInside(name_, range, size_bytes_));
  return Keep(ranges);
}

Status DirectoryPageBlob::KeepInstead(std::uint64_t offset_bytes, ByteSpan bytes) {
  ASR_CHECK(CheckInside(name_, {offset_bytes, bytes.size()}, size_bytes_));
  ASR_CHECK(EnsureChain());
  return keeper_ == nullptr ? Status{} : keeper_->KeepInstead(offset_bytes, bytes);
}

Status DirectoryPageBlob::Resize(std::uint64_t size_bytes) {
  ASR_CHECK(CheckPageBlobSize(name_, size_bytes));
  if (size_bytes == size_bytes_) return {};
  // The chunk with the old end is kept when the blob grows, too: it holds a disk's footer, which
  // is about to be overwritten.
  const std::uint64_t first_changed =
      size_bytes < size_bytes_ ? size_bytes : size_bytes_ - std::min(size_bytes_, kPageBytes);
  ASR_CHECK(Keep({{first_changed, size_bytes_ - first_changed}}));
  ASR_CHECK(live_->Resize(size_bytes));
  size_bytes_ = size_bytes;
  return {};
}

Status DirectoryPageBlob::Flush() {
  // A second sync may succeed although what the first one failed to write is lost for good.
  if (live_is_doubtful_) {
    return Fail(ErrorKind::kIo, ErrorCode::kIo,
                fmt::format("{} could not be made durable earlier: what was written since the last "
                            "flush may be lost",
                            live_path_));
  }
  Status status = live_->Sync();
  if (!status) live_is_doubtful_ = true;
  return status;
}

Status DirectoryPageBlob::CreateSnapshot(const SnapshotId& id) {
  ASR_CHECK(CheckSnapshotId(id));
  ASR_CHECK(EnsureChain());
  if (!snapshots_.empty() && id <= snapshots_.back()) {
    return Fail(SnapshotOutOfOrder(name_, id, snapshots_.back()));
  }
  ASR_CHECK(Flush());
  Status status = TakeSnapshot(id);
  if (!status) chain_is_known_ = false;
  return status;
}

Status DirectoryPageBlob::TakeSnapshot(const SnapshotId& id) {
  ASR_CHECK(fs_.CreateDirectories(undo_directory_));
  UndoHeader header;
  header.snapshot = id;
  if (!snapshots_.empty()) header.predecessor = snapshots_.back();
  header.blob_size_bytes = size_bytes_;
  ASR_TRY(auto undo, UndoFile::Create(fs_, UndoPath(id), std::move(header)));
  ASR_CHECK(fs_.SyncDirectory(undo_directory_));
  if (snapshots_.empty()) ASR_CHECK(fs_.SyncDirectory(ParentOf(undo_directory_)));
  snapshots_.push_back(id);
  keeper_ = std::make_unique<ChunkKeeper>(*live_, std::move(undo), true);
  return {};
}

Result<std::vector<SnapshotId>> DirectoryPageBlob::ListSnapshots() {
  ASR_CHECK(EnsureChain());
  return snapshots_;
}

Status DirectoryPageBlob::PrepareDelete(const SnapshotId& id) {
  ASR_CHECK(EnsureChain());
  const auto found = std::find(snapshots_.begin(), snapshots_.end(), id);
  if (found == snapshots_.end()) return Fail(SnapshotNotFound(name_, id));
  return FoldSnapshot(static_cast<std::size_t>(found - snapshots_.begin()));
}

Status DirectoryPageBlob::DeleteSnapshot(const SnapshotId& id) {
  ASR_CHECK(EnsureChain());
  const auto found = std::find(snapshots_.begin(), snapshots_.end(), id);
  if (found == snapshots_.end()) return Fail(SnapshotNotFound(name_, id));
  const bool is_newest = id == snapshots_.back();
  chain_is_known_ = false;
  ASR_CHECK(DropSnapshot(static_cast<std::size_t>(found - snapshots_.begin())));
  snapshots_.erase(found);
  chain_is_known_ = !is_newest;
  return EnsureChain();
}

Status DirectoryPageBlob::FoldSnapshot(std::size_t index) {
  if (index == 0) return {};
  ASR_TRY(const auto dropped,
          UndoFile::Open(fs_, UndoPath(snapshots_[index]), UndoFile::Access::kRead));
  ASR_TRY(const auto heir,
          UndoFile::Open(fs_, UndoPath(snapshots_[index - 1]), UndoFile::Access::kWrite));
  return FoldUndoFile(*dropped, *heir);
}

Status DirectoryPageBlob::DropSnapshot(std::size_t index) {
  const std::string path = UndoPath(snapshots_[index]);
  const SnapshotId older = index > 0 ? snapshots_[index - 1] : SnapshotId{};
  ASR_CHECK(FoldSnapshot(index));
  if (index + 1 < snapshots_.size()) {
    ASR_TRY(const auto newer,
            UndoFile::Open(fs_, UndoPath(snapshots_[index + 1]), UndoFile::Access::kWrite));
    ASR_CHECK(newer->SetPredecessor(older));
  }
  ASR_CHECK(fs_.RemoveFile(path));
  return fs_.SyncDirectory(undo_directory_);
}

}  // namespace asr
