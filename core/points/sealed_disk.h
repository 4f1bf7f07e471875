// One disk of a sealed recovery point, as a disk to read.
#pragma once

#include <memory>
#include <vector>

#include "core/model/point.h"
#include "core/vault/digest_table.h"
#include "core/vault/vault.h"
#include "storage/image/disk.h"

namespace asr {

// Thread-safe. Stays right beside a writer of the item; the caller has pinned the point. Bytes are
// not checked here: whoever copies them compares their digests with digests().
class SealedDisk : public Disk {
 public:
  // kNotFound if the point is gone; kCorrupt if its digests are damaged.
  [[nodiscard]] static Result<std::unique_ptr<SealedDisk>> Open(Vault& vault,
                                                                const RecoveryPoint& point,
                                                                const PointDisk& disk);

  [[nodiscard]] const PointId& point() const { return point_; }
  // What the point's chunks hold; lives as long as this.
  [[nodiscard]] DigestTableReader& digests() const { return *digests_; }
  // The fixed VHD of the point: the disk, its padding, its footer. Lives as long as this.
  [[nodiscard]] PageBlobReader& pages() const { return *pages_; }

  [[nodiscard]] ImageFormat format() const override { return ImageFormat::kVhdFixed; }
  [[nodiscard]] std::uint64_t size_bytes() const override { return disk_.size_bytes; }
  [[nodiscard]] std::uint32_t logical_sector_bytes() const override {
    return disk_.logical_sector_bytes;
  }
  [[nodiscard]] Status Read(std::uint64_t offset_bytes, MutableByteSpan out) const override;
  // By the digests: chunks that are not all zeros.
  [[nodiscard]] Result<std::vector<Extent>> AllocatedExtents(Extent range) const override;
  [[nodiscard]] std::vector<BackingFile> files() const override { return {}; }

 private:
  SealedDisk(PointId point, PointDisk disk, std::unique_ptr<PageBlobReader> pages,
             std::unique_ptr<DigestTableReader> digests);

  PointId point_;
  PointDisk disk_;
  std::unique_ptr<PageBlobReader> pages_;
  std::unique_ptr<DigestTableReader> digests_;
};

}  // namespace asr
