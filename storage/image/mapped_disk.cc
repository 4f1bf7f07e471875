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
    const Result<MappedRun> located = Locate({offset_bytes, out.size()});
    if (!located) {
      ASR_CHECK(CheckFileSize());  // or a table that was cut off
      return Fail(located.error());
    }
    const MappedRun& run = *located;
    const MutableByteSpan piece = out.first(run.length_bytes);
    switch (run.source) {
      case MappedRun::Source::kZeros:
        std::memset(piece.data(), 0, piece.size());
        break;
      case MappedRun::Source::kFile:
        ASR_CHECK(ReadFile(run.file_offset_bytes, piece));
        break;
      case MappedRun::Source::kParent:
        ASR_CHECK(ReadParent(offset_bytes, piece));
        break;
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

Status MappedDisk::ReadParent(std::uint64_t offset_bytes, MutableByteSpan out) const {
  const std::uint64_t there = parent_->size_bytes() - std::min(parent_->size_bytes(), offset_bytes);
  const std::size_t count = std::min<std::uint64_t>(out.size(), there);
  std::ranges::fill(out.subspan(count), std::byte{0});
  return count == 0 ? Status() : parent_->Read(offset_bytes, out.first(count));
}

Status MappedDisk::AddExtents(const MappedRun& run, std::uint64_t offset_bytes,
                              std::vector<Extent>& extents) const {
  if (run.source == MappedRun::Source::kParent) {
    ASR_TRY(const auto data, parent_->AllocatedExtents({offset_bytes, run.length_bytes}));
    for (const Extent& extent : data) AppendExtent(extents, extent);
  }
  if (run.source == MappedRun::Source::kFile) {
    ASR_TRY(const auto data, file().DataExtents({run.file_offset_bytes, run.length_bytes}));
    for (const Extent& extent : data) {
      AppendExtent(extents, {offset_bytes + (extent.offset_bytes - run.file_offset_bytes),
                             extent.length_bytes});
    }
  }
  return {};
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
    Status added = AddExtents(*run, offset, extents);
    if (!added) return Fail(InThisImage(std::move(added).error()));
    offset += run->length_bytes;
  }
  return extents;
}

std::vector<Disk::BackingFile> MappedDisk::files() const {
  std::vector<BackingFile> files;
  for (const MappedDisk* disk = this; disk != nullptr; disk = disk->parent_.get()) {
    files.push_back({disk->image_.path, disk->image_.stamp});
  }
  return files;
}

std::vector<ImageDescription> MappedDisk::Describe() const {
  std::vector<ImageDescription> descriptions;
  for (const MappedDisk* disk = this; disk != nullptr; disk = disk->parent_.get()) {
    descriptions.push_back(
        {.path = disk->image_.path,
         .format = disk->shape_.format,
         .size_bytes = disk->shape_.size_bytes,
         .block_bytes = disk->shape_.block_bytes,
         .physical_sector_bytes = disk->shape_.physical_sector_bytes,
         .id = disk->shape_.id,
         .parent_ids = disk->shape_.parent ? disk->shape_.parent->ids : std::vector<std::string>{},
         .log_entry_count = disk->image_.log_entry_count,
         .remarks = disk->image_.remarks});
  }
  return descriptions;
}

Status MappedDisk::CheckFileSize() const {
  ASR_TRY(const FileStamp now, file().Stat());
  if (now.size_bytes >= image_.stamp.size_bytes) return {};
  return Fail(MakeError(ErrorKind::kCorrupt, ErrorCode::kImageChanged,
                        fmt::format("the file had {} bytes when it was opened and has {} now",
                                    image_.stamp.size_bytes, now.size_bytes))
                  .WithCause("another program writes to it or replaces it")
                  .WithAction("stop what writes to the image, then run the same command again")
                  .Retryable());
}

Error MappedDisk::InThisImage(Error error) const {
  return std::move(error).WithContext(fmt::format("image {}", image_.path));
}

}  // namespace asr
