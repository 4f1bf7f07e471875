#include "core/failover/restore_disk.h"

#include <memory>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "core/failover/image_target.h"
#include "core/points/sealed_disk.h"
#include "storage/image/image_writer.h"

namespace asr {
namespace {

constexpr std::string_view kPartial = ".partial-";

Error InUse(const std::string& image) {
  return MakeError(ErrorKind::kBusy, ErrorCode::kLocked,
                   fmt::format("another restore is writing {}", image))
      .WithAction("wait until it has ended (asr jobs list), or restore to another directory")
      .Retryable();
}

// While one of these lives nobody else writes the image, and the partial files beside it are
// nobody's: they were left by restores that died.
class ImageLock {
 public:
  // Null where files cannot be locked: a recovery must not fail for that.
  static Result<std::unique_ptr<ImageLock>> Take(FileSystem& fs, const std::string& image) {
    const std::string path = fmt::format("{}{}lock", image, kPartial);
    while (true) {
      auto lock = fs.Lock(path);
      if (!lock && lock.error().kind == ErrorKind::kBusy) return Fail(InUse(image));
      if (!lock) return nullptr;
      // Its last holder may have removed it in between.
      ASR_TRY(const bool is_in_place, (*lock)->IsInPlace());
      if (is_in_place) return std::make_unique<ImageLock>(fs, path, *std::move(lock));
    }
  }

  ImageLock(FileSystem& fs, std::string path, std::unique_ptr<FileLock> lock)
      : fs_(fs), path_(std::move(path)), lock_(std::move(lock)) {}
  // The next restore to this place removes what stays.
  ~ImageLock() { static_cast<void>(fs_.RemoveFile(path_).has_value()); }
  ImageLock(const ImageLock&) = delete;
  ImageLock& operator=(const ImageLock&) = delete;

  [[nodiscard]] Status RemovePartialFiles(const std::string& image) const {
    const std::string directory = ParentOf(image);
    const std::string beginning = BaseName(image) + std::string(kPartial);
    ASR_TRY(const auto entries, fs_.List(directory));
    for (const DirectoryEntry& entry : entries) {
      const std::string path = JoinPath(directory, entry.name);
      if (!entry.name.starts_with(beginning) || path == path_) continue;
      ASR_CHECK(fs_.RemoveFile(path));
    }
    return {};
  }

 private:
  FileSystem& fs_;
  std::string path_;
  std::unique_ptr<FileLock> lock_;
};

}  // namespace

Result<std::uint64_t> BytesToRestore(Vault& vault, const RecoveryPoint& point,
                                     const PointDisk& disk) {
  ASR_TRY(const auto sealed, SealedDisk::Open(vault, point, disk));
  return AllocatedBytes(*sealed);
}

Status RestoreDisk(FileSystem& fs, Vault& vault, const RecoveryPoint& point, const PointDisk& disk,
                   const RestoredImage& image, TransferOptions options) {
  options.algorithm = vault.identity().algorithm;
  ASR_TRY(const auto sealed, SealedDisk::Open(vault, point, disk));
  ASR_TRY(const auto lock, ImageLock::Take(fs, image.path));
  if (lock) ASR_CHECK(lock->RemovePartialFiles(image.path));
  // A name of its own: without locks, two restores to one place must not finish each other's file.
  const std::string partial =
      fmt::format("{}{}{}", image.path, kPartial, ToHex(ByteSpan(RandomBits()).first(4)));
  const auto write = [&]() -> Status {
    ASR_TRY(const auto writer,
            CreateImage(fs, {.path = partial,
                             .format = image.format,
                             .size_bytes = disk.size_bytes,
                             .logical_sector_bytes = disk.logical_sector_bytes}));
    ImageTarget target(*writer, sealed->digests());
    ASR_CHECK(MakeEqual(*sealed, target, options));
    ASR_CHECK(writer->Finish());
    ASR_CHECK(image.replace ? fs.Rename(partial, image.path)
                            : fs.RenameNoReplace(partial, image.path));
    return fs.SyncDirectory(ParentOf(image.path));
  };
  Status written = write();
  if (!written && Exists(fs, partial)) static_cast<void>(fs.RemoveFile(partial).has_value());
  return written;
}

}  // namespace asr
