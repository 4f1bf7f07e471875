#include "storage/blob/blob_name.h"

#include <algorithm>

#include <fmt/format.h>

namespace asr {
namespace {

constexpr std::size_t kMaxSegmentBytes = 200;

bool IsNameCharacter(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

bool IsSegment(std::string_view segment) {
  return !segment.empty() && segment.size() <= kMaxSegmentBytes && !IsReservedSegment(segment) &&
         std::all_of(segment.begin(), segment.end(), IsNameCharacter);
}

Status BadName(std::string_view what, std::string_view name) {
  return Fail(MakeError(ErrorKind::kUsage, ErrorCode::kBlobName,
                        fmt::format("'{}' cannot be the name of a {}", name, what))
                  .WithAction("use segments of A-Z a-z 0-9 . _ - with '/' between them; none may "
                              "begin with '.', end in .undo, hold .tmp- or be longer than 200"));
}

}  // namespace

bool IsReservedSegment(std::string_view segment) {
  return segment.starts_with('.') || segment.ends_with(".undo") ||
         segment.find(".tmp-") != std::string_view::npos;
}

Status CheckBlobName(std::string_view name) {
  std::string_view rest = name;
  while (true) {
    const auto slash = rest.find('/');
    if (!IsSegment(rest.substr(0, slash))) return BadName("blob", name);
    if (slash == std::string_view::npos) return {};
    rest.remove_prefix(slash + 1);
  }
}

Status CheckBlobPrefix(std::string_view prefix) {
  const auto slash = prefix.rfind('/');
  if (slash != std::string_view::npos) {
    ASR_CHECK(CheckBlobName(prefix.substr(0, slash)));
    prefix.remove_prefix(slash + 1);
  }
  if (!std::all_of(prefix.begin(), prefix.end(), IsNameCharacter)) return BadName("blob", prefix);
  return {};
}

Status CheckSnapshotId(const SnapshotId& id) {
  if (!IsSegment(id.value)) return BadName("snapshot", id.value);
  return {};
}

Status CheckInside(std::string_view name, Extent range, std::uint64_t size_bytes) {
  if (range.offset_bytes <= size_bytes && range.length_bytes <= size_bytes - range.offset_bytes) {
    return {};
  }
  return Fail(ErrorKind::kInternal, ErrorCode::kBlobRange,
              fmt::format("{} bytes at offset {} are not inside {}, which is {} bytes long",
                          range.length_bytes, range.offset_bytes, name, size_bytes));
}

Status CheckPages(std::string_view name, Extent range, std::uint64_t size_bytes) {
  if (range.offset_bytes % kPageBytes != 0 || range.length_bytes % kPageBytes != 0) {
    return Fail(ErrorKind::kInternal, ErrorCode::kBlobRange,
                fmt::format("{} bytes at offset {} of {} are not whole pages of {} bytes",
                            range.length_bytes, range.offset_bytes, name, kPageBytes));
  }
  return CheckInside(name, range, size_bytes);
}

Status CheckPageBlobSize(std::string_view name, std::uint64_t size_bytes) {
  return CheckPages(name, {size_bytes, 0}, size_bytes);
}

Error BlobNotFound(std::string_view name) {
  return MakeError(ErrorKind::kNotFound, ErrorCode::kBlobNotFound,
                   fmt::format("there is no blob {}", name));
}

Error BlobExists(std::string_view name) {
  return MakeError(ErrorKind::kState, ErrorCode::kBlobExists,
                   fmt::format("blob {} exists already", name));
}

Error BlobChanged(std::string_view name) {
  return MakeError(ErrorKind::kBusy, ErrorCode::kBlobCondition,
                   fmt::format("{} was changed by somebody else meanwhile", name))
      .WithCause("another machine works on the same VM")
      .WithAction("run the same command again")
      .Retryable();
}

Error SnapshotNotFound(std::string_view name, const SnapshotId& id) {
  return MakeError(ErrorKind::kNotFound, ErrorCode::kSnapshotNotFound,
                   fmt::format("blob {} has no snapshot {}", name, id.value))
      .WithCause("retention removed the recovery point meanwhile")
      .WithAction("choose another point: asr points list");
}

Error SnapshotOutOfOrder(std::string_view name, const SnapshotId& id, const SnapshotId& newest) {
  if (id == newest) {
    return MakeError(ErrorKind::kState, ErrorCode::kBlobExists,
                     fmt::format("blob {} has a snapshot {} already", name, id.value));
  }
  return MakeError(ErrorKind::kState, ErrorCode::kBlobCondition,
                   fmt::format("snapshot {} of blob {} would be older than its newest, {}",
                               id.value, name, newest.value));
}

}  // namespace asr
