#include "core/failover/restore_disk.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "core/failover/image_target.h"
#include "core/points/sealed_disk.h"
#include "storage/image/image_writer.h"

namespace asr {
namespace {

// Ranges on their way at once over a line, where most of the time goes into waiting, and their
// size: as much memory as the groups of a directory take.
constexpr int kRangesInFlight = 16;
constexpr std::uint64_t kRangeBytes = 2 * kMiB;

// Of the groups [first, first + count): those that hold something.
Result<std::vector<Extent>> GroupsWithData(const SealedDisk& disk, std::uint64_t first,
                                           std::uint64_t count) {
  std::vector<Digest> digests(count);
  ASR_CHECK(disk.digests().ReadGroups(first, digests));
  std::vector<Extent> extents;
  for (std::uint64_t i = 0; i < count; ++i) {
    if (!digests[i].is_zero()) AppendExtent(extents, {(first + i) * kGroupBytes, kGroupBytes});
  }
  return extents;
}

// Where an image that gives its blocks places will have some. The blocks of a VHDX are made of
// groups, those of a VHD are smaller.
Result<std::vector<Extent>> DataOf(const SealedDisk& disk, const std::string& format) {
  std::vector<Extent> data;
  if (format != "vhdx" && format != "vhd-dynamic") return data;
  constexpr std::uint64_t kGroupsAtOnce = 128;
  constexpr std::uint64_t kUnit = 2 * kMiB;
  const std::uint64_t groups = GroupCount(disk.size_bytes());
  for (std::uint64_t first = 0; first < groups; first += kGroupsAtOnce) {
    const std::uint64_t count = std::min(kGroupsAtOnce, groups - first);
    const Extent window{first * kGroupBytes, count * kGroupBytes};
    ASR_TRY(const auto extents,
            format == "vhdx" ? GroupsWithData(disk, first, count) : disk.AllocatedExtents(window));
    for (const Extent& extent : extents) {
      const std::uint64_t known_end = data.empty() ? 0 : data.back().end_bytes();
      const std::uint64_t from = std::max(extent.offset_bytes / kUnit * kUnit, known_end);
      const std::uint64_t to = std::min(AlignUp(extent.end_bytes(), kUnit), disk.size_bytes());
      if (from < to) AppendExtent(data, {from, to - from});
    }
  }
  return data;
}

// Whether a restore that failed so can go on with what it wrote.
bool IsWorthKeeping(const Error& error) {
  return error.kind == ErrorKind::kCancelled || error.kind == ErrorKind::kNoSpace ||
         error.kind == ErrorKind::kBusy || error.kind == ErrorKind::kIo || error.retryable;
}

Error Kept(Error error, const std::string& path) {
  std::string advice =
      fmt::format("run the same command again to go on with {}, or remove that file", path);
  if (!error.action.empty()) advice = error.action + "; then " + advice;
  return std::move(error).WithAction(std::move(advice));
}

}  // namespace

Result<std::uint64_t> BytesToRestore(Vault& vault, const RecoveryPoint& point,
                                     const PointDisk& disk) {
  ASR_TRY(const auto sealed, SealedDisk::Open(vault, point, disk));
  return AllocatedBytes(*sealed);
}

Status RestoreDisk(FileSystem& fs, Vault& vault, const RecoveryPoint& point, const PointDisk& disk,
                   const RestoredImage& image, TransferOptions options) {
  options.algorithm = vault.identity().algorithm;
  if (vault.is_on_azure()) {
    options.groups_in_flight = kRangesInFlight;
    options.buffer_bytes = kRangeBytes;
  }
  options.resumes = true;
  ASR_TRY(const auto sealed, SealedDisk::Open(vault, point, disk));
  ASR_TRY(const auto partial, PartialImage::Take(fs, image));
  bool is_sound = true;
  const auto write = [&]() -> Status {
    NewImage new_image{.path = partial->path(),
                       .format = image.format,
                       .size_bytes = disk.size_bytes,
                       .logical_sector_bytes = disk.logical_sector_bytes};
    ASR_TRY(new_image.data, DataOf(*sealed, image.format));
    const bool is_continued = partial->can_be_continued() && Exists(fs, partial->path());
    ASR_TRY(const auto writer,
            is_continued ? ContinueImage(fs, new_image) : CreateImage(fs, new_image));
    auto target = is_continued
                      ? ImageTarget(*writer, sealed->digests(), disk.size_bytes, options.algorithm)
                      : ImageTarget(*writer, sealed->digests());
    ASR_CHECK(MakeEqual(*sealed, target, options));
    Status finished = writer->Finish();
    // After a sync that failed, what reads right from memory need not be on the disk.
    is_sound = finished || finished.error().kind == ErrorKind::kNoSpace;
    ASR_CHECK(finished);
    return partial->Publish(point, disk);
  };
  Status written = write();
  if (written) return {};
  if (!is_sound || !partial->can_be_continued() || !IsWorthKeeping(written.error())) {
    partial->Remove();
    return written;
  }
  if (!Exists(fs, partial->path())) return written;
  return Fail(Kept(std::move(written).error(), partial->path()));
}

}  // namespace asr
