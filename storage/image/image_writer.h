// Writers of new image files, for restore: raw, VHD (fixed or dynamic), dynamic VHDX, qcow2.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "storage/base/bytes.h"
#include "storage/base/result.h"
#include "storage/fs/file_system.h"

namespace asr {

struct NewImage {
  std::string path;    // must not exist; the caller decides on temporary names and renames
  std::string format;  // "raw", "vhd" (fixed), "vhd-dynamic", "vhdx" (dynamic) or "qcow2"
  std::uint64_t size_bytes = 0;  // whole logical sectors, at most 64 TiB; vhd-dynamic: 2040 GiB
  std::uint32_t logical_sector_bytes = 512;  // 4096 only for raw and VHDX
};

// A new disk, all zeros until written. Not valid as an image until Finish() has returned; a file
// that is dropped before is left where it is, for the caller to remove.
class ImageWriter {
 public:
  virtual ~ImageWriter() = default;

  // Offset and length are multiples of 512, inside the disk. May be called from several threads for
  // ranges that do not overlap. Never writes zeros for a hole: do not call it for them. Bytes at an
  // address and offset aligned to kDirectAlignment go round the page cache.
  [[nodiscard]] virtual Status Write(std::uint64_t offset_bytes, ByteSpan bytes) = 0;

  // Writes headers, tables and footers, and makes all of it durable, the name in its directory too.
  // Once only, and not beside Write.
  [[nodiscard]] virtual Status Finish() = 0;
};

// Errors: kUsage for a format, size or sector that cannot be (VHD and qcow2: 512-byte sectors),
// kUnsupported if QEMU's tools for qcow2 are missing, kState if the file exists, kIo, kNoSpace.
[[nodiscard]] Result<std::unique_ptr<ImageWriter>> CreateImage(FileSystem& fs,
                                                               const NewImage& image);

// How the name of an image in that format ends, without the dot.
[[nodiscard]] std::string ImageEnding(const std::string& format);

}  // namespace asr
