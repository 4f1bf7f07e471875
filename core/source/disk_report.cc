#include "core/source/disk_report.h"

#include <fmt/format.h>

namespace asr {
Result<DiskReport> ReportDisk(FileSystem& fs, const std::string& path,
                              const std::string& declared_format) {
  ASR_TRY(const auto disk, OpenDisk(fs, path, declared_format));
  DiskReport report{.format = disk->format(),
                    .size_bytes = disk->size_bytes(),
                    .logical_sector_bytes = disk->logical_sector_bytes(),
                    .allocated_bytes = 0,
                    .images = disk->Describe(),
                    .file_bytes = {},
                    .problems = {}};
  ASR_TRY(report.allocated_bytes, AllocatedBytes(*disk));
  for (const Disk::BackingFile& file : disk->files()) {
    report.file_bytes.push_back(file.stamp.size_bytes);
    ASR_TRY(const auto writer, fs.FindWriter(file.path));
    if (writer) report.problems.push_back(fmt::format("{}: {}", file.path, *writer));
  }
  for (const ImageDescription& image : report.images) {
    for (const std::string& remark : image.remarks) {
      report.problems.push_back(fmt::format("{}: {}", image.path, remark));
    }
  }
  return report;
}

}  // namespace asr
