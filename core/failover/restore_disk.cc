#include "core/failover/restore_disk.h"

#include <utility>

#include <fmt/format.h>

#include "core/failover/image_target.h"
#include "core/points/sealed_disk.h"
#include "storage/image/image_writer.h"

namespace asr {

Result<std::uint64_t> BytesToRestore(Vault& vault, const RecoveryPoint& point,
                                     const PointDisk& disk) {
  ASR_TRY(const auto sealed, SealedDisk::Open(vault, point, disk));
  return AllocatedBytes(*sealed);
}

Status RestoreDisk(FileSystem& fs, Vault& vault, const RecoveryPoint& point, const PointDisk& disk,
                   const RestoredImage& image, TransferOptions options) {
  options.algorithm = vault.identity().algorithm;
  ASR_TRY(const auto sealed, SealedDisk::Open(vault, point, disk));
  // A name of its own: two restores to one place must not finish each other's file.
  const std::string partial =
      fmt::format("{}.partial-{}", image.path, ToHex(ByteSpan(RandomBits()).first(4)));
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
