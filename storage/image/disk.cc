#include "storage/image/disk.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "storage/base/text.h"
#include "storage/image/image_chain.h"
#include "storage/image/image_error.h"
#include "storage/image/mapped_disk.h"
#include "storage/image/qcow2_chain.h"
#include "storage/image/qcow2_disk.h"
#include "storage/image/vhd_disk.h"
#include "storage/image/vhdx_disk.h"

namespace asr {
namespace {

struct Ending {
  std::string_view ending;
  std::string_view format;
};
constexpr std::array<Ending, 6> kEndings = {{{".raw", "raw"},
                                             {".vhd", "vhd"},
                                             {".avhd", "vhd"},
                                             {".vhdx", "vhdx"},
                                             {".avhdx", "vhdx"},
                                             {".qcow2", "qcow2"}}};

// Empty if the name's ending means no format.
std::string_view FormatByEnding(const std::string& path) {
  const std::string name = AsciiLowerCase(BaseName(path));
  for (const Ending& known : kEndings) {
    if (name.ends_with(known.ending)) return known.format;
  }
  return "";
}

Result<std::string> DecideFormat(const std::string& path, const std::string& declared) {
  const auto is_declared = [&](const Ending& known) { return known.format == declared; };
  if (!declared.empty() && std::none_of(kEndings.begin(), kEndings.end(), is_declared)) {
    return Fail(MakeError(ErrorKind::kUsage, ErrorCode::kImageUnknownFormat,
                          fmt::format("`{}` is no image format", declared))
                    .WithAction("use raw, vhd, vhdx or qcow2"));
  }
  const std::string_view by_ending = FormatByEnding(path);
  if (by_ending.empty() && declared.empty()) {
    return Fail(
        MakeError(ErrorKind::kUnsupported, ErrorCode::kImageUnknownFormat,
                  "the ending of its name does not say which format the image has")
            .WithCause("a format is never guessed from bytes that a guest can write")
            .WithAction("name the disk's format in vm.json (or by --format, where a command "
                        "has it), or rename the image to .raw, "
                        ".vhd, .vhdx or .qcow2"));
  }
  if (!by_ending.empty() && !declared.empty() && by_ending != declared) {
    return Fail(MakeError(ErrorKind::kUsage, ErrorCode::kImageUnknownFormat,
                          fmt::format("the image is declared as {}, its name's ending means {}",
                                      declared, by_ending))
                    .WithAction("correct the declared format, or rename the image"));
  }
  return declared.empty() ? std::string(by_ending) : declared;
}

Result<ImageFile> OpenImageFile(FileSystem& fs, const std::string& path, OpenOptions options) {
  // Looked at first: opening a pipe would wait for its writer.
  ASR_TRY(const FileStamp stamp, fs.Stat(path));
  if (stamp.type != FileType::kRegular && stamp.type != FileType::kBlockDevice) {
    return Fail(UnsupportedImage("it is neither a file nor a block device",
                                 "give the path of the image itself"));
  }
  ImageFile image{.path = path, .stamp = {}, .size_bytes = 0, .file = nullptr};
  ASR_TRY(image.file, fs.Open(path, options));
  ASR_TRY(image.stamp, image.file->Stat());
  image.size_bytes = image.stamp.size_bytes;
  return image;
}

Result<ImageFile> OpenParentFile(FileSystem& fs, const ImagePlace& place, bool is_direct) {
  ASR_TRY(ImageFile image,
          OpenImageFile(fs, place.canonical, {.direct = is_direct, .no_links = true}));
  image.path = place.path;
  return image;
}

Result<std::unique_ptr<Disk>> OpenRaw(ImageFile image) {
  const std::uint64_t size_bytes = image.stamp.size_bytes;
  if (size_bytes == 0 || size_bytes % kRawSectorBytes != 0) {
    return Fail(CorruptImage(
        fmt::format("the raw image has {} bytes, which is not a whole number of 512-byte sectors",
                    size_bytes)));
  }
  return std::make_unique<FlatDisk>(std::move(image),
                                    DiskShape{ImageFormat::kRaw, size_bytes, kRawSectorBytes});
}

// Where all files of the image's chain lie.
Result<std::string> CanonicalFolder(FileSystem& fs, const std::string& path,
                                    const std::string& folder) {
  return fs.Canonical(folder.empty() ? ParentOf(path) : folder);
}

Result<std::unique_ptr<Disk>> OpenQcow2(FileSystem& fs, ImageFile leaf, const std::string& folder) {
  ASR_TRY(const std::string canonical, CanonicalFolder(fs, leaf.path, folder));
  // Only headers are read here. A second descriptor for each file would be too much for the longest
  // chain under Debian's limit of 1024.
  const auto open = [&](const ImagePlace& place) { return OpenParentFile(fs, place, false); };
  ASR_TRY(auto chain, WalkQcow2Chain(fs, std::move(leaf), canonical, open));
  ASR_TRY(auto disk, Qcow2Disk::Open(std::move(chain)));
  return disk;
}

bool IsVhd(ImageFormat format) {
  return format == ImageFormat::kVhdFixed || format == ImageFormat::kVhdDynamic ||
         format == ImageFormat::kVhdDifferencing;
}

// With the parents of a differencing image. A parent has the format of its child, whatever its
// name.
Result<std::unique_ptr<Disk>> WithParents(FileSystem& fs, std::unique_ptr<MappedDisk> leaf,
                                          const std::string& folder) {
  if (!leaf->shape().parent) return leaf;
  ASR_TRY(const std::string canonical, CanonicalFolder(fs, leaf->path(), folder));
  const auto open = [&](const ImagePlace& place,
                        ImageFormat child) -> Result<std::unique_ptr<MappedDisk>> {
    ASR_TRY(ImageFile image, OpenParentFile(fs, place, true));
    auto parent = IsVhd(child) ? OpenVhd(std::move(image)) : OpenVhdx(std::move(image));
    if (!parent) return Fail(InUseOr(fs, place.path, std::move(parent).error()));
    return parent;
  };
  ASR_CHECK(CompleteChain(fs, *leaf, canonical, open));
  return leaf;
}

Result<std::unique_ptr<Disk>> OpenAs(FileSystem& fs, const std::string& path,
                                     const std::string& declared_format,
                                     const std::string& folder) {
  ASR_TRY(const std::string format, DecideFormat(path, declared_format));
  ASR_TRY(ImageFile image, OpenImageFile(fs, path, {.direct = true}));
  if (format == "raw") return OpenRaw(std::move(image));
  if (format == "vhd" || format == "vhdx") {
    ASR_TRY(auto leaf, format == "vhd" ? OpenVhd(std::move(image)) : OpenVhdx(std::move(image)));
    return WithParents(fs, std::move(leaf), folder);
  }
  return OpenQcow2(fs, std::move(image), folder);
}

}  // namespace

std::vector<ImageDescription> Disk::Describe() const {
  std::vector<ImageDescription> descriptions;
  for (const BackingFile& file : files()) {
    ImageDescription description;
    description.path = file.path;
    description.format = format();
    description.size_bytes = size_bytes();
    descriptions.push_back(std::move(description));
  }
  return descriptions;
}

std::string FormatName(ImageFormat format) {
  switch (format) {
    case ImageFormat::kRaw:
      return "raw";
    case ImageFormat::kVhdFixed:
    case ImageFormat::kVhdDynamic:
    case ImageFormat::kVhdDifferencing:
      return "vhd";
    case ImageFormat::kVhdxFixed:
    case ImageFormat::kVhdxDynamic:
    case ImageFormat::kVhdxDifferencing:
      return "vhdx";
    case ImageFormat::kQcow2:
      return "qcow2";
  }
  return "";
}

Result<std::unique_ptr<Disk>> OpenDisk(FileSystem& fs, const std::string& path,
                                       const std::string& declared_format,
                                       const std::string& folder) {
  Result<std::unique_ptr<Disk>> disk = OpenAs(fs, path, declared_format, folder);
  if (!disk) {
    return Fail(
        InUseOr(fs, path, std::move(disk).error()).WithContext(fmt::format("image {}", path)));
  }
  return disk;
}

Result<std::uint64_t> AllocatedBytes(const Disk& disk) {
  constexpr std::uint64_t kWindowBytes = kGiB;  // bounds the list of extents
  std::uint64_t sum = 0;
  for (std::uint64_t begin = 0; begin < disk.size_bytes(); begin += kWindowBytes) {
    ASR_TRY(const auto extents,
            disk.AllocatedExtents({begin, std::min(kWindowBytes, disk.size_bytes() - begin)}));
    for (const Extent& extent : extents) sum += extent.length_bytes;
  }
  return sum;
}

}  // namespace asr
