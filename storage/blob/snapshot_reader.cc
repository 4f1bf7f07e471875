#include "storage/blob/snapshot_reader.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "storage/blob/blob_name.h"
#include "storage/blob/directory_page_blob.h"

namespace asr {
namespace {

// Where chunks lie is remembered by the GiB, for the last 64 of them: 2 MiB at most.
constexpr std::uint64_t kWindowBytes = kGiB;
constexpr std::uint64_t kWindowChunks = kWindowBytes / kUndoChunkBytes;
constexpr std::size_t kMaxWindows = 64;
// A chain may be 500 files long; descriptors are scarce.
constexpr std::size_t kMaxOpenFiles = 24;
// Chunks remembered for small reads: 512 KiB at most.
constexpr std::size_t kMaxKeptChunks = 8;
// What one pass reads: more would be read in vain more often beside a writer.
constexpr std::uint64_t kPieceBytes = 4 * kMiB;
// A pass fails only if the writer changed this very piece, or the chain, while it ran.
constexpr int kMaxPasses = 1000;

// The errors of a listed file that the writer has dropped by now.
bool IsGone(const Error& error) { return error.code == ErrorCode::kFileNotFound; }

}  // namespace

SnapshotReader::SnapshotReader(FileSystem& fs, std::string name, const std::string& live_path,
                               SnapshotId id)
    : fs_(fs),
      name_(std::move(name)),
      id_(std::move(id)),
      undo_directory_(UndoDirectoryOf(live_path)) {}

Result<std::unique_ptr<PageBlobReader>> SnapshotReader::Open(FileSystem& fs, std::string name,
                                                             const std::string& live_path,
                                                             SnapshotId id) {
  ASR_CHECK(CheckSnapshotId(id));
  std::unique_ptr<SnapshotReader> reader(
      new SnapshotReader(fs, std::move(name), live_path, std::move(id)));
  auto live = fs.Open(live_path, {.mode = OpenMode::kRead, .direct = true});
  if (!live && IsGone(live.error())) return Fail(BlobNotFound(reader->name_));
  if (!live) return Fail(std::move(live).error());
  reader->live_ = *std::move(live);
  ASR_TRY(const auto view, reader->CurrentView());
  reader->size_bytes_ = view->members.front().blob_size_bytes;
  return std::unique_ptr<PageBlobReader>(std::move(reader));
}

Result<std::shared_ptr<SnapshotReader::View>> SnapshotReader::CurrentView() {
  {
    const std::lock_guard lock(mutex_);
    if (view_ != nullptr) return view_;
  }
  ASR_TRY(auto view, LoadView());
  const std::lock_guard lock(mutex_);
  view_ = view;
  return view;
}

Result<std::shared_ptr<SnapshotReader::View>> SnapshotReader::LoadView() {
  ASR_TRY(auto listed, LoadChainBesideWriter(fs_, undo_directory_, name_, id_));
  auto view = std::make_shared<View>();
  view->listing = std::move(listed.listing);
  view->members = std::move(listed.chain.members);
  if (view->members.empty() || view->members.front().snapshot != id_) {
    return Fail(SnapshotNotFound(name_, id_));
  }
  return view;
}

void SnapshotReader::Forget(const std::shared_ptr<View>& view) {
  const std::lock_guard lock(mutex_);
  if (view_ == view) view_.reset();
}

Status SnapshotReader::Read(std::uint64_t offset_bytes, MutableByteSpan out) {
  const Extent range{offset_bytes, out.size()};
  ASR_CHECK(CheckInside(name_, range, size_bytes_));
  if (out.size() < kDirectAlignment && ChunksOf(range).count == 1) {
    return ReadSmall(offset_bytes, out);
  }
  while (!out.empty()) {
    // Pieces end at multiples of their size, so that none spans two windows.
    const std::uint64_t boundary = AlignDown(offset_bytes, kPieceBytes) + kPieceBytes;
    const std::size_t count = std::min<std::uint64_t>(out.size(), boundary - offset_bytes);
    ASR_CHECK(ReadPiece(offset_bytes, out.first(count)));
    out = out.subspan(count);
    offset_bytes += count;
  }
  return {};
}

Result<std::vector<Extent>> SnapshotReader::OwnExtents(Extent range) {
  ASR_CHECK(CheckInside(name_, range, size_bytes_));
  ASR_TRY(const auto view, CurrentView());
  auto own = OpenMember(view->members.front());
  if (!own && IsGone(own.error())) return Fail(SnapshotNotFound(name_, id_));
  ASR_CHECK(own);
  const ChunkRun run = ChunksOf(range);
  ASR_TRY(const PresenceBits bits, (*own)->ReadBits(run));
  std::vector<Extent> extents;
  for (std::uint64_t chunk = run.first; chunk < run.end(); ++chunk) {
    if (!bits.Has(chunk)) continue;
    const std::uint64_t from = std::max(chunk * kUndoChunkBytes, range.offset_bytes);
    AppendExtent(extents,
                 {from, std::min((chunk + 1) * kUndoChunkBytes, range.end_bytes()) - from});
  }
  return extents;
}

Status SnapshotReader::ReadSmall(std::uint64_t offset_bytes, MutableByteSpan out) {
  const std::uint64_t chunk = offset_bytes / kUndoChunkBytes;
  ASR_TRY(const auto bytes, TrustedChunk(chunk));
  const ByteSpan wanted = bytes->span().subspan(offset_bytes - chunk * kUndoChunkBytes, out.size());
  std::copy(wanted.begin(), wanted.end(), out.begin());
  return {};
}

Result<std::shared_ptr<const AlignedBuffer>> SnapshotReader::TrustedChunk(std::uint64_t chunk) {
  // The bytes would be right for ever; but who reads a snapshot that was dropped is to be told.
  const auto kept = KeptChunk(chunk);
  if (kept != nullptr && Exists(fs_, JoinPath(undo_directory_, id_.value))) return kept;
  const std::uint64_t offset_bytes = chunk * kUndoChunkBytes;
  const auto bytes = std::make_shared<AlignedBuffer>(
      std::min<std::uint64_t>(kUndoChunkBytes, size_bytes_ - offset_bytes));
  ASR_CHECK(ReadPiece(offset_bytes, bytes->span()));
  const std::lock_guard lock(mutex_);
  kept_chunks_.emplace_front(chunk, bytes);
  if (kept_chunks_.size() > kMaxKeptChunks) kept_chunks_.pop_back();
  return std::shared_ptr<const AlignedBuffer>(bytes);
}

std::shared_ptr<const AlignedBuffer> SnapshotReader::KeptChunk(std::uint64_t chunk) {
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(kept_chunks_.begin(), kept_chunks_.end(),
                                  [&](const auto& kept) { return kept.first == chunk; });
  if (found == kept_chunks_.end()) return nullptr;
  kept_chunks_.splice(kept_chunks_.begin(), kept_chunks_, found);
  return found->second;
}

Result<std::vector<Extent>> SnapshotReader::DataExtents(Extent range) {
  ASR_CHECK(CheckInside(name_, range, size_bytes_));
  std::vector<Extent> extents;
  for (std::uint64_t offset = range.offset_bytes; offset < range.end_bytes();) {
    const std::uint64_t boundary = AlignDown(offset, kWindowBytes) + kWindowBytes;
    const Extent piece{offset, std::min(range.end_bytes(), boundary) - offset};
    std::vector<Extent> found;
    ASR_CHECK(LookUntilTrusted(piece, [&](const Pass& pass) -> Status {
      ASR_TRY(found, LocatedExtents(pass, piece));
      return {};
    }));
    for (const Extent& extent : found) AppendExtent(extents, extent);
    offset = piece.end_bytes();
  }
  return extents;
}

Status SnapshotReader::ReadPiece(std::uint64_t offset_bytes, MutableByteSpan out) {
  return LookUntilTrusted({offset_bytes, out.size()},
                          [&](const Pass& pass) { return ReadLocated(pass, offset_bytes, out); });
}

Status SnapshotReader::LookUntilTrusted(Extent piece, const Look& look) {
  for (int pass = 0; pass < kMaxPasses; ++pass) {
    ASR_TRY(const auto view, CurrentView());
    auto trusted = TryPiece(view, piece, look);
    if (trusted && *trusted) return {};
    if (!trusted && !IsGone(trusted.error())) return Fail(std::move(trusted).error());
    Forget(view);
  }
  return Fail(MakeError(ErrorKind::kBusy, ErrorCode::kLocked,
                        fmt::format("offset {} of {} changes faster than it can be read",
                                    piece.offset_bytes, name_))
                  .Retryable());
}

Result<bool> SnapshotReader::TryPiece(const std::shared_ptr<View>& view, Extent piece,
                                      const Look& look) {
  Pass pass;
  pass.view = view;
  pass.run = ChunksOf(piece);
  ASR_TRY(pass.newest, OpenMember(view->members.back()));
  ASR_CHECK(Locate(pass));
  ASR_CHECK(look(pass));
  return HoldsStill(pass);
}

Status SnapshotReader::Locate(Pass& pass) {
  const std::uint64_t index = pass.run.first / kWindowChunks;
  ASR_TRY(const auto window, WindowOf(*pass.view, index));
  // Of the files in the listing only the newest can get chunks that no newer one has.
  ASR_TRY(const PresenceBits newest_bits, pass.newest->ReadBits(pass.run));
  const auto newest = static_cast<Location>(pass.view->members.size() - 1);
  for (std::uint64_t chunk = pass.run.first; chunk < pass.run.end(); ++chunk) {
    Location location = (*window)[chunk - index * kWindowChunks];
    if (location == kLive && newest_bits.Has(chunk)) location = newest;
    pass.locations.push_back(location);
  }
  return {};
}

Result<std::shared_ptr<const SnapshotReader::Window>> SnapshotReader::WindowOf(
    View& view, std::uint64_t index) {
  {
    const std::lock_guard lock(view.mutex);
    const auto found = view.windows.find(index);
    if (found != view.windows.end()) return found->second;
  }
  ASR_TRY(auto window, BuildWindow(view, index));
  const std::lock_guard lock(view.mutex);
  if (view.windows.size() >= kMaxWindows) view.windows.erase(view.windows.begin());
  view.windows[index] = window;
  return window;
}

Result<std::shared_ptr<const SnapshotReader::Window>> SnapshotReader::BuildWindow(
    const View& view, std::uint64_t index) {
  const ChunkRun run{index * kWindowChunks, kWindowChunks};
  auto window = std::make_shared<Window>(kWindowChunks, kLive);
  for (std::size_t member = 0; member < view.members.size(); ++member) {
    ASR_TRY(const auto file, OpenMember(view.members[member]));
    ASR_TRY(const PresenceBits bits, file->ReadBits(run));
    for (std::size_t byte = 0; byte < bits.bytes().size(); ++byte) {
      if (bits.bytes()[byte] == std::byte{0}) continue;
      for (std::uint64_t chunk = byte * 8; chunk < byte * 8 + 8; ++chunk) {
        Location& location = (*window)[chunk];
        if (location == kLive && bits.Has(run.first + chunk)) {
          location = static_cast<Location>(member);
        }
      }
    }
  }
  return std::shared_ptr<const Window>(std::move(window));
}

// Calls `visit(location, extent)` for each run of chunks of `piece` that lie in the same file.
template <class Visit>
Status SnapshotReader::VisitLocated(const Pass& pass, Extent piece, const Visit& visit) {
  std::size_t chunk = 0;
  for (std::uint64_t offset = piece.offset_bytes; offset < piece.end_bytes();) {
    const Location location = pass.locations[chunk];
    while (chunk < pass.locations.size() && pass.locations[chunk] == location) ++chunk;
    const std::uint64_t end =
        std::min(piece.end_bytes(), (pass.run.first + chunk) * kUndoChunkBytes);
    ASR_CHECK(visit(location, Extent{offset, end - offset}));
    offset = end;
  }
  return {};
}

Status SnapshotReader::ReadLocated(const Pass& pass, std::uint64_t offset_bytes,
                                   MutableByteSpan out) {
  return VisitLocated(
      pass, {offset_bytes, out.size()}, [&](Location location, Extent run) -> Status {
        const MutableByteSpan piece =
            out.subspan(run.offset_bytes - offset_bytes, run.length_bytes);
        if (location != kLive) {
          ASR_TRY(const auto file, OpenMember(pass.view->members[location]));
          return file->ReadData(run.offset_bytes, piece);
        }
        // The live file may be shorter by now; then the bits tell that this pass was in vain.
        ASR_TRY(const std::size_t done, live_->ReadUpTo(run.offset_bytes, piece));
        std::fill(piece.begin() + static_cast<std::ptrdiff_t>(done), piece.end(), std::byte{0});
        return {};
      });
}

Result<std::vector<Extent>> SnapshotReader::LocatedExtents(const Pass& pass, Extent piece) {
  std::vector<Extent> extents;
  ASR_CHECK(VisitLocated(pass, piece, [&](Location location, Extent run) -> Status {
    if (location == kLive) {
      ASR_TRY(const auto found, live_->DataExtents(run));
      for (const Extent& extent : found) AppendExtent(extents, extent);
      return {};
    }
    ASR_TRY(const auto file, OpenMember(pass.view->members[location]));
    ASR_TRY(const auto found, file->DataExtents(run));
    for (const Extent& extent : found) AppendExtent(extents, extent);
    return {};
  }));
  return extents;
}

Result<bool> SnapshotReader::HoldsStill(const Pass& pass) {
  // In this order: a snapshot that came and went between the two has left its bits in the newest.
  ASR_TRY(const UndoListing now, ListUndoFiles(fs_, undo_directory_));
  if (!now.SameFiles(pass.view->listing)) return false;
  ASR_TRY(const PresenceBits bits, pass.newest->ReadBits(pass.run));
  for (std::size_t i = 0; i < pass.locations.size(); ++i) {
    if (pass.locations[i] == kLive && bits.Has(pass.run.first + i)) return false;
  }
  return true;
}

Result<std::shared_ptr<UndoFile>> SnapshotReader::OpenMember(const UndoHeader& member) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(open_files_.begin(), open_files_.end(), [&](const auto& file) {
      return file->header().file_id == member.file_id;
    });
    if (found != open_files_.end()) {
      open_files_.splice(open_files_.begin(), open_files_, found);
      return open_files_.front();
    }
  }
  ASR_TRY(auto file, UndoFile::Open(fs_, JoinPath(undo_directory_, member.snapshot.value),
                                    UndoFile::Access::kRead));
  if (file->header().file_id != member.file_id) {
    // The writer dropped that file and made another of the same name.
    return Fail(
        ErrorKind::kNotFound, ErrorCode::kFileNotFound,
        fmt::format("{}/{} is another file by now", undo_directory_, member.snapshot.value));
  }
  const std::lock_guard lock(mutex_);
  open_files_.push_front(file);
  if (open_files_.size() > kMaxOpenFiles) open_files_.pop_back();
  return file;
}

}  // namespace asr
