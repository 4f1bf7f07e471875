// What there is to say about an image file, for people who look into one.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "storage/base/result.h"
#include "storage/fs/file_system.h"
#include "storage/image/disk.h"

namespace asr {

struct DiskReport {
  ImageFormat format = ImageFormat::kRaw;
  std::uint64_t size_bytes = 0;
  std::uint32_t logical_sector_bytes = 0;
  std::uint64_t allocated_bytes = 0;      // of the disk: what a first replication reads
  std::vector<ImageDescription> images;   // leaf first
  std::vector<std::uint64_t> file_bytes;  // of each image
  std::vector<std::string> problems;      // remarks of all images, and who writes to them now
};

// Opens the image and all below it. Errors are those of OpenDisk.
[[nodiscard]] Result<DiskReport> ReportDisk(FileSystem& fs, const std::string& path,
                                            const std::string& declared_format);

}  // namespace asr
