#include "storage/blob/chunk_keeper.h"

#include <utility>

#include <fmt/format.h>

namespace asr {
namespace {

constexpr std::size_t kCopyBufferBytes = 4 * kMiB;
// Bits looked at at a time.
constexpr std::uint64_t kBitsPieceChunks = 64 * kKiB;

// The chunks that `ranges` touch, ascending, each once.
std::vector<ChunkRun> MergedRuns(std::vector<Extent> ranges) {
  std::sort(ranges.begin(), ranges.end());
  std::vector<ChunkRun> runs;
  for (const Extent& range : ranges) {
    const ChunkRun run = ChunksOf(range);
    if (!runs.empty() && run.first <= runs.back().end()) {
      runs.back().count = std::max(runs.back().end(), run.end()) - runs.back().first;
    } else {
      runs.push_back(run);
    }
  }
  return runs;
}

// A sector that the disk cannot read any more, in contrast to a passing trouble.
Error OldBytesLost(Extent piece, const Error& error) {
  if (error.kind != ErrorKind::kIo || error.code != ErrorCode::kIo) return error;
  return MakeError(ErrorKind::kIo, ErrorCode::kBlobCorrupt,
                   fmt::format("old bytes that a snapshot needs cannot be read, in the {} bytes "
                               "at offset {}: {}",
                               piece.length_bytes, piece.offset_bytes, error.Line()))
      .WithCause("the disk under the vault has sectors that it cannot read")
      .Retryable();
}

}  // namespace

ChunkKeeper::ChunkKeeper(File& live, std::shared_ptr<UndoFile> undo, bool is_new)
    : live_(live), undo_(std::move(undo)), bits_are_durable_(is_new) {}

Status ChunkKeeper::Keep(const std::vector<Extent>& ranges) {
  ASR_CHECK(TrustBits());
  Request request;
  for (const ChunkRun& run : MergedRuns(ranges)) {
    ASR_TRY(const auto runs, NotYetKept(run));
    request.runs.insert(request.runs.end(), runs.begin(), runs.end());
  }
  if (request.runs.empty()) return {};
  std::uint64_t longest = 0;
  for (const ChunkRun& run : request.runs) longest = std::max(longest, run.count);
  AlignedBuffer buffer(std::min<std::uint64_t>(kCopyBufferBytes, longest * kUndoChunkBytes));
  for (const ChunkRun& run : request.runs) {
    ASR_TRY(const bool holds_data, CopyRun(run, buffer));
    request.holds_data |= holds_data;
  }
  return Commit(request);
}

Status ChunkKeeper::KeepInstead(std::uint64_t offset_bytes, ByteSpan bytes) {
  ASR_CHECK(TrustBits());
  Request request;
  ASR_TRY(request.runs, NotYetKept({offset_bytes / kUndoChunkBytes, 1}));
  if (request.runs.empty()) return {};
  request.holds_data = !IsZero(bytes);
  if (request.holds_data) ASR_CHECK(undo_->WriteData(offset_bytes, bytes));
  return Commit(request);
}

Status ChunkKeeper::TrustBits() {
  std::unique_lock lock(mutex_);
  if (bits_are_durable_) return {};
  // Bits are written back as they were read: nobody may set any meanwhile.
  changed_.wait(lock, [&] { return !has_leader_; });
  ASR_CHECK(undo_->MakeBitsDurable());
  bits_are_durable_ = true;
  return {};
}

Result<std::vector<ChunkRun>> ChunkKeeper::NotYetKept(ChunkRun run) const {
  std::vector<ChunkRun> missing;
  const std::uint64_t end = std::min(run.end(), undo_->chunk_count());
  for (std::uint64_t chunk = run.first; chunk < end;) {
    const std::uint64_t stop = std::min(end, chunk + kBitsPieceChunks);
    ASR_TRY(const PresenceBits bits, undo_->ReadBits({chunk, stop - chunk}));
    for (; chunk < stop; ++chunk) {
      if (!bits.Has(chunk)) AppendChunk(missing, chunk);
    }
  }
  return missing;
}

Result<bool> ChunkKeeper::CopyRun(ChunkRun run, AlignedBuffer& buffer) {
  ASR_TRY(const auto extents,
          live_.DataExtents({run.first * kUndoChunkBytes, run.count * kUndoChunkBytes}));
  bool holds_data = false;
  for (const Extent& extent : extents) {
    // Whole chunks, so that every transfer is aligned for direct I/O, at the end of the file too.
    const std::uint64_t end = AlignUp(extent.end_bytes(), kUndoChunkBytes);
    for (std::uint64_t offset = AlignDown(extent.offset_bytes, kUndoChunkBytes); offset < end;) {
      const std::uint64_t length = std::min<std::uint64_t>(buffer.size_bytes(), end - offset);
      ASR_TRY(const bool wrote, CopyPiece({offset, length}, buffer.span().first(length)));
      holds_data |= wrote;
      offset += length;
    }
  }
  return holds_data;
}

Result<bool> ChunkKeeper::CopyPiece(Extent piece, MutableByteSpan buffer) {
  const auto count = live_.ReadUpTo(piece.offset_bytes, buffer);
  if (!count) return Fail(OldBytesLost(piece, count.error()));
  std::fill(buffer.begin() + static_cast<std::ptrdiff_t>(*count), buffer.end(), std::byte{0});
  std::vector<ChunkRun> full;  // chunks that are not zeros, counted from the piece's beginning
  const std::uint64_t chunks = piece.length_bytes / kUndoChunkBytes;
  for (std::uint64_t chunk = 0; chunk < chunks; ++chunk) {
    if (!IsZero(buffer.subspan(chunk * kUndoChunkBytes, kUndoChunkBytes))) {
      AppendChunk(full, chunk);
    }
  }
  for (const ChunkRun& run : full) {
    const std::uint64_t start = run.first * kUndoChunkBytes;
    ASR_CHECK(undo_->WriteData(piece.offset_bytes + start,
                               buffer.subspan(start, run.count * kUndoChunkBytes)));
  }
  return !full.empty();
}

Status ChunkKeeper::Commit(Request& request) {
  std::unique_lock lock(mutex_);
  waiting_.push_back(&request);
  while (!request.done) {
    if (has_leader_) {
      changed_.wait(lock);
      continue;
    }
    has_leader_ = true;
    const std::vector<Request*> batch = std::exchange(waiting_, {});
    lock.unlock();
    const Status status = CommitBatch(batch);
    lock.lock();
    if (!status) bits_are_durable_ = false;
    for (Request* member : batch) {
      member->status = status;
      member->done = true;
    }
    has_leader_ = false;
    changed_.notify_all();
  }
  return request.status;
}

Status ChunkKeeper::CommitBatch(const std::vector<Request*>& batch) {
  bool holds_data = false;
  for (const Request* request : batch) holds_data |= request->holds_data;
  if (holds_data) ASR_CHECK(undo_->Sync());
  for (const Request* request : batch) ASR_CHECK(undo_->SetBits(request->runs));
  return undo_->Sync();
}

}  // namespace asr
