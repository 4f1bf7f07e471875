#include "storage/image/vhd_writer.h"

#include <algorithm>
#include <utility>

#include "storage/base/checksum.h"
#include "storage/base/clock.h"
#include "storage/image/block_pieces.h"
#include "storage/image/vhd_footer.h"
#include "storage/image/vhd_format.h"

namespace asr {
namespace {

constexpr std::uint64_t kBlockBytes = 2 * kMiB;  // what Hyper-V and QEMU write
constexpr std::uint64_t kBitmapBytes = kBlockBytes / kVhdSectorBytes / 8;
constexpr std::uint64_t kHeaderOffset = kVhdFooterBytes;  // behind the copy of the footer
constexpr std::uint64_t kTableOffset = kHeaderOffset + kVhdDynamicHeaderBytes;
constexpr std::uint32_t kNoBlock = 0xFFFFFFFF;

std::uint64_t TableBytes(std::uint64_t block_count) {
  return AlignUp<std::uint64_t>(block_count * sizeof(std::uint32_t), kVhdSectorBytes);
}

}  // namespace

DynamicVhdWriter::DynamicVhdWriter(std::unique_ptr<File> file, std::uint64_t size_bytes)
    : BlockImageWriter(std::move(file), kBlockBytes),
      size_bytes_(size_bytes),
      places_(DivideRoundingUp<std::uint64_t>(size_bytes, kBlockBytes)),
      end_bytes_(kTableOffset + TableBytes(places_.size())) {}

Result<std::unique_ptr<DynamicVhdWriter>> DynamicVhdWriter::Open(std::unique_ptr<File> file,
                                                                 const NewImage& image) {
  std::unique_ptr<DynamicVhdWriter> writer(new DynamicVhdWriter(std::move(file), image.size_bytes));
  for (const Extent& extent : image.data) {
    ASR_CHECK(ForEachBlockPiece(extent, kBlockBytes, [&](std::uint64_t block, auto, auto) {
      std::uint64_t& place = writer->places_[block];
      if (place == 0) place = writer->TakePlace();
      return Status();
    }));
  }
  // Never longer than that: what comes behind it is new, and zeros.
  ASR_CHECK(writer->file().Resize(writer->end_bytes_));
  return writer;
}

std::uint64_t DynamicVhdWriter::PlaceOf(std::uint64_t block) {
  const std::lock_guard lock(mutex_);
  return places_[block];
}

std::uint64_t DynamicVhdWriter::TakePlace() {
  // Like Windows: the data, not their bitmap, lie where direct I/O can reach them.
  const std::uint64_t data = AlignUp<std::uint64_t>(end_bytes_ + kBitmapBytes, kDirectAlignment);
  end_bytes_ = data + kBlockBytes;
  return data;
}

Result<std::uint64_t> DynamicVhdWriter::PlaceFor(std::uint64_t block) {
  const std::lock_guard lock(mutex_);
  std::uint64_t& place = places_[block];
  if (place == 0) {
    const std::uint64_t data = TakePlace();
    // The whole block at once: writes that move the file's end wait for each other.
    ASR_CHECK(file().Resize(end_bytes_));
    place = data;
  }
  return place;
}

// All sectors count as written, as with every other writer; those that are not are zeros.
Status DynamicVhdWriter::WriteBitmaps() {
  const std::vector<std::byte> bitmap(kBitmapBytes, std::byte{0xFF});
  for (const std::uint64_t place : places_) {
    if (place != 0) ASR_CHECK(file().WriteAt(place - kBitmapBytes, bitmap));
  }
  return {};
}

Status DynamicVhdWriter::WriteTable() {
  std::vector<std::byte> table(TableBytes(places_.size()), std::byte{0xFF});
  for (std::size_t block = 0; block < places_.size(); ++block) {
    const std::uint64_t bitmap = places_[block] - kBitmapBytes;
    StoreBig<std::uint32_t>(
        table, block * sizeof(std::uint32_t),
        places_[block] == 0 ? kNoBlock : static_cast<std::uint32_t>(bitmap / kVhdSectorBytes));
  }
  return file().WriteAt(kTableOffset, table);
}

Status DynamicVhdWriter::Finish() {
  ASR_CHECK(WriteBitmaps());
  ASR_CHECK(WriteTable());
  ASR_CHECK(file().WriteAt(
      kHeaderOffset,
      MakeVhdDynamicHeader({.table_offset_bytes = kTableOffset,
                            .table_entry_count = static_cast<std::uint32_t>(places_.size()),
                            .block_bytes = kBlockBytes})));
  // The footers come last: without them the file is no VHD to anybody.
  ASR_CHECK(file().Sync());
  const VhdFooter footer =
      MakeDynamicVhdFooter(size_bytes_, RandomBits(), VhdSeconds(SystemClock().Now()));
  ASR_CHECK(file().WriteAt(0, footer));
  ASR_CHECK(file().WriteAt(end_bytes_, footer));
  return file().Sync();
}

}  // namespace asr
