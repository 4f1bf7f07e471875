// A virtual disk as its guest sees it, read from an image file of any format.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "storage/base/bytes.h"
#include "storage/base/result.h"
#include "storage/fs/file_system.h"

namespace asr {

enum class ImageFormat : std::uint8_t {
  kRaw,
  kVhdFixed,
  kVhdDynamic,
  kVhdDifferencing,
  kVhdxFixed,
  kVhdxDynamic,
  kVhdxDifferencing,
  kQcow2,
};

// "raw", "vhd", "vhdx", "qcow2": the name that people use, and the word for --format.
[[nodiscard]] std::string FormatName(ImageFormat format);

// One image file of a disk, for people to look at.
struct ImageDescription {
  std::string path;
  ImageFormat format = ImageFormat::kRaw;
  std::uint64_t size_bytes = 0;             // of the disk that it describes
  std::uint64_t block_bytes = 0;            // 0: it has no blocks
  std::uint32_t physical_sector_bytes = 0;  // 0: it does not say
  std::string id;                           // by which children name it; empty: it has none
  std::vector<std::string> parent_ids;      // of a differencing image: those it accepts
  std::size_t log_entry_count = 0;          // that were replayed to read it
  std::vector<std::string> remarks;  // what is not as it should be, and was read all the same
};

// Read-only. All methods may be called from several threads at once.
class Disk {
 public:
  virtual ~Disk() = default;

  [[nodiscard]] virtual ImageFormat format() const = 0;
  // What the guest sees; a multiple of logical_sector_bytes(), never 0.
  [[nodiscard]] virtual std::uint64_t size_bytes() const = 0;
  [[nodiscard]] virtual std::uint32_t logical_sector_bytes() const = 0;  // 512 or 4096

  // Any offset and length inside the disk. Bytes that the image does not hold read as zeros,
  // without any I/O. Large reads into memory aligned to kDirectAlignment go round the page cache.
  // A file that ends inside a block it claims to hold is kCorrupt, never zeros.
  [[nodiscard]] virtual Status Read(std::uint64_t offset_bytes, MutableByteSpan out) const = 0;

  // Parts of `range` that may hold data other than zeros, ascending and joined; `range` is clipped
  // to the disk. Holes of the image file inside its blocks are left out too. Cost and memory are
  // those of the window asked for, not of the disk; ask in windows of a GiB or so.
  [[nodiscard]] virtual Result<std::vector<Extent>> AllocatedExtents(Extent range) const = 0;

  // Every file that the content comes from (for a chain: leaf first), with its stamp at opening.
  struct BackingFile {
    std::string path;
    FileStamp stamp;
  };
  [[nodiscard]] virtual std::vector<BackingFile> files() const = 0;

  // The same files, in the same order.
  [[nodiscard]] virtual std::vector<ImageDescription> Describe() const;
};

// Opens the image at `path` by its name's ending: .vhd .avhd .vhdx .avhdx .qcow2 must carry
// their signature, .raw is raw; never guessed from bytes that a guest can write. Others (.img, a
// block device) need `declared_format` ("raw", "vhd", "vhdx", "qcow2"), which must agree with an
// ending that names a format. The parents of a differencing image are opened with it; all files of
// the chain lie below `folder` (empty: the image's own directory). Errors: kNotFound, kUsage (a
// word that is no format, or one that contradicts the ending), kCorrupt (with what is wrong and
// where, or which link of the chain is broken), kUnsupported (unknown format, a parent outside of
// the folder, for qcow2 also what ParseQcow2Header refuses and QEMU's tools that are missing),
// kBusy (kImageInUse, retryable: somebody writes to the image, which is qcow2 or would be kCorrupt
// besides), kIo. Every field of a header is checked before
// use, every block of a table before the first read.
[[nodiscard]] Result<std::unique_ptr<Disk>> OpenDisk(FileSystem& fs, const std::string& path,
                                                     const std::string& declared_format = "",
                                                     const std::string& folder = "");

// Bytes of the disk that may hold data: what a transfer of all of it has to read.
[[nodiscard]] Result<std::uint64_t> AllocatedBytes(const Disk& disk);

}  // namespace asr
