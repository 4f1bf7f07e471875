#include "storage/blob/undo_chain.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "storage/blob/blob_name.h"

namespace asr {
namespace {

// Chunks whose presence is compared at a time while folding.
constexpr std::uint64_t kFoldChunks = 65536;
constexpr std::size_t kFoldBufferBytes = 4 * kMiB;
// A load fails only if the writer dropped a listed file just then.
constexpr int kMaxLoads = 1000;
// A missing predecessor seen so often over one and the same listing is missing indeed.
constexpr int kMaxCorruptLoads = 3;

Error MissingPredecessor(const std::string& directory, const UndoHeader& header) {
  return MakeError(ErrorKind::kCorrupt, ErrorCode::kBlobCorrupt,
                   fmt::format("the undo file {}/{} is missing, which {} builds on", directory,
                               header.predecessor.value, header.snapshot.value))
      .WithCause("somebody removed the file, or it was lost with part of the file system")
      .WithAction(
          "put the file back; without it recovery points up to the missing one cannot be "
          "read, newer ones can");
}

Result<UndoHeader> LoadHeader(FileSystem& fs, const std::string& directory, const SnapshotId& id) {
  ASR_TRY(const auto file,
          UndoFile::Open(fs, JoinPath(directory, id.value), UndoFile::Access::kRead));
  if (file->header().snapshot == id) return file->header();
  return Fail(MakeError(ErrorKind::kCorrupt, ErrorCode::kBlobCorrupt,
                        fmt::format("the undo file {}/{} belongs to snapshot {}", directory,
                                    id.value, file->header().snapshot.value))
                  .WithCause("somebody renamed or copied the file")
                  .WithAction("give the file its old name back"));
}

// The predecessor on disk may be one that an earlier writer wrote but did not sync; what it skips
// may go only once it is durable.
Status WritePredecessorsAgain(FileSystem& fs, const std::string& directory,
                              const std::vector<UndoHeader>& members) {
  for (const UndoHeader& member : members) {
    ASR_TRY(const auto file, UndoFile::Open(fs, JoinPath(directory, member.snapshot.value),
                                            UndoFile::Access::kWrite));
    ASR_CHECK(file->SetPredecessor(member.predecessor));
  }
  return {};
}

// A sector that the disk cannot read any more, in contrast to a passing trouble.
Error UndoBytesLost(const UndoFile& file, Error error) {
  if (error.kind != ErrorKind::kIo || error.code != ErrorCode::kIo) return error;
  return MakeError(ErrorKind::kIo, ErrorCode::kBlobCorrupt,
                   fmt::format("the undo file of snapshot {} cannot be read: {}",
                               file.header().snapshot.value, error.Line()))
      .WithCause("the disk under the vault has sectors that it cannot read");
}

// Runs of chunks in `window` that `newer` holds and `older` lacks.
Result<std::vector<ChunkRun>> LackingRuns(const UndoFile& newer, const UndoFile& older,
                                          ChunkRun window) {
  const auto newer_bits = newer.ReadBits(window);
  if (!newer_bits) return Fail(UndoBytesLost(newer, newer_bits.error()));
  ASR_TRY(const PresenceBits older_bits, older.ReadBits(window));
  std::vector<ChunkRun> runs;
  for (std::uint64_t chunk = window.first; chunk < window.end(); ++chunk) {
    if (newer_bits->Has(chunk) && !older_bits.Has(chunk)) AppendChunk(runs, chunk);
  }
  return runs;
}

Status CopyRun(const UndoFile& from, UndoFile& to, ChunkRun run, AlignedBuffer& buffer) {
  ASR_TRY(const auto extents,
          from.DataExtents({run.first * kUndoChunkBytes, run.count * kUndoChunkBytes}));
  for (const Extent& extent : extents) {
    for (std::uint64_t offset = extent.offset_bytes; offset < extent.end_bytes();) {
      const std::size_t count =
          std::min<std::uint64_t>(buffer.size_bytes(), extent.end_bytes() - offset);
      const MutableByteSpan piece = buffer.span().first(count);
      const Status read = from.ReadData(offset, piece);
      if (!read) return Fail(UndoBytesLost(from, read.error()));
      if (!IsZero(piece)) ASR_CHECK(to.WriteData(offset, piece));
      offset += count;
    }
  }
  return {};
}

}  // namespace

bool UndoListing::Has(const SnapshotId& id) const {
  return std::any_of(files.begin(), files.end(),
                     [&](const Entry& entry) { return entry.id == id; });
}

Result<UndoListing> ListUndoFiles(FileSystem& fs, const std::string& directory) {
  auto entries = fs.List(directory);
  if (!entries) {
    if (entries.error().code == ErrorCode::kFileNotFound) return UndoListing{};
    return Fail(std::move(entries).error());
  }
  UndoListing listing;
  for (DirectoryEntry& entry : *entries) {
    if (entry.is_directory) continue;
    if (IsReservedSegment(entry.name)) {
      listing.unfinished.push_back(std::move(entry.name));
    } else {
      listing.files.push_back({{std::move(entry.name)}, entry.inode});
    }
  }
  return listing;
}

Result<UndoChain> LoadUndoChain(FileSystem& fs, const std::string& directory,
                                const UndoListing& listing, const SnapshotId& oldest_wanted) {
  UndoChain chain;
  SnapshotId next = listing.files.empty() ? SnapshotId{} : listing.files.back().id;
  for (auto entry = listing.files.rbegin(); entry != listing.files.rend(); ++entry) {
    if (entry->id > next) {
      chain.left_overs.push_back(entry->id);
      continue;
    }
    if (entry->id < next) break;
    ASR_TRY(UndoHeader header, LoadHeader(fs, directory, entry->id));
    next = header.predecessor;
    chain.members.push_back(std::move(header));
    if (chain.members.back().snapshot == oldest_wanted) {
      next = {};
      break;
    }
  }
  if (!next.value.empty()) return Fail(MissingPredecessor(directory, chain.members.back()));
  std::reverse(chain.members.begin(), chain.members.end());
  return chain;
}

Result<ListedChain> LoadChainBesideWriter(FileSystem& fs, const std::string& directory,
                                          const std::string& name,
                                          const SnapshotId& oldest_wanted) {
  int corrupt_loads = 0;
  for (int attempt = 0; attempt < kMaxLoads; ++attempt) {
    ListedChain listed;
    ASR_TRY(listed.listing, ListUndoFiles(fs, directory));
    if (!oldest_wanted.value.empty() && !listed.listing.Has(oldest_wanted)) return listed;
    auto chain = LoadUndoChain(fs, directory, listed.listing, oldest_wanted);
    if (chain) {
      listed.chain = *std::move(chain);
      return listed;
    }
    // The errors of a listed file that the writer has dropped by now.
    if (chain.error().code == ErrorCode::kFileNotFound) continue;
    // A file that was dropped between the listing and the reading of its successor's header.
    ASR_TRY(const UndoListing again, ListUndoFiles(fs, directory));
    if (listed.listing.SameFiles(again) && ++corrupt_loads == kMaxCorruptLoads) {
      return Fail(std::move(chain).error());
    }
  }
  return Fail(
      MakeError(ErrorKind::kBusy, ErrorCode::kLocked,
                fmt::format("the snapshots of {} change faster than they can be read", name))
          .Retryable());
}

Result<UndoChain> RecoverUndoChain(FileSystem& fs, const std::string& directory) {
  ASR_TRY(const UndoListing listing, ListUndoFiles(fs, directory));
  ASR_TRY(const bool exists, PathExists(fs, directory));
  if (!exists) return UndoChain{};
  ASR_TRY(UndoChain chain, LoadUndoChain(fs, directory, listing, {}));
  if (!chain.left_overs.empty()) {
    ASR_CHECK(WritePredecessorsAgain(fs, directory, chain.members));
  }
  for (const SnapshotId& id : chain.left_overs) {
    ASR_CHECK(fs.RemoveFile(JoinPath(directory, id.value)));
  }
  for (const std::string& name : listing.unfinished) {
    ASR_CHECK(fs.RemoveFile(JoinPath(directory, name)));
  }
  // Of an empty directory, too: a dropped file might come back without what it should have kept.
  ASR_CHECK(fs.SyncDirectory(directory));
  return chain;
}

Status FoldUndoFile(const UndoFile& newer, UndoFile& older) {
  AlignedBuffer buffer(kFoldBufferBytes);
  const std::uint64_t end = std::min(newer.chunk_count(), older.chunk_count());
  for (std::uint64_t first = 0; first < end; first += kFoldChunks) {
    const ChunkRun window{first, std::min(kFoldChunks, end - first)};
    ASR_TRY(const auto runs, LackingRuns(newer, older, window));
    for (const ChunkRun& run : runs) ASR_CHECK(CopyRun(newer, older, run, buffer));
  }
  ASR_CHECK(older.Sync());
  // What is lacking is worked out again: remembering it would need memory as the disk grows.
  for (std::uint64_t first = 0; first < end; first += kFoldChunks) {
    const ChunkRun window{first, std::min(kFoldChunks, end - first)};
    ASR_TRY(const auto runs, LackingRuns(newer, older, window));
    ASR_CHECK(older.SetBits(runs));
  }
  return older.MakeBitsDurable();
}

}  // namespace asr
