#include "storage/image/qcow2_tables.h"

#include <algorithm>
#include <bit>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "storage/image/file_claims.h"
#include "storage/image/image_error.h"

namespace asr {
namespace {

constexpr std::uint64_t kRefcountBlockBits = 0xFFFF'FFFF'FFFF'FE00;
constexpr std::uint64_t kL2TableBits = 0x00FF'FFFF'FFFF'FE00;
constexpr std::uint64_t kDataClusterBits = 0x00FF'FFFF'FFFF'FE00;
constexpr std::uint64_t kCopied = std::uint64_t{1} << 63;  // there is a cluster, of its own
constexpr std::uint64_t kCompressed = std::uint64_t{1} << 62;
constexpr std::uint64_t kClusterIsZeros = 1;  // without extended entries
constexpr std::uint64_t kCompressedSectorBytes = 512;
constexpr std::uint64_t kSubclustersACluster = 32;

// Where an L2 entry says that a cluster of the disk lies.
struct ClusterPlace {
  Extent extent;  // in the file, what the disk needs of it; empty where it gives none
  bool is_compressed = false;
  bool is_copied = false;
};

// Of a cluster that is not compressed: how much of it the disk needs, of `most_bytes`.
std::uint64_t NeededBytes(const Qcow2Header& header, ByteSpan entry, std::uint64_t most_bytes) {
  if (!header.has_extended_l2) {
    return (LoadBig<std::uint64_t>(entry, 0) & kClusterIsZeros) != 0 ? 0 : most_bytes;
  }
  const auto allocated = static_cast<std::uint32_t>(LoadBig<std::uint64_t>(entry, 8));
  const auto subclusters = static_cast<std::uint64_t>(std::bit_width(allocated));
  return std::min(subclusters * (header.cluster_bytes / kSubclustersACluster), most_bytes);
}

// `most_bytes`: of the cluster inside the disk.
ClusterPlace PlaceOf(const Qcow2Header& header, ByteSpan entry, std::uint64_t most_bytes) {
  const auto value = LoadBig<std::uint64_t>(entry, 0);
  if ((value & kCompressed) == 0) {
    const std::uint64_t place = value & kDataClusterBits;
    const bool is_copied = (value & kCopied) != 0;
    const bool is_there = place != 0 || is_copied;
    return {.extent = {place, is_there ? NeededBytes(header, entry, most_bytes) : 0},
            .is_copied = is_copied};
  }
  // Below bit 62 lie the count of further sectors, of as many bits as a cluster has more than 8,
  // and the place. The data may end before its last sector does.
  const int place_bits = 62 - (std::countr_zero(header.cluster_bytes) - 8);
  const std::uint64_t place = value & ((std::uint64_t{1} << place_bits) - 1);
  const std::uint64_t further_sectors = (value & (kCompressed - 1)) >> place_bits;
  const std::uint64_t last_sector =
      AlignDown(place, kCompressedSectorBytes) + further_sectors * kCompressedSectorBytes;
  return {.extent = {place, std::max(last_sector, place) + 1 - place},
          .is_compressed = true,
          .is_copied = (value & kCopied) != 0};
}

// One walk over all tables of an image. Whoever comes second to a cluster is wrong, or the first
// is: one flipped bit of an entry is enough for another's bytes to be read. Compressed clusters may
// share theirs, and what belongs to internal snapshots alone is not looked at.
class TableCheck {
 public:
  TableCheck(const ImageFile& image, const Qcow2Header& header)
      : image_(image), header_(header), claims_(image.size_bytes, header.cluster_bytes) {}

  Status Run() {
    static_cast<void>(claims_.Claim({0, 1}));  // the header; the first cannot fail
    ASR_CHECK(ClaimRefcounts());
    ASR_TRY(auto tables, ReadTable({header_.l1_offset_bytes, header_.l1_bytes}, "L1 table"));
    for (std::size_t i = 0; i < tables.size(); ++i) {
      const bool is_there = (tables[i] & (kL2TableBits | kCopied)) != 0;
      tables[i] &= kL2TableBits;
      if (is_there) ASR_CHECK(ClaimCluster("L1 table", i, tables[i]));
    }
    const std::uint64_t entries_a_table =
        header_.cluster_bytes / (header_.has_extended_l2 ? 16 : 8);
    std::vector<std::byte> table(header_.cluster_bytes);
    for (std::size_t i = 0; i < tables.size(); ++i) {
      if (tables[i] == 0) continue;
      // A table of holes costs nothing: what the file has allocated bounds the time, not what its
      // tables say.
      ASR_TRY(const auto data, image_.file->DataExtents({tables[i], header_.cluster_bytes}));
      if (data.empty()) continue;
      ASR_CHECK(image_.file->ReadAt(tables[i], table));
      ASR_CHECK(CheckL2Table(table, i * entries_a_table * header_.cluster_bytes));
    }
    return {};
  }

 private:
  Result<std::vector<std::uint64_t>> ReadTable(Extent table, std::string_view name) {
    if (table.offset_bytes > image_.size_bytes ||
        table.length_bytes > image_.size_bytes - table.offset_bytes) {
      return Fail(CorruptImage(fmt::format(
          "the {} of the qcow2 image, {} bytes at offset {}, passes the file's end at {}", name,
          table.length_bytes, table.offset_bytes, image_.size_bytes)));
    }
    if (!claims_.Claim(table)) {
      return Fail(CorruptImage(fmt::format(
          "the {} of the qcow2 image, {} bytes at offset {}, overlaps the header or another table",
          name, table.length_bytes, table.offset_bytes)));
    }
    std::vector<std::byte> bytes(table.length_bytes);
    ASR_CHECK(image_.file->ReadAt(table.offset_bytes, bytes));
    std::vector<std::uint64_t> entries(bytes.size() / sizeof(std::uint64_t));
    for (std::size_t i = 0; i < entries.size(); ++i) {
      entries[i] = LoadBig<std::uint64_t>(bytes, i * sizeof(std::uint64_t));
    }
    return entries;
  }

  Status ClaimRefcounts() {
    ASR_TRY(const auto entries,
            ReadTable({header_.refcount_table_offset_bytes, header_.refcount_table_bytes},
                      "refcount table"));
    for (std::size_t i = 0; i < entries.size(); ++i) {
      const std::uint64_t block = entries[i] & kRefcountBlockBits;
      // After a power loss, one may lie past the file's end; a reader needs none.
      if (block == 0 || block >= image_.size_bytes) continue;
      ASR_CHECK(ClaimCluster("refcount table", i, block));
    }
    return {};
  }

  // The one that entry `index` of a table gives.
  Status ClaimCluster(std::string_view table, std::size_t index, std::uint64_t offset_bytes) {
    if (offset_bytes % header_.cluster_bytes != 0 || offset_bytes >= image_.size_bytes ||
        image_.size_bytes - offset_bytes < header_.cluster_bytes) {
      return Fail(CorruptImage(
          fmt::format("entry {} of the {} of the qcow2 image gives offset {}, which is no cluster "
                      "of {} bytes in a file of {}",
                      index, table, offset_bytes, header_.cluster_bytes, image_.size_bytes)));
    }
    if (claims_.Claim({offset_bytes, header_.cluster_bytes})) return {};
    return Fail(CorruptImage(fmt::format(
        "entry {} of the {} of the qcow2 image gives offset {}, where another table lies", index,
        table, offset_bytes)));
  }

  Status CheckL2Table(ByteSpan table, std::uint64_t disk_offset) {
    const std::size_t entry_bytes = header_.has_extended_l2 ? 16 : 8;
    for (std::size_t at = 0; at < table.size() && disk_offset < header_.disk_bytes;
         at += entry_bytes, disk_offset += header_.cluster_bytes) {
      const std::uint64_t most = std::min(header_.cluster_bytes, header_.disk_bytes - disk_offset);
      const ClusterPlace place = PlaceOf(header_, table.subspan(at, entry_bytes), most);
      ASR_CHECK(CheckPlace(place, disk_offset));
    }
    return {};
  }

  Status CheckPlace(const ClusterPlace& place, std::uint64_t disk_offset) {
    const std::uint64_t offset = place.extent.offset_bytes;
    const std::uint64_t length = place.extent.length_bytes;
    const auto refuse = [&](std::string_view why) {
      return CorruptImage(fmt::format(
          "the cluster of the qcow2 image for offset {} of the disk lies at offset {}{}",
          disk_offset, offset, why));
    };
    if (!place.is_compressed && offset % header_.cluster_bytes != 0) {
      return Fail(refuse(fmt::format(", which is no multiple of {}", header_.cluster_bytes)));
    }
    if (length == 0) return {};
    if (place.is_compressed && place.is_copied) {
      return Fail(refuse(" and is compressed, yet marked to be written in place (bit 63)"));
    }
    if (offset > image_.size_bytes || length > image_.size_bytes - offset) {
      Error error = refuse(
          fmt::format(" and needs {} bytes, but the file ends at {}", length, image_.size_bytes));
      const bool is_last = offset == AlignDown(image_.size_bytes, header_.cluster_bytes);
      return Fail(is_last ? MayBeShort(std::move(error)) : std::move(error));
    }
    if (place.is_compressed || claims_.Claim(place.extent)) return {};
    return Fail(refuse(", where a table or another cluster of the disk lies"));
  }

  [[nodiscard]] Error MayBeShort(Error error) const {
    return std::move(error)
        .WithCause(
            "some QEMU left the last cluster short when it grew an image that was made with "
            "preallocation")
        .WithAction(fmt::format(
            "compare the file with where it came from; if nothing of it is missing, make its last "
            "cluster whole while the VM is off: truncate -s %{} {} (or make a new image of it: "
            "qemu-img convert -O qcow2)",
            header_.cluster_bytes, image_.path));
  }

  const ImageFile& image_;
  const Qcow2Header& header_;
  FileClaims claims_;
};

}  // namespace

Status CheckQcow2Tables(const ImageFile& image, const Qcow2Header& header) {
  return TableCheck(image, header).Run();
}

}  // namespace asr
