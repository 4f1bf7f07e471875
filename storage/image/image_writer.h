// Writers of new image files, for restore: raw, VHD (fixed or dynamic), dynamic VHDX, qcow2.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "storage/base/bytes.h"
#include "storage/base/result.h"
#include "storage/fs/file_system.h"

namespace asr {

struct NewImage {
  std::string path;    // must not exist; the caller decides on temporary names and renames
  std::string format;  // "raw", "vhd" (fixed), "vhd-dynamic", "vhdx" (dynamic) or "qcow2"
  std::uint64_t size_bytes = 0;  // whole logical sectors, at most 64 TiB; vhd-dynamic: 2040 GiB
  std::uint32_t logical_sector_bytes = 512;  // 4096 only for raw and VHDX
  // What will be written, ascending. Formats that give blocks their places give them in this order
  // then, whatever is written first: with the same data a file is laid out the same. Empty: blocks
  // get their places as they come, as do those that are written though they are not named here.
  std::vector<Extent> data = {};
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

  // Of ContinueImage: parts of the disk where an earlier writer may have left data, ascending; what
  // is there; and back to zeros, before it is written anew. Any bytes may be there, also such as
  // were never written as they are. From several threads, as Write.
  [[nodiscard]] virtual Result<std::vector<Extent>> WrittenExtents(Extent range) = 0;
  [[nodiscard]] virtual Status Read(std::uint64_t offset_bytes, MutableByteSpan out) = 0;
  [[nodiscard]] virtual Status Discard(Extent range) = 0;
};

// Errors: kUsage for a format, size or sector that cannot be (VHD and qcow2: 512-byte sectors),
// kUnsupported if QEMU's tools for qcow2 are missing, kState if the file exists, kIo, kNoSpace.
[[nodiscard]] Result<std::unique_ptr<ImageWriter>> CreateImage(FileSystem& fs,
                                                               const NewImage& image);

// True of formats whose unfinished files ContinueImage can go on with: all but qcow2.
[[nodiscard]] bool CanContinueImage(const std::string& format);
// Goes on with what a writer that never finished left at `image.path`, or begins a new file there.
// With the same `image` as before, WrittenExtents finds what that one wrote; with another one
// nothing useful, and no harm is done. Only the caller writes the file. Errors: those of
// CreateImage, but kState.
[[nodiscard]] Result<std::unique_ptr<ImageWriter>> ContinueImage(FileSystem& fs,
                                                                 const NewImage& image);

// How the name of an image in that format ends, without the dot.
[[nodiscard]] std::string ImageEnding(const std::string& format);

}  // namespace asr
