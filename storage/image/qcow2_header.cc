#include "storage/image/qcow2_header.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "storage/image/image_error.h"

namespace asr {
namespace {

constexpr std::uint32_t kMagic = 0x514649FB;  // "QFI" and 0xFB
constexpr std::size_t kHeaderBytesOfVersion2 = 72;
constexpr std::size_t kHeaderBytesOfVersion3 = 104;
constexpr std::uint32_t kMostBackingPathBytes = 1023;
constexpr std::uint64_t kMostDiskBytes = 64 * kTiB;
constexpr std::uint64_t kMostL1Bytes = 32 * kMiB;  // QEMU's own limit, as the next
constexpr std::uint64_t kMostRefcountTableBytes = 8 * kMiB;
constexpr std::uint64_t kQcow2SectorBytes = 512;

constexpr std::uint64_t kDirtyFeature = 1U << 0U;
constexpr std::uint64_t kCorruptFeature = 1U << 1U;
constexpr std::uint64_t kDataFileFeature = 1U << 2U;
constexpr std::uint64_t kExtendedL2Feature = 1U << 4U;
// How clusters are compressed is QEMU's affair.
constexpr std::uint64_t kKnownFeatures = 0x1F;

constexpr std::uint32_t kEndExtension = 0;
constexpr std::uint32_t kBackingFormatExtension = 0xE2792ACA;
constexpr std::uint32_t kDataFileExtension = 0x44415441;

// Fields of the header by their offsets.
constexpr std::size_t kVersion = 4;
constexpr std::size_t kBackingOffset = 8;
constexpr std::size_t kBackingLength = 16;
constexpr std::size_t kClusterBits = 20;
constexpr std::size_t kDiskBytes = 24;
constexpr std::size_t kEncryption = 32;
constexpr std::size_t kL1Entries = 36;
constexpr std::size_t kL1Offset = 40;
constexpr std::size_t kRefcountTableOffset = 48;
constexpr std::size_t kRefcountTableClusters = 56;
constexpr std::size_t kIncompatibleFeatures = 72;
constexpr std::size_t kRefcountOrder = 96;
constexpr std::size_t kHeaderLength = 100;

std::size_t PlainHeaderBytes(std::uint32_t version) {
  return version == 2 ? kHeaderBytesOfVersion2 : kHeaderBytesOfVersion3;
}

Error DataFileRefusal() {
  return UnsupportedImage("its data lies in an external data file, which is not read",
                          "make one image of both: qemu-img convert -O qcow2 IMAGE NEW.qcow2");
}

Status CheckFeatures(std::uint64_t features) {
  if ((features & ~kKnownFeatures) != 0) {
    return Fail(UnsupportedImage(
        fmt::format("the qcow2 image has incompatible features ({:#x}) that are not known here",
                    features & ~kKnownFeatures),
        "convert it with the QEMU that made it: qemu-img convert -O qcow2 IMAGE NEW.qcow2"));
  }
  if ((features & kDataFileFeature) != 0) return Fail(DataFileRefusal());
  if ((features & kCorruptFeature) != 0) {
    return Fail(
        CorruptImage("QEMU marked the qcow2 image as corrupt (incompatible feature bit 1)"));
  }
  return {};
}

Status CheckL1(const Qcow2Header& header) {
  if (header.l1_offset_bytes != 0 && header.l1_offset_bytes % header.cluster_bytes == 0 &&
      header.l1_bytes != 0 && header.l1_bytes <= kMostL1Bytes) {
    return {};
  }
  return Fail(CorruptImage(
      fmt::format("the qcow2 header's L1 table of {} bytes at offset {} cannot be: from the start "
                  "of a cluster of {} bytes, at most {} bytes",
                  header.l1_bytes, header.l1_offset_bytes, header.cluster_bytes, kMostL1Bytes)));
}

Status CheckRefcounts(const Qcow2Header& header, std::uint32_t order) {
  if (order > 6) {
    return Fail(
        CorruptImage(fmt::format("the qcow2 header's refcount order is {}, at most 6", order)));
  }
  if (header.refcount_table_offset_bytes == 0 ||
      header.refcount_table_offset_bytes % header.cluster_bytes != 0 ||
      header.refcount_table_bytes == 0 || header.refcount_table_bytes > kMostRefcountTableBytes) {
    return Fail(CorruptImage(fmt::format(
        "the qcow2 header's refcount table of {} bytes at offset {} cannot be: whole clusters of "
        "{} bytes, at most {} bytes",
        header.refcount_table_bytes, header.refcount_table_offset_bytes, header.cluster_bytes,
        kMostRefcountTableBytes)));
  }
  return {};
}

// All of the header that has a fixed place; `start` has at least those bytes.
Result<Qcow2Header> ParseFixedFields(ByteSpan start) {
  Qcow2Header header;
  header.version = LoadBig<std::uint32_t>(start, kVersion);
  const auto cluster_bits = LoadBig<std::uint32_t>(start, kClusterBits);
  if (cluster_bits < 9 || cluster_bits > 21) {
    return Fail(CorruptImage(fmt::format(
        "the qcow2 header gives clusters of 2^{} bytes, 2^9 to 2^21 exist", cluster_bits)));
  }
  header.cluster_bytes = std::uint64_t{1} << cluster_bits;
  header.disk_bytes = LoadBig<std::uint64_t>(start, kDiskBytes);
  if (header.disk_bytes == 0 || header.disk_bytes % kQcow2SectorBytes != 0 ||
      header.disk_bytes > kMostDiskBytes) {
    return Fail(CorruptImage(
        fmt::format("the qcow2 header gives a disk of {} bytes: whole sectors of {} up to 64 TiB",
                    header.disk_bytes, kQcow2SectorBytes)));
  }
  if (const auto method = LoadBig<std::uint32_t>(start, kEncryption); method != 0) {
    return Fail(UnsupportedImage(fmt::format("the qcow2 image is encrypted (method {})", method),
                                 "convert it to a plain one where its key is at hand"));
  }
  header.l1_offset_bytes = LoadBig<std::uint64_t>(start, kL1Offset);
  header.l1_bytes = LoadBig<std::uint32_t>(start, kL1Entries) * sizeof(std::uint64_t);
  ASR_CHECK(CheckL1(header));
  header.refcount_table_offset_bytes = LoadBig<std::uint64_t>(start, kRefcountTableOffset);
  header.refcount_table_bytes =
      LoadBig<std::uint32_t>(start, kRefcountTableClusters) * header.cluster_bytes;
  std::uint32_t refcount_order = 4;
  if (header.version == 3) {
    const auto features = LoadBig<std::uint64_t>(start, kIncompatibleFeatures);
    ASR_CHECK(CheckFeatures(features));
    header.is_dirty = (features & kDirtyFeature) != 0;
    header.has_extended_l2 = (features & kExtendedL2Feature) != 0;
    refcount_order = LoadBig<std::uint32_t>(start, kRefcountOrder);
  }
  ASR_CHECK(CheckRefcounts(header, refcount_order));
  return header;
}

// Where the extensions begin. `start` has at least the fixed fields.
Result<std::size_t> HeaderBytes(ByteSpan start, const Qcow2Header& header) {
  if (header.version == 2) return kHeaderBytesOfVersion2;
  const auto length = LoadBig<std::uint32_t>(start, kHeaderLength);
  if (length < kHeaderBytesOfVersion3 || length % 8 != 0 ||
      length > std::min<std::uint64_t>(start.size(), header.cluster_bytes)) {
    return Fail(CorruptImage(fmt::format(
        "the qcow2 header gives its own length as {} bytes: a multiple of 8 from {} to a cluster, "
        "inside the file",
        length, kHeaderBytesOfVersion3)));
  }
  return length;
}

// The backing format that the extensions name; empty if none. `area` ends where they may end.
Result<std::string> ParseExtensions(ByteSpan area, std::size_t begin) {
  std::string format;
  std::size_t offset = begin;
  while (offset + 8 <= area.size()) {
    const auto type = LoadBig<std::uint32_t>(area, offset);
    const auto length = LoadBig<std::uint32_t>(area, offset + 4);
    if (type == kEndExtension) return format;
    offset += 8;
    if (length > area.size() - offset) {
      return Fail(CorruptImage(fmt::format(
          "the qcow2 header extension {:#x} at offset {} has {} bytes, more than there is room for",
          type, offset - 8, length)));
    }
    if (type == kDataFileExtension) return Fail(DataFileRefusal());
    if (type == kBackingFormatExtension) format = AsText(area.subspan(offset, length));
    const std::size_t padded = AlignUp<std::size_t>(length, 8);
    if (padded > area.size() - offset) return format;
    offset += padded;
  }
  return format;
}

bool IsPlainPath(std::string_view path) {
  // What QEMU takes for a protocol: a colon before the first slash.
  const std::size_t mark = path.find_first_of(":/");
  return mark == std::string_view::npos || path[mark] != ':';
}

Status CheckBacking(const Qcow2Header& header) {
  const std::string& path = header.backing_path;
  if (path.find('\0') != std::string::npos ||
      header.backing_format.find('\0') != std::string::npos) {
    return Fail(CorruptImage("the name or format of its backing file has a zero byte in it"));
  }
  if (!IsPlainPath(path)) {
    return Fail(UnsupportedImage(
        fmt::format("its backing file `{}` is no plain path", path),
        "only files of the VM's folder are read: copy the backing file there, then qemu-img rebase "
        "-u -F FORMAT -b FILE IMAGE"));
  }
  if (header.backing_format.empty()) {
    return Fail(UnsupportedImage(
        fmt::format("it does not say which format its backing file `{}` has, and a format is never "
                    "guessed from bytes that a guest can write",
                    path),
        fmt::format("write down the format that you know it has, raw or qcow2: qemu-img rebase -u "
                    "-F FORMAT -b {} IMAGE",
                    path)));
  }
  if (header.backing_format != "raw" && header.backing_format != "qcow2") {
    return Fail(UnsupportedImage(
        fmt::format("its backing file `{}` has the format `{}`, and only raw and qcow2 are read "
                    "below a qcow2 image",
                    path, header.backing_format),
        "make one image of the chain: qemu-img convert -O qcow2 IMAGE NEW.qcow2"));
  }
  return {};
}

// Where the name of the backing file lies; nothing if there is none.
Result<std::optional<Extent>> FindBackingName(ByteSpan start, const Qcow2Header& header,
                                              std::size_t header_bytes) {
  const auto offset = LoadBig<std::uint64_t>(start, kBackingOffset);
  const auto length = LoadBig<std::uint32_t>(start, kBackingLength);
  if (offset == 0) return std::nullopt;
  const std::uint64_t end = std::min<std::uint64_t>(start.size(), header.cluster_bytes);
  if (length > kMostBackingPathBytes || offset < header_bytes || offset > end ||
      length > end - offset) {
    return Fail(CorruptImage(fmt::format(
        "the name of its backing file, {} bytes at offset {}, must have at most {} bytes and lie "
        "behind the header in the first cluster",
        length, offset, kMostBackingPathBytes)));
  }
  return Extent{offset, length};
}

}  // namespace

Result<Qcow2Header> ParseQcow2Header(ByteSpan start) {
  if (start.size() < 8 || LoadBig<std::uint32_t>(start, 0) != kMagic) {
    return Fail(
        CorruptImage("the file does not begin with the signature of qcow2 (`QFI` and 0xFB)"));
  }
  const auto version = LoadBig<std::uint32_t>(start, kVersion);
  if (version != 2 && version != 3) {
    return Fail(
        UnsupportedImage(fmt::format("it is qcow2 version {}, and 2 and 3 are read", version),
                         "convert it: qemu-img convert -O qcow2 IMAGE NEW.qcow2"));
  }
  if (start.size() < PlainHeaderBytes(version)) {
    return Fail(CorruptImage(
        fmt::format("the file ends after {} bytes, inside the qcow2 header", start.size())));
  }
  ASR_TRY(Qcow2Header header, ParseFixedFields(start));
  ASR_TRY(const std::size_t header_bytes, HeaderBytes(start, header));
  ASR_TRY(const auto name, FindBackingName(start, header, header_bytes));
  const std::uint64_t extensions_end =
      name ? name->offset_bytes : std::min<std::uint64_t>(start.size(), header.cluster_bytes);
  ASR_TRY(header.backing_format, ParseExtensions(start.first(extensions_end), header_bytes));
  if (!name || name->length_bytes == 0) {
    header.backing_format.clear();
    return header;
  }
  header.backing_path = AsText(start.subspan(name->offset_bytes, name->length_bytes));
  ASR_CHECK(CheckBacking(header));
  return header;
}

}  // namespace asr
