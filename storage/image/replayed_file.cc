#include "storage/image/replayed_file.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace asr {
namespace {

Status ReadOnly() {
  return Fail(ErrorKind::kInternal, ErrorCode::kInternal, "an image is never written to");
}

}  // namespace

ReplayedFile::ReplayedFile(std::unique_ptr<File> file, std::uint64_t file_bytes,
                           std::uint64_t size_bytes, const std::vector<LogPatch>& patches)
    : file_(std::move(file)), file_bytes_(file_bytes), size_bytes_(size_bytes) {
  for (const LogPatch& patch : patches) Add(patch);
}

// Cuts away what older patches say of the same bytes. Only zeros are longer than a sector, so that
// only they are ever cut in parts.
void ReplayedFile::Add(const LogPatch& patch) {
  const Extent target = patch.target;
  auto next = patches_.lower_bound(target.offset_bytes);
  if (next != patches_.begin()) {
    const auto before = std::prev(next);
    const std::uint64_t old_end = before->second.target.end_bytes();
    if (old_end > target.offset_bytes) {
      before->second.target.length_bytes = target.offset_bytes - before->first;
      if (old_end > target.end_bytes()) {
        LogPatch rest = before->second;
        rest.target = {target.end_bytes(), old_end - target.end_bytes()};
        patches_.emplace(rest.target.offset_bytes, rest);
      }
    }
  }
  while (next != patches_.end() && next->first < target.end_bytes()) {
    LogPatch old = next->second;
    next = patches_.erase(next);
    if (old.target.end_bytes() > target.end_bytes()) {
      old.target = {target.end_bytes(), old.target.end_bytes() - target.end_bytes()};
      next = patches_.emplace(old.target.offset_bytes, old).first;
    }
  }
  patches_.insert_or_assign(target.offset_bytes, patch);
}

Status ReplayedFile::ReadAt(std::uint64_t offset_bytes, MutableByteSpan out) {
  ASR_TRY(const std::size_t count, ReadUpTo(offset_bytes, out));
  if (count == out.size()) return {};
  return Fail(ErrorKind::kIo, ErrorCode::kIo,
              fmt::format("the file ends early: {} bytes wanted at offset {}, {} there", out.size(),
                          offset_bytes, count));
}

Result<std::size_t> ReplayedFile::ReadUpTo(std::uint64_t offset_bytes, MutableByteSpan out) {
  const std::uint64_t there = size_bytes_ - std::min(size_bytes_, offset_bytes);
  out = out.first(std::min<std::uint64_t>(out.size(), there));
  if (out.empty()) return 0;
  const std::uint64_t in_file = file_bytes_ - std::min(file_bytes_, offset_bytes);
  const MutableByteSpan old = out.first(std::min<std::uint64_t>(out.size(), in_file));
  if (!old.empty()) ASR_CHECK(file_->ReadAt(offset_bytes, old));
  std::ranges::fill(out.subspan(old.size()), std::byte{0});
  ASR_CHECK(ApplyPatches(offset_bytes, out));
  return out.size();
}

Status ReplayedFile::ApplyPatches(std::uint64_t offset_bytes, MutableByteSpan out) {
  const std::uint64_t end = offset_bytes + out.size();
  auto next = patches_.upper_bound(offset_bytes);
  if (next != patches_.begin()) --next;
  for (; next != patches_.end() && next->first < end; ++next) {
    const LogPatch& patch = next->second;
    const std::uint64_t from = std::max(offset_bytes, patch.target.offset_bytes);
    const std::uint64_t to = std::min(end, patch.target.end_bytes());
    if (from >= to) continue;
    const MutableByteSpan piece = out.subspan(from - offset_bytes, to - from);
    if (patch.is_zeros) {
      std::ranges::fill(piece, std::byte{0});
      continue;
    }
    std::array<std::byte, LogPatch::kSectorBytes> sector{};
    ASR_CHECK(file_->ReadAt(patch.sector_offset, sector));
    std::ranges::copy(patch.leading, sector.begin());
    std::ranges::copy(patch.trailing, sector.end() - patch.trailing.size());
    std::ranges::copy(ByteSpan(sector).subspan(from - patch.target.offset_bytes, piece.size()),
                      piece.begin());
  }
  return {};
}

Result<std::vector<Extent>> ReplayedFile::DataExtents(Extent range) {
  const std::uint64_t end = std::min(range.end_bytes(), size_bytes_);
  ASR_TRY(std::vector<Extent> found, file_->DataExtents(range));
  auto next = patches_.upper_bound(range.offset_bytes);
  if (next != patches_.begin()) --next;
  for (; next != patches_.end() && next->first < end; ++next) {
    if (next->second.is_zeros) continue;
    const std::uint64_t from = std::max(range.offset_bytes, next->first);
    const std::uint64_t to = std::min(end, next->second.target.end_bytes());
    if (from < to) found.push_back({from, to - from});
  }
  std::ranges::sort(found);
  std::vector<Extent> joined;
  for (const Extent& extent : found) {
    if (!joined.empty() && extent.offset_bytes <= joined.back().end_bytes()) {
      Extent& last = joined.back();
      last.length_bytes = std::max(last.end_bytes(), extent.end_bytes()) - last.offset_bytes;
    } else {
      joined.push_back(extent);
    }
  }
  return joined;
}

Status ReplayedFile::WriteAt(std::uint64_t, ByteSpan) { return ReadOnly(); }
Status ReplayedFile::Sync() { return ReadOnly(); }
Status ReplayedFile::Resize(std::uint64_t) { return ReadOnly(); }
Status ReplayedFile::PunchHole(Extent) { return ReadOnly(); }

}  // namespace asr
