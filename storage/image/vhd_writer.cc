#include "storage/image/vhd_writer.h"

#include <algorithm>
#include <utility>

#include "storage/base/checksum.h"
#include "storage/base/clock.h"
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
    : file_(std::move(file)),
      size_bytes_(size_bytes),
      places_(DivideRoundingUp<std::uint64_t>(size_bytes, kBlockBytes)),
      end_bytes_(kTableOffset + TableBytes(places_.size())) {}

Status DynamicVhdWriter::Write(std::uint64_t offset_bytes, ByteSpan bytes) {
  while (!bytes.empty()) {
    const std::uint64_t in_block = offset_bytes % kBlockBytes;
    const ByteSpan piece =
        bytes.first(std::min<std::uint64_t>(bytes.size(), kBlockBytes - in_block));
    ASR_TRY(const std::uint64_t place, PlaceFor(offset_bytes / kBlockBytes));
    ASR_CHECK(file_->WriteAt(place + in_block, piece));
    offset_bytes += piece.size();
    bytes = bytes.subspan(piece.size());
  }
  return {};
}

Result<std::uint64_t> DynamicVhdWriter::PlaceFor(std::uint64_t block) {
  const std::lock_guard lock(mutex_);
  std::uint64_t& place = places_[block];
  if (place == 0) {
    // Like Windows: the data, not their bitmap, lie where direct I/O can reach them.
    const std::uint64_t data = AlignUp<std::uint64_t>(end_bytes_ + kBitmapBytes, kDirectAlignment);
    // The whole block at once: writes that move the file's end wait for each other.
    ASR_CHECK(file_->Resize(data + kBlockBytes));
    // All sectors count as written, as with every other writer; those that are not are zeros.
    const std::vector<std::byte> bitmap(kBitmapBytes, std::byte{0xFF});
    ASR_CHECK(file_->WriteAt(data - kBitmapBytes, bitmap));
    place = data;
    end_bytes_ = data + kBlockBytes;
  }
  return place;
}

Status DynamicVhdWriter::WriteTable() {
  std::vector<std::byte> table(TableBytes(places_.size()), std::byte{0xFF});
  for (std::size_t block = 0; block < places_.size(); ++block) {
    const std::uint64_t bitmap = places_[block] - kBitmapBytes;
    StoreBig<std::uint32_t>(
        table, block * sizeof(std::uint32_t),
        places_[block] == 0 ? kNoBlock : static_cast<std::uint32_t>(bitmap / kVhdSectorBytes));
  }
  return file_->WriteAt(kTableOffset, table);
}

Status DynamicVhdWriter::Finish() {
  ASR_CHECK(WriteTable());
  ASR_CHECK(file_->WriteAt(
      kHeaderOffset,
      MakeVhdDynamicHeader({.table_offset_bytes = kTableOffset,
                            .table_entry_count = static_cast<std::uint32_t>(places_.size()),
                            .block_bytes = kBlockBytes})));
  // The footers come last: without them the file is no VHD to anybody.
  ASR_CHECK(file_->Sync());
  const VhdFooter footer =
      MakeDynamicVhdFooter(size_bytes_, RandomBits(), VhdSeconds(SystemClock().Now()));
  ASR_CHECK(file_->WriteAt(0, footer));
  ASR_CHECK(file_->WriteAt(end_bytes_, footer));
  return file_->Sync();
}

}  // namespace asr
