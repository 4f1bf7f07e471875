#include "tests/fuzz/fuzzed_image.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "storage/image/disk.h"
#include "tests/support/disk_content.h"
#include "tests/support/image_in_memory.h"
#include "tests/support/temp_dir.h"
#include "tests/support/vhd_builder.h"
#include "tests/support/vhdx_builder.h"

namespace asr::testing {
namespace {

constexpr std::size_t kMostImageBytes = 16 * kMiB;
constexpr std::size_t kRecordHeaderBytes = 6;

DiskContent ContentOfSeeds() {
  DiskContent content(3 * kMiB);
  content.AddPiece(512, 512);
  content.AddPiece(2 * kMiB - 512, 1024);
  return content;
}

template <class Builder>
std::vector<std::byte> BytesOf(const Builder& builder) {
  const TempDir directory;
  builder.Write(directory / "image");
  return ImageInMemory(directory / "image").bytes();
}

}  // namespace

FuzzedImage UnpackImage(ByteSpan input) {
  FuzzedImage image;
  if (input.empty()) return image;
  image.sealed = (std::to_integer<std::uint8_t>(input[0]) & kSealed) != 0;
  input = input.subspan(1);
  while (input.size() > kRecordHeaderBytes) {
    const std::size_t offset = LoadLittle<std::uint32_t>(input, 0) % kMostImageBytes;
    const std::size_t wanted = LoadLittle<std::uint16_t>(input, 4);
    input = input.subspan(kRecordHeaderBytes);
    const std::size_t count = std::min({wanted, input.size(), kMostImageBytes - offset});
    if (image.bytes.size() < offset + count) image.bytes.resize(offset + count);
    if (count > 0) std::memcpy(image.bytes.data() + offset, input.data(), count);
    input = input.subspan(count);
  }
  return image;
}

std::vector<std::byte> PackImage(ByteSpan image, bool sealed) {
  constexpr std::size_t kPieceBytes = 64;
  constexpr std::size_t kMostOfARun = 4 * kKiB;  // what is longer is payload
  constexpr std::size_t kFooterBytes = 512;
  std::vector<std::byte> packed = {static_cast<std::byte>(sealed ? kSealed : 0)};
  const auto add = [&](std::size_t offset, std::size_t count) {
    const std::size_t at = packed.size();
    packed.resize(at + kRecordHeaderBytes);
    StoreLittle<std::uint32_t>(packed, at, static_cast<std::uint32_t>(offset));
    StoreLittle<std::uint16_t>(packed, at + 4, static_cast<std::uint16_t>(count));
    const ByteSpan bytes = image.subspan(offset, count);
    packed.insert(packed.end(), bytes.begin(), bytes.end());
  };
  const std::size_t footer = image.size() - std::min(image.size(), kFooterBytes);
  std::size_t run_bytes = 0;
  for (std::size_t offset = 0; offset < footer; offset += kPieceBytes) {
    const std::size_t count = std::min(kPieceBytes, footer - offset);
    run_bytes = IsZero(image.subspan(offset, count)) ? 0 : run_bytes + count;
    if (run_bytes > 0 && run_bytes <= kMostOfARun) add(offset, count);
  }
  add(footer, image.size() - footer);
  return packed;
}

FuzzedParent VhdParentOfSeeds() {
  const DiskContent content = ContentOfSeeds();
  VhdBuilder parent(content);
  parent.block_bytes = 256 * 1024;
  parent.unique_id = VhdBuilder::IdOf(7);
  return {"base.vhd", BytesOf(parent)};
}

FuzzedParent VhdxParentOfSeeds() {
  const DiskContent content = ContentOfSeeds();
  VhdxBuilder parent(content);
  parent.data_write_guid = VhdxBuilder::GuidOf(7);
  return {"base.vhdx", BytesOf(parent)};
}

void ReadImage(std::vector<std::byte> bytes, const std::string& name, const FuzzedParent& parent) {
  ImageInMemory memory(std::move(bytes));
  memory.AddBeside(JoinPath(ParentOf(name), parent.name), parent.bytes);
  const auto disk = OpenDisk(memory, name);
  if (!disk) return;
  std::vector<std::byte> out(256 * kKiB);
  const std::uint64_t size = (*disk)->size_bytes();
  const auto read = [&](std::uint64_t offset) {
    const std::uint64_t count = std::min<std::uint64_t>(out.size(), size - offset);
    static_cast<void>((*disk)->Read(offset, MutableByteSpan(out).first(count)).has_value());
  };
  read(0);
  read(size - std::min<std::uint64_t>(size, out.size()));
  const auto extents = (*disk)->AllocatedExtents({0, kGiB});
  if (!extents) return;
  for (std::size_t i = 0; i < std::min<std::size_t>(extents->size(), 8); ++i) {
    read((*extents)[i].offset_bytes);
  }
}

}  // namespace asr::testing
