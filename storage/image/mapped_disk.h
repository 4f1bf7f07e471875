// What the disks of all formats have in common: once a format says where in the file a run of the
// disk lies, reading and listing extents are the same for every one of them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "storage/image/disk.h"

namespace asr {

// An opened image file, with its stamp at opening.
struct ImageFile {
  std::string path;
  FileStamp stamp;
  std::unique_ptr<File> file;
};

struct DiskShape {
  ImageFormat format = ImageFormat::kRaw;
  std::uint64_t size_bytes = 0;
  std::uint32_t logical_sector_bytes = 512;
};

// Where a run of the disk's bytes lies.
struct MappedRun {
  std::uint64_t length_bytes = 0;
  std::optional<std::uint64_t> file_offset_bytes;  // none: the run is zeros
};

class MappedDisk : public Disk {
 public:
  [[nodiscard]] ImageFormat format() const final { return shape_.format; }
  [[nodiscard]] std::uint64_t size_bytes() const final { return shape_.size_bytes; }
  [[nodiscard]] std::uint32_t logical_sector_bytes() const final {
    return shape_.logical_sector_bytes;
  }
  [[nodiscard]] Status Read(std::uint64_t offset_bytes, MutableByteSpan out) const final;
  [[nodiscard]] Result<std::vector<Extent>> AllocatedExtents(Extent range) const final;
  [[nodiscard]] std::vector<BackingFile> files() const final;

 protected:
  MappedDisk(ImageFile image, DiskShape shape) : image_(std::move(image)), shape_(shape) {}

  // The run that starts where `range` starts: at least one byte, at most all of `range`, which is
  // inside the disk and not empty. A run in the file lies inside the file as it was at opening.
  [[nodiscard]] virtual Result<MappedRun> Locate(Extent range) const = 0;

  [[nodiscard]] File& file() const { return *image_.file; }
  [[nodiscard]] std::uint64_t file_size_bytes() const { return image_.stamp.size_bytes; }

 private:
  Status ReadRuns(std::uint64_t offset_bytes, MutableByteSpan out) const;
  Status ReadFile(std::uint64_t file_offset_bytes, MutableByteSpan out) const;
  Status CheckFileSize() const;
  Error InThisImage(Error error) const;

  ImageFile image_;
  DiskShape shape_;
};

// A disk whose bytes lie in the file one to one, from its beginning: raw and fixed VHD.
class FlatDisk : public MappedDisk {
 public:
  FlatDisk(ImageFile image, DiskShape shape) : MappedDisk(std::move(image), shape) {}

 protected:
  [[nodiscard]] Result<MappedRun> Locate(Extent range) const override {
    return MappedRun{.length_bytes = range.length_bytes, .file_offset_bytes = range.offset_bytes};
  }
};

}  // namespace asr
