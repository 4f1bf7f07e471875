#include "core/failover/partial_image.h"

#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "storage/base/checksum.h"
#include "storage/image/image_writer.h"

namespace asr {
namespace {

constexpr std::string_view kPartial = ".partial-";

std::string LockPath(const std::string& image) { return fmt::format("{}{}lock", image, kPartial); }
std::string NotePath(const std::string& image) { return fmt::format("{}{}done", image, kPartial); }

Error InUse(const std::string& image) {
  return MakeError(ErrorKind::kBusy, ErrorCode::kLocked,
                   fmt::format("another restore is writing {}", image))
      .WithAction("wait until it has ended (asr jobs list), or restore to another directory")
      .Retryable();
}

// Null where files cannot be locked: a recovery must not fail for that.
Result<std::unique_ptr<FileLock>> TakeLock(FileSystem& fs, const std::string& image) {
  while (true) {
    auto lock = fs.Lock(LockPath(image));
    if (!lock && lock.error().kind == ErrorKind::kBusy) return Fail(InUse(image));
    if (!lock) return nullptr;
    // Its last holder may have removed it in between.
    ASR_TRY(const bool is_in_place, (*lock)->IsInPlace());
    if (is_in_place) return lock;
  }
}

// What IsRestored compares. A file that was written since has another time; its name is no part of
// it. Not the device: its number may be another one after the next start of the machine.
std::string NoteOf(const FileStamp& file, const RestoredImage& image, const RecoveryPoint& point,
                   const PointDisk& disk) {
  return nlohmann::json{{"item", point.item.value},      {"point", point.id.value},
                        {"disk", disk.name.value},       {"format", image.format},
                        {"inode", file.inode},           {"sizeBytes", file.size_bytes},
                        {"modifiedNs", file.modified_ns}}
      .dump();
}

Result<std::string> ReadNote(FileSystem& fs, const RestoredImage& image) {
  constexpr std::uint64_t kMostBytes = 64 * kKiB;
  return ReadWholeFile(fs, NotePath(image.path), kMostBytes);
}

}  // namespace

Result<std::unique_ptr<PartialImage>> PartialImage::Take(FileSystem& fs,
                                                         const RestoredImage& image) {
  std::unique_ptr<PartialImage> partial(new PartialImage(fs, image));
  ASR_TRY(partial->lock_, TakeLock(fs, image.path));
  // A machine that was cut off may go on to write a file on a network's file system.
  const auto network = fs.NetworkType(ParentOf(image.path));
  partial->can_be_continued_ = image.resume && partial->lock_ != nullptr && network &&
                               network->empty() && CanContinueImage(image.format);
  // Else a name of its own: without locks, two restores to one place must not finish each other's
  // file.
  partial->path_ = fmt::format(
      "{}{}{}", image.path, kPartial,
      partial->can_be_continued_ ? image.format : ToHex(ByteSpan(RandomBits()).first(4)));
  if (partial->lock_) ASR_CHECK(partial->RemoveOthers());
  return partial;
}

// The next restore to this place removes what stays.
PartialImage::~PartialImage() {
  if (lock_) static_cast<void>(fs_.RemoveFile(LockPath(image_.path)).has_value());
}

Status PartialImage::RemoveOthers() const {
  const std::string directory = ParentOf(image_.path);
  const std::string beginning = BaseName(image_.path) + std::string(kPartial);
  ASR_TRY(const auto entries, fs_.List(directory));
  for (const DirectoryEntry& entry : entries) {
    const std::string path = JoinPath(directory, entry.name);
    if (!entry.name.starts_with(beginning) || path == LockPath(image_.path)) continue;
    if (can_be_continued_ && path == path_) continue;
    ASR_CHECK(fs_.RemoveFile(path));
  }
  return {};
}

Status PartialImage::Publish(const RecoveryPoint& point, const PointDisk& disk) {
  if (image_.resume && lock_) {
    ASR_TRY(const FileStamp file, fs_.Stat(path_));
    // Without it the image is restored all the same; and the disk may be full.
    const std::string note = NoteOf(file, image_, point, disk);
    static_cast<void>(WriteFileAtomic(fs_, NotePath(image_.path), AsBytes(note)).has_value());
  }
  ASR_CHECK(image_.replace ? fs_.Rename(path_, image_.path)
                           : fs_.RenameNoReplace(path_, image_.path));
  return fs_.SyncDirectory(ParentOf(image_.path));
}

void PartialImage::Remove() {
  if (Exists(fs_, path_)) static_cast<void>(fs_.RemoveFile(path_).has_value());
}

bool IsRestored(FileSystem& fs, const RestoredImage& image, const RecoveryPoint& point,
                const PointDisk& disk) {
  const auto file = fs.Stat(image.path);
  if (!file || file->type != FileType::kRegular) return false;
  const auto note = ReadNote(fs, image);
  return note && *note == NoteOf(*file, image, point, disk);
}

std::optional<PointId> RestoredPointOf(FileSystem& fs, const RestoredImage& image,
                                       const ItemId& item) {
  const auto note = ReadNote(fs, image);
  if (!note) return std::nullopt;
  const auto json = nlohmann::json::parse(*note, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return std::nullopt;
  RecoveryPoint point;
  PointDisk disk;
  point.item = item;
  for (const auto& [key, text] :
       {std::pair{"point", &point.id.value}, std::pair{"disk", &disk.name.value}}) {
    const auto found = json.find(key);
    if (found == json.end() || !found->is_string()) return std::nullopt;
    *text = found->get<std::string>();
  }
  if (!IsRestored(fs, image, point, disk)) return std::nullopt;
  return point.id;
}

void ForgetRestored(FileSystem& fs, const RestoredImage& image) {
  const std::string path = NotePath(image.path);
  if (!Exists(fs, path)) return;
  RestoredImage done = image;
  done.resume = false;
  // Goes with the note: the lock of a restore that died after it had published the image.
  static_cast<void>(PartialImage::Take(fs, done).has_value());
  if (Exists(fs, path)) static_cast<void>(fs.RemoveFile(path).has_value());
}

}  // namespace asr
