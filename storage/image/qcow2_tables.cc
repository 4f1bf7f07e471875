#include "storage/image/qcow2_tables.h"

#include <algorithm>
#include <bit>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "storage/image/image_error.h"

namespace asr {
namespace {

constexpr std::uint64_t kL2TableBits = 0x00FF'FFFF'FFFF'FE00;
constexpr std::uint64_t kClusterBits = 0x00FF'FFFF'FFFF'FE00;
constexpr std::uint64_t kCompressed = std::uint64_t{1} << 62;
constexpr std::uint64_t kReadsAsZeros = 1;  // without extended entries
constexpr std::uint64_t kCompressedSectorBytes = 512;
constexpr std::uint64_t kSubclustersACluster = 32;

bool IsClusterOf(const ImageFile& image, const Qcow2Header& header, std::uint64_t offset_bytes) {
  return offset_bytes % header.cluster_bytes == 0 && offset_bytes < image.size_bytes &&
         image.size_bytes - offset_bytes >= header.cluster_bytes;
}

// The clusters that a table names, 0 where it names none.
Result<std::vector<std::uint64_t>> ReadTable(const ImageFile& image, const Qcow2Header& header,
                                             Extent table, std::uint64_t offset_bits,
                                             std::string_view name) {
  if (table.offset_bytes > image.size_bytes ||
      table.length_bytes > image.size_bytes - table.offset_bytes) {
    return Fail(CorruptImage(
        fmt::format("the {} of the qcow2 image, {} bytes at offset {}, passes the file's end at {}",
                    name, table.length_bytes, table.offset_bytes, image.size_bytes)));
  }
  std::vector<std::byte> bytes(table.length_bytes);
  ASR_CHECK(image.file->ReadAt(table.offset_bytes, bytes));
  std::vector<std::uint64_t> clusters(bytes.size() / sizeof(std::uint64_t));
  for (std::size_t i = 0; i < clusters.size(); ++i) {
    clusters[i] = LoadBig<std::uint64_t>(bytes, i * sizeof(std::uint64_t)) & offset_bits;
    if (clusters[i] == 0 || IsClusterOf(image, header, clusters[i])) continue;
    return Fail(CorruptImage(
        fmt::format("entry {} of the {} of the qcow2 image gives offset {}, which is no cluster of "
                    "{} bytes in a file of {}",
                    i, name, clusters[i], header.cluster_bytes, image.size_bytes)));
  }
  return clusters;
}

// Every block is read once at most, so that no table can keep us busy for longer than its file.
Status RequireDistinct(std::vector<std::uint64_t> blocks, std::string_view name) {
  std::erase(blocks, 0U);
  std::ranges::sort(blocks);
  const auto twice = std::ranges::adjacent_find(blocks);
  if (twice == blocks.end()) return {};
  return Fail(CorruptImage(
      fmt::format("the {} of the qcow2 image names the block at offset {} twice", name, *twice)));
}

// Of a cluster that is not compressed: how much of it the disk needs, of `most_bytes`.
std::uint64_t NeededBytes(const Qcow2Header& header, ByteSpan entry, std::uint64_t most_bytes) {
  if (!header.has_extended_l2) {
    return (LoadBig<std::uint64_t>(entry, 0) & kReadsAsZeros) != 0 ? 0 : most_bytes;
  }
  const auto allocated = static_cast<std::uint32_t>(LoadBig<std::uint64_t>(entry, 8));
  const std::uint64_t subclusters = kSubclustersACluster - std::countl_zero(allocated);
  return std::min(subclusters * (header.cluster_bytes / kSubclustersACluster), most_bytes);
}

// The place in the file that an L2 entry gives; empty where it gives none. `most_bytes`: of the
// cluster inside the disk.
Extent PlaceOf(const Qcow2Header& header, ByteSpan entry, std::uint64_t most_bytes) {
  const auto value = LoadBig<std::uint64_t>(entry, 0);
  if ((value & kCompressed) == 0) {
    const std::uint64_t place = value & kClusterBits;
    return {place, place == 0 ? 0 : NeededBytes(header, entry, most_bytes)};
  }
  // Below bit 62 lie the count of further sectors, of as many bits as a cluster has more than 8,
  // and the place. The data may end before its last sector does.
  const int place_bits = 62 - (std::countr_zero(header.cluster_bytes) - 8);
  const std::uint64_t place = value & ((std::uint64_t{1} << place_bits) - 1);
  const std::uint64_t further_sectors = (value & (kCompressed - 1)) >> place_bits;
  const std::uint64_t last_sector =
      AlignDown(place, kCompressedSectorBytes) + further_sectors * kCompressedSectorBytes;
  return {place, std::max(last_sector, place) + 1 - place};
}

Status CheckL2Table(const ImageFile& image, const Qcow2Header& header, ByteSpan table,
                    std::uint64_t disk_offset) {
  const std::size_t entry_bytes = header.has_extended_l2 ? 16 : 8;
  for (std::size_t at = 0; at < table.size() && disk_offset < header.disk_bytes;
       at += entry_bytes, disk_offset += header.cluster_bytes) {
    const ByteSpan entry = table.subspan(at, entry_bytes);
    const Extent place =
        PlaceOf(header, entry, std::min(header.cluster_bytes, header.disk_bytes - disk_offset));
    if (place.length_bytes == 0 || (place.offset_bytes <= image.size_bytes &&
                                    place.length_bytes <= image.size_bytes - place.offset_bytes)) {
      continue;
    }
    return Fail(CorruptImage(fmt::format(
        "the cluster of the qcow2 image for offset {} of the disk lies at offset {} and needs {} "
        "bytes, but the file ends at {}",
        disk_offset, place.offset_bytes, place.length_bytes, image.size_bytes)));
  }
  return {};
}

}  // namespace

Status CheckQcow2Tables(const ImageFile& image, const Qcow2Header& header) {
  ASR_TRY(const auto tables, ReadTable(image, header, {header.l1_offset_bytes, header.l1_bytes},
                                       kL2TableBits, "L1 table"));
  ASR_CHECK(RequireDistinct(tables, "L1 table"));
  const std::uint64_t entries_a_table = header.cluster_bytes / (header.has_extended_l2 ? 16 : 8);
  std::vector<std::byte> table(header.cluster_bytes);
  for (std::uint64_t i = 0; i < tables.size(); ++i) {
    if (tables[i] == 0) continue;
    ASR_TRY(const auto data, image.file->DataExtents({tables[i], header.cluster_bytes}));
    if (data.empty()) continue;
    ASR_CHECK(image.file->ReadAt(tables[i], table));
    ASR_CHECK(CheckL2Table(image, header, table, i * entries_a_table * header.cluster_bytes));
  }
  return {};
}

}  // namespace asr
