#include "storage/image/mapped_disk.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <fmt/format.h>

namespace asr {
namespace {

// Blocks of a VHD begin at any multiple of 512. From this length on it is faster to read such a
// piece directly into aligned memory and copy it than to go through the page cache.
constexpr std::size_t kBounceFromBytes = 64 * kKiB;
constexpr std::size_t kBounceBytes = 2 * kMiB;

Status ReadThroughAlignedMemory(File& file, std::uint64_t offset_bytes, MutableByteSpan out) {
  // One a thread: mapping fresh memory for every read costs a third of the read.
  thread_local AlignedBuffer buffer(kBounceBytes + 2 * kDirectAlignment);
  while (!out.empty()) {
    const std::size_t piece_bytes = std::min(out.size(), kBounceBytes);
    const std::uint64_t begin = AlignDown<std::uint64_t>(offset_bytes, kDirectAlignment);
    const std::uint64_t end = AlignUp<std::uint64_t>(offset_bytes + piece_bytes, kDirectAlignment);
    const MutableByteSpan aligned = buffer.span().first(end - begin);
    ASR_TRY(const std::size_t count, file.ReadUpTo(begin, aligned));
    const std::size_t skipped = offset_bytes - begin;
    if (count < skipped + piece_bytes) {
      return Fail(ErrorKind::kIo, ErrorCode::kIo,
                  fmt::format("the file ends early: {} bytes wanted at offset {}", piece_bytes,
                              offset_bytes));
    }
    std::memcpy(out.data(), aligned.data() + skipped, piece_bytes);
    offset_bytes += piece_bytes;
    out = out.subspan(piece_bytes);
  }
  return {};
}

}  // namespace

Status MappedDisk::Read(std::uint64_t offset_bytes, MutableByteSpan out) const {
  if (offset_bytes > size_bytes() || out.size() > size_bytes() - offset_bytes) {
    return Fail(InThisImage(
        MakeError(ErrorKind::kInternal, ErrorCode::kInternal,
                  fmt::format("a read of {} bytes at offset {} passes the disk's end at {}",
                              out.size(), offset_bytes, size_bytes()))));
  }
  Status status = ReadRuns(offset_bytes, out);
  if (!status) return Fail(InThisImage(std::move(status).error()));
  return {};
}

Status MappedDisk::ReadRuns(std::uint64_t offset_bytes, MutableByteSpan out) const {
  while (!out.empty()) {
    ASR_TRY(const MappedRun run, Locate({offset_bytes, out.size()}));
    const MutableByteSpan piece = out.first(run.length_bytes);
    if (run.file_offset_bytes) {
      ASR_CHECK(ReadFile(*run.file_offset_bytes, piece));
    } else {
      std::memset(piece.data(), 0, piece.size());
    }
    offset_bytes += run.length_bytes;
    out = out.subspan(run.length_bytes);
  }
  return {};
}

Status MappedDisk::ReadFile(std::uint64_t file_offset_bytes, MutableByteSpan out) const {
  Status status = out.size() >= kBounceFromBytes && file_offset_bytes % kDirectAlignment != 0
                      ? ReadThroughAlignedMemory(file(), file_offset_bytes, out)
                      : file().ReadAt(file_offset_bytes, out);
  if (status) return {};
  ASR_CHECK(CheckFileSize());  // a file that was cut meanwhile explains itself better than a read
  return status;
}

Result<std::vector<Extent>> MappedDisk::AllocatedExtents(Extent range) const {
  const std::uint64_t begin = std::min(range.offset_bytes, size_bytes());
  const std::uint64_t end = begin + std::min(range.length_bytes, size_bytes() - begin);
  // Once a window: past the end of a file that was cut, everything looks like a hole.
  Status same_size = CheckFileSize();
  if (!same_size) return Fail(InThisImage(std::move(same_size).error()));

  std::vector<Extent> extents;
  for (std::uint64_t offset = begin; offset < end;) {
    const Result<MappedRun> run = Locate({offset, end - offset});
    if (!run) return Fail(InThisImage(run.error()));
    if (run->file_offset_bytes) {
      const Result<std::vector<Extent>> data =
          file().DataExtents({*run->file_offset_bytes, run->length_bytes});
      if (!data) return Fail(InThisImage(data.error()));
      for (const Extent& extent : *data) {
        AppendExtent(extents, {offset + (extent.offset_bytes - *run->file_offset_bytes),
                               extent.length_bytes});
      }
    }
    offset += run->length_bytes;
  }
  return extents;
}

std::vector<Disk::BackingFile> MappedDisk::files() const { return {{image_.path, image_.stamp}}; }

Status MappedDisk::CheckFileSize() const {
  ASR_TRY(const FileStamp now, file().Stat());
  if (now.size_bytes >= file_size_bytes()) return {};
  return Fail(MakeError(ErrorKind::kCorrupt, ErrorCode::kImageChanged,
                        fmt::format("the file had {} bytes when it was opened and has {} now",
                                    file_size_bytes(), now.size_bytes))
                  .WithCause("another program writes to it or replaces it")
                  .WithAction("stop what writes to the image, then run the same command again")
                  .Retryable());
}

Error MappedDisk::InThisImage(Error error) const {
  return std::move(error).WithContext(fmt::format("image {}", image_.path));
}

}  // namespace asr
