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

// A raw image is a whole number of these.
inline constexpr std::uint32_t kRawSectorBytes = 512;

// An opened image file, with its stamp at opening.
struct ImageFile {
  std::string path;
  FileStamp stamp;
  std::uint64_t size_bytes = 0;  // what `file` has: more than the stamp's if a log was replayed
  std::unique_ptr<File> file;
  std::size_t log_entry_count = 0;        // see ImageDescription
  std::vector<std::string> remarks = {};  // the same
};

// What a differencing image says of the image that it builds on.
struct ParentLink {
  std::vector<std::string> ids;    // the parent's id must be one of these
  std::vector<std::string> paths;  // as written, in the order to try; Windows spells them with '\'
};

struct DiskShape {
  ImageFormat format = ImageFormat::kRaw;
  std::uint64_t size_bytes = 0;
  std::uint32_t logical_sector_bytes = 512;
  std::string id = {};                      // by which children name it; empty: it has none
  std::uint64_t block_bytes = 0;            // see ImageDescription
  std::uint32_t physical_sector_bytes = 0;  // the same
  std::optional<ParentLink> parent = {};    // of a differencing image
};

// Where a run of the disk's bytes lies.
struct MappedRun {
  enum class Source : std::uint8_t { kZeros, kFile, kParent };

  std::uint64_t length_bytes = 0;
  Source source = Source::kZeros;
  std::uint64_t file_offset_bytes = 0;  // of kFile
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
  [[nodiscard]] std::vector<ImageDescription> Describe() const final;

  [[nodiscard]] const DiskShape& shape() const { return shape_; }
  [[nodiscard]] const std::string& path() const { return image_.path; }
  [[nodiscard]] const FileStamp& stamp() const { return image_.stamp; }
  // The image that runs of Source::kParent are read from; past its end they are zeros. Before the
  // first read of a differencing image, once.
  void SetParent(std::unique_ptr<MappedDisk> parent) { parent_ = std::move(parent); }

 protected:
  MappedDisk(ImageFile image, DiskShape shape)
      : image_(std::move(image)), shape_(std::move(shape)) {}

  // The run that starts where `range` starts: at least one byte, at most all of `range`, which is
  // inside the disk and not empty. A run in the file lies inside the file as it was at opening.
  // Only a differencing image has runs in its parent.
  [[nodiscard]] virtual Result<MappedRun> Locate(Extent range) const = 0;

  [[nodiscard]] File& file() const { return *image_.file; }
  [[nodiscard]] std::uint64_t file_size_bytes() const { return image_.size_bytes; }

 private:
  Status ReadRuns(std::uint64_t offset_bytes, MutableByteSpan out) const;
  Status ReadFile(std::uint64_t file_offset_bytes, MutableByteSpan out) const;
  Status ReadParent(std::uint64_t offset_bytes, MutableByteSpan out) const;
  Status AddExtents(const MappedRun& run, std::uint64_t offset_bytes,
                    std::vector<Extent>& extents) const;
  Status CheckFileSize() const;
  Error InThisImage(Error error) const;

  ImageFile image_;
  DiskShape shape_;
  std::unique_ptr<MappedDisk> parent_;
};

// A disk whose bytes lie in the file one to one, from its beginning: raw and fixed VHD.
class FlatDisk : public MappedDisk {
 public:
  FlatDisk(ImageFile image, DiskShape shape) : MappedDisk(std::move(image), std::move(shape)) {}

 protected:
  [[nodiscard]] Result<MappedRun> Locate(Extent range) const override {
    return MappedRun{.length_bytes = range.length_bytes,
                     .source = MappedRun::Source::kFile,
                     .file_offset_bytes = range.offset_bytes};
  }
};

}  // namespace asr
