#include "storage/image/vhdx_metadata.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include <fmt/format.h>

#include "storage/image/image_error.h"
#include "storage/image/vhdx_format.h"
#include "storage/image/vhdx_parent.h"

namespace asr {
namespace {

namespace metadata = vhdx_metadata;

struct Item {
  Guid guid{};
  Extent place;  // relative to the region; empty if the item has no bytes
  bool is_user = false;
  bool is_required = false;
};

Item ParseItem(ByteSpan entry) {
  Item item;
  std::memcpy(item.guid.data(), &entry[metadata::kItem], item.guid.size());
  item.place = {LoadLittle<std::uint32_t>(entry, metadata::kOffset),
                LoadLittle<std::uint32_t>(entry, metadata::kLength)};
  const auto flags = LoadLittle<std::uint32_t>(entry, metadata::kFlags);
  item.is_user = (flags & metadata::kIsUser) != 0;
  item.is_required = (flags & metadata::kIsRequired) != 0;
  return item;
}

Status CheckPlace(const Item& item, std::uint64_t region_bytes) {
  const Extent& place = item.place;
  const bool is_empty = place.length_bytes == 0 && place.offset_bytes == 0;
  if (is_empty ||
      (place.length_bytes > 0 && place.length_bytes <= metadata::kMostItemBytes &&
       place.offset_bytes >= kVhdxMetadataTableBytes && place.end_bytes() <= region_bytes)) {
    return {};
  }
  return Fail(CorruptImage(
      fmt::format("metadata item {} of the VHDX has offset {} and length {}: outside the region",
                  GuidText(item.guid), place.offset_bytes, place.length_bytes)));
}

Status CheckDistinct(std::vector<Item> items) {
  std::sort(items.begin(), items.end(),
            [](const Item& left, const Item& right) { return left.place < right.place; });
  for (std::size_t i = 1; i < items.size(); ++i) {
    if (items[i - 1].place.end_bytes() <= items[i].place.offset_bytes ||
        items[i - 1].place.length_bytes == 0) {
      continue;
    }
    return Fail(CorruptImage(fmt::format("metadata items {} and {} of the VHDX overlap",
                                         GuidText(items[i - 1].guid), GuidText(items[i].guid))));
  }
  std::sort(items.begin(), items.end(), [](const Item& left, const Item& right) {
    return std::tie(left.guid, left.is_user) < std::tie(right.guid, right.is_user);
  });
  for (std::size_t i = 1; i < items.size(); ++i) {
    if (items[i - 1].guid != items[i].guid || items[i - 1].is_user != items[i].is_user) continue;
    return Fail(CorruptImage(
        fmt::format("metadata item {} stands twice in the VHDX", GuidText(items[i].guid))));
  }
  return {};
}

Result<std::vector<Item>> ReadItems(File& file, Extent region) {
  std::vector<std::byte> table(kVhdxMetadataTableBytes);
  ASR_CHECK(file.ReadAt(region.offset_bytes, table));
  const auto count = LoadLittle<std::uint16_t>(table, metadata::kEntryCount);
  if (AsText(table).substr(0, kVhdxMetadataSignature.size()) != kVhdxMetadataSignature ||
      count > kVhdxMostTableEntries) {
    return Fail(CorruptImage(
        fmt::format("there is no metadata table at offset {} of the VHDX", region.offset_bytes)));
  }
  std::vector<Item> items;
  for (std::size_t i = 0; i < count; ++i) {
    items.push_back(ParseItem(ByteSpan(table).subspan(
        metadata::kEntries + i * metadata::kEntryBytes, metadata::kEntryBytes)));
    ASR_CHECK(CheckPlace(items.back(), region.length_bytes));
  }
  ASR_CHECK(CheckDistinct(items));
  return items;
}

// Unknown items are fine unless they are required.
Status CheckAllKnown(const std::vector<Item>& items) {
  constexpr std::array kKnown = {metadata::kFileParameters, metadata::kDiskSize,
                                 metadata::kDiskId,         metadata::kLogicalSector,
                                 metadata::kPhysicalSector, metadata::kParentLocator};
  for (const Item& item : items) {
    if (item.guid == metadata::kIncompleteFile && !item.is_user) {
      return Fail(CorruptImage("the VHDX is unfinished: the program that made it was stopped"));
    }
    const bool is_known =
        !item.is_user && std::find(kKnown.begin(), kKnown.end(), item.guid) != kKnown.end();
    if (is_known || !item.is_required) continue;
    return Fail(UnsupportedImage(fmt::format("the VHDX needs metadata item {}, which is not known "
                                             "here",
                                             GuidText(item.guid)),
                                 "convert it with the Hyper-V that wrote it (Convert-VHD)"));
  }
  return {};
}

// A system item that has bytes; nothing if there is none.
const Item* FindItem(const std::vector<Item>& items, const Guid& guid) {
  const auto found = std::find_if(items.begin(), items.end(), [&](const Item& item) {
    return item.guid == guid && !item.is_user && item.place.length_bytes > 0;
  });
  return found == items.end() ? nullptr : &*found;
}

Error Missing(const Guid& guid, std::string_view what) {
  return CorruptImage(
      fmt::format("metadata item {} ({}) of the VHDX is missing", GuidText(guid), what));
}

Result<std::vector<std::byte>> ReadItem(File& file, Extent region, const Item& item) {
  std::vector<std::byte> bytes(item.place.length_bytes);
  ASR_CHECK(file.ReadAt(region.offset_bytes + item.place.offset_bytes, bytes));
  return bytes;
}

// A number that takes the whole item.
template <class Number>
Result<Number> ReadNumber(File& file, Extent region, const std::vector<Item>& items,
                          const Guid& guid, std::string_view what) {
  const Item* const item = FindItem(items, guid);
  if (item == nullptr || item->place.length_bytes != sizeof(Number))
    return Fail(Missing(guid, what));
  ASR_TRY(const auto bytes, ReadItem(file, region, *item));
  return LoadLittle<Number>(bytes, 0);
}

Result<ParentLink> ReadParent(File& file, Extent region, const std::vector<Item>& items) {
  const Item* const item = FindItem(items, metadata::kParentLocator);
  if (item == nullptr) return Fail(Missing(metadata::kParentLocator, "parent locator"));
  ASR_TRY(const auto bytes, ReadItem(file, region, *item));
  return ParseVhdxParentLocator(bytes);
}

Status CheckValues(const VhdxMetadata& values) {
  if (!std::has_single_bit(values.block_bytes) || values.block_bytes < kVhdxLeastBlockBytes ||
      values.block_bytes > kVhdxMostBlockBytes) {
    return Fail(CorruptImage(
        fmt::format("the block size of the VHDX is {}; it must be a power of two, 1 to 256 MiB",
                    values.block_bytes)));
  }
  if (values.logical_sector_bytes != 512 && values.logical_sector_bytes != 4096) {
    return Fail(
        CorruptImage(fmt::format("the logical sector of the VHDX has {} bytes; 512 and "
                                 "4096 exist",
                                 values.logical_sector_bytes)));
  }
  if (values.disk_bytes == 0 || values.disk_bytes > kVhdxMostDiskBytes ||
      values.disk_bytes % values.logical_sector_bytes != 0) {
    return Fail(CorruptImage(fmt::format(
        "the VHDX gives the disk {} bytes; whole sectors of {} up to 64 TiB are possible",
        values.disk_bytes, values.logical_sector_bytes)));
  }
  return {};
}

}  // namespace

Result<VhdxMetadata> ReadVhdxMetadata(File& file, Extent region) {
  ASR_TRY(const std::vector<Item> items, ReadItems(file, region));
  ASR_CHECK(CheckAllKnown(items));
  ASR_TRY(const auto parameters,
          ReadNumber<std::uint64_t>(file, region, items, metadata::kFileParameters, "parameters"));
  VhdxMetadata values;
  values.block_bytes = parameters & 0xFFFFFFFF;
  const auto flags = static_cast<std::uint32_t>(parameters >> 32);
  values.leave_blocks_allocated = (flags & metadata::kLeaveBlocksAllocated) != 0;
  ASR_TRY(values.disk_bytes,
          ReadNumber<std::uint64_t>(file, region, items, metadata::kDiskSize, "disk size"));
  ASR_TRY(values.logical_sector_bytes,
          ReadNumber<std::uint32_t>(file, region, items, metadata::kLogicalSector, "sector size"));
  if (FindItem(items, metadata::kPhysicalSector) != nullptr) {
    ASR_TRY(values.physical_sector_bytes,
            ReadNumber<std::uint32_t>(file, region, items, metadata::kPhysicalSector,
                                      "physical sector size"));
  }
  if ((flags & metadata::kHasParent) != 0) {
    ASR_TRY(values.parent, ReadParent(file, region, items));
  }
  ASR_CHECK(CheckValues(values));
  return values;
}

}  // namespace asr
