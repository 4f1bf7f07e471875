#include "storage/image/vhdx_log.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "storage/base/checksum.h"
#include "storage/image/image_error.h"
#include "storage/image/vhdx_format.h"

namespace asr {
namespace {

namespace entry_header {  // 2.3.1.1: offsets in an entry
constexpr std::string_view kSignature = "loge";
constexpr std::size_t kChecksum = 4;
constexpr std::size_t kLength = 8;
constexpr std::size_t kTail = 12;
constexpr std::size_t kSequenceNumber = 16;
constexpr std::size_t kDescriptorCount = 24;
constexpr std::size_t kLogGuid = 32;
constexpr std::size_t kFlushedFileOffset = 48;
constexpr std::size_t kLastFileOffset = 56;
}  // namespace entry_header

namespace descriptor {  // 2.3.1.2, 2.3.1.3: offsets in a descriptor
constexpr std::string_view kZeroSignature = "zero";
constexpr std::string_view kDataSignature = "desc";
constexpr std::size_t kBytes = 32;
constexpr std::size_t kTrailing = 4;
constexpr std::size_t kLeading = 8;  // of a zero descriptor: its length
constexpr std::size_t kFileOffset = 16;
constexpr std::size_t kSequenceNumber = 24;
// The entry's header takes the room of two.
constexpr std::uint64_t kInHeader = 2;
}  // namespace descriptor

namespace data_sector {  // 2.3.1.4
constexpr std::string_view kSignature = "data";
constexpr std::size_t kSequenceHigh = 4;
constexpr std::size_t kSequenceLow = 4092;
}  // namespace data_sector

constexpr std::uint64_t kLogSectorBytes = LogPatch::kSectorBytes;
constexpr std::uint64_t kMostLogBytes = kGiB;
constexpr std::size_t kMostPatches = 256 * kKiB;
// An old entry that newer ones overwrote in part is checksummed once more; that log which goes far
// beyond was made to keep us busy.
constexpr std::uint64_t kMostReadsOfTheLog = 8;
constexpr std::uint64_t kFirstTarget = 192 * kKiB;  // the headers never go through the log

struct Entry {
  std::uint64_t position = 0;  // in the log
  std::uint64_t length_bytes = 0;
  std::uint64_t tail = 0;  // position of the first entry that counts while this is the last
  std::uint64_t sequence_number = 0;
  std::uint64_t descriptor_count = 0;
  std::uint64_t flushed_file_bytes = 0;
  std::uint64_t last_file_bytes = 0;

  [[nodiscard]] std::uint64_t descriptor_sectors() const {
    return DivideRoundingUp((descriptor_count + descriptor::kInHeader) * descriptor::kBytes,
                            kLogSectorBytes);
  }
  [[nodiscard]] std::uint64_t sectors() const { return length_bytes / kLogSectorBytes; }
};

Error Unreplayable(std::string what) {
  return MakeError(ErrorKind::kCorrupt, ErrorCode::kImageDirtyLog, std::move(what))
      .WithCause("the file was cut, damaged, or copied while its VM ran")
      .WithAction(
          "bring the file from its host again, with the VM shut down; Test-VHD and "
          "Mount-VHD on Hyper-V say whether the original is whole");
}

class LogReader {
 public:
  LogReader(File& file, const VhdxHeader& header)
      : file_(file), log_(header.log), guid_(header.log_guid) {}

  // The entries to replay, oldest first. Empty if there is no sequence that counts.
  Result<std::vector<Entry>> FindActiveSequence();
  // Adds what the entry, which is whole, changes.
  Status AddPatches(const Entry& entry, std::vector<LogPatch>& patches);

 private:
  // The whole entry at `position`, or nothing.
  Result<std::optional<Entry>> EntryAt(std::uint64_t position);
  Result<std::optional<Entry>> ParseEntry(std::uint64_t position);
  Result<bool> HasItsChecksum(const Entry& entry);
  // The data sectors that an entry's descriptors ask for carry its number.
  Result<bool> IsComplete(const Entry& entry);
  Result<std::vector<Entry>> RunFrom(std::uint64_t position);
  Status ReadSector(const Entry& entry, std::uint64_t index, MutableByteSpan out);
  // Calls visit(descriptor) for each; stops when that says false, and returns whether it ended.
  template <class Visit>
  Result<bool> ForEachDescriptor(const Entry& entry, Visit visit);

  std::uint64_t PlaceOf(const Entry& entry, std::uint64_t index) const {
    return log_.offset_bytes + (entry.position + index * kLogSectorBytes) % log_.length_bytes;
  }

  File& file_;
  Extent log_;
  Guid guid_;
  std::map<std::uint64_t, std::optional<Entry>> known_;  // those that were checksummed
  std::uint64_t read_bytes_ = 0;
};

Status LogReader::ReadSector(const Entry& entry, std::uint64_t index, MutableByteSpan out) {
  return file_.ReadAt(PlaceOf(entry, index), out);
}

template <class Visit>
Result<bool> LogReader::ForEachDescriptor(const Entry& entry, Visit visit) {
  constexpr std::uint64_t kInSector = kLogSectorBytes / descriptor::kBytes;
  std::array<std::byte, kLogSectorBytes> sector{};
  std::uint64_t slot = descriptor::kInHeader;
  for (std::uint64_t i = 0; i < entry.descriptor_count; ++i, ++slot) {
    if (i == 0 || slot % kInSector == 0) ASR_CHECK(ReadSector(entry, slot / kInSector, sector));
    ASR_TRY(const bool go_on, visit(ByteSpan(sector).subspan(slot % kInSector * descriptor::kBytes,
                                                             descriptor::kBytes)));
    if (!go_on) return false;
  }
  return true;
}

Result<bool> LogReader::HasItsChecksum(const Entry& entry) {
  read_bytes_ += entry.length_bytes;
  if (read_bytes_ > kMostReadsOfTheLog * log_.length_bytes) {
    return Fail(Unreplayable("the entries of the log of the VHDX lie one over the other"));
  }
  constexpr std::uint64_t kPieceBytes = 256 * kKiB;
  std::vector<std::byte> piece(std::min(kPieceBytes, entry.length_bytes));
  std::uint32_t computed = 0;
  std::uint32_t stored = 0;
  for (std::uint64_t done = 0; done < entry.length_bytes;) {
    const std::uint64_t in_log = (entry.position + done) % log_.length_bytes;
    const std::uint64_t count =
        std::min({kPieceBytes, entry.length_bytes - done, log_.length_bytes - in_log});
    const MutableByteSpan bytes = MutableByteSpan(piece).first(count);
    ASR_CHECK(file_.ReadAt(log_.offset_bytes + in_log, bytes));
    if (done == 0) {
      stored = LoadLittle<std::uint32_t>(bytes, entry_header::kChecksum);
      StoreLittle<std::uint32_t>(bytes, entry_header::kChecksum, 0);
    }
    computed = Crc32c(bytes, computed);
    done += count;
  }
  return stored == computed;
}

Result<bool> LogReader::IsComplete(const Entry& entry) {
  std::uint64_t next_sector = entry.descriptor_sectors();
  std::array<std::byte, kLogSectorBytes> sector{};
  return ForEachDescriptor(entry, [&](ByteSpan bytes) -> Result<bool> {
    const bool is_data = CarriesSignature(bytes, descriptor::kDataSignature);
    if (!is_data && !CarriesSignature(bytes, descriptor::kZeroSignature)) return false;
    if (LoadLittle<std::uint64_t>(bytes, descriptor::kSequenceNumber) != entry.sequence_number ||
        LoadLittle<std::uint64_t>(bytes, descriptor::kFileOffset) % kLogSectorBytes != 0) {
      return false;
    }
    if (!is_data) {
      return LoadLittle<std::uint64_t>(bytes, descriptor::kLeading) % kLogSectorBytes == 0;
    }
    if (next_sector >= entry.sectors()) return false;
    ASR_CHECK(ReadSector(entry, next_sector++, sector));
    const std::uint64_t high = LoadLittle<std::uint32_t>(sector, data_sector::kSequenceHigh);
    const std::uint64_t low = LoadLittle<std::uint32_t>(sector, data_sector::kSequenceLow);
    return CarriesSignature(sector, data_sector::kSignature) &&
           (high << 32 | low) == entry.sequence_number;
  });
}

Result<std::optional<Entry>> LogReader::ParseEntry(std::uint64_t position) {
  std::array<std::byte, 64> bytes{};
  ASR_CHECK(file_.ReadAt(log_.offset_bytes + position, bytes));
  const Entry entry{
      .position = position,
      .length_bytes = LoadLittle<std::uint32_t>(bytes, entry_header::kLength),
      .tail = LoadLittle<std::uint32_t>(bytes, entry_header::kTail),
      .sequence_number = LoadLittle<std::uint64_t>(bytes, entry_header::kSequenceNumber),
      .descriptor_count = LoadLittle<std::uint32_t>(bytes, entry_header::kDescriptorCount),
      .flushed_file_bytes = LoadLittle<std::uint64_t>(bytes, entry_header::kFlushedFileOffset),
      .last_file_bytes = LoadLittle<std::uint64_t>(bytes, entry_header::kLastFileOffset)};
  if (!CarriesSignature(bytes, entry_header::kSignature) ||
      !std::ranges::equal(ByteSpan(bytes).subspan(entry_header::kLogGuid, guid_.size()), guid_) ||
      entry.length_bytes == 0 || entry.length_bytes % kLogSectorBytes != 0 ||
      entry.length_bytes > log_.length_bytes || entry.tail % kLogSectorBytes != 0 ||
      entry.tail >= log_.length_bytes || entry.sequence_number == 0 ||
      entry.descriptor_sectors() > entry.sectors()) {
    return std::optional<Entry>{};
  }
  ASR_TRY(const bool is_intact, HasItsChecksum(entry));
  if (!is_intact) return std::optional<Entry>{};
  ASR_TRY(const bool is_complete, IsComplete(entry));
  return is_complete ? std::optional(entry) : std::nullopt;
}

Result<std::optional<Entry>> LogReader::EntryAt(std::uint64_t position) {
  if (const auto found = known_.find(position); found != known_.end()) return found->second;
  const std::uint64_t read_before = read_bytes_;
  ASR_TRY(const std::optional<Entry> entry, ParseEntry(position));
  if (read_bytes_ != read_before) known_.emplace(position, entry);
  return entry;
}

// Entries whose numbers follow each other, as far as they go round the ring once.
Result<std::vector<Entry>> LogReader::RunFrom(std::uint64_t position) {
  std::vector<Entry> run;
  std::uint64_t total_bytes = 0;
  while (true) {
    ASR_TRY(const std::optional<Entry> entry, EntryAt(position));
    if (!entry) return run;
    if (!run.empty() && entry->sequence_number != run.back().sequence_number + 1) return run;
    total_bytes += entry->length_bytes;
    if (total_bytes > log_.length_bytes) return run;
    run.push_back(*entry);
    position = (position + entry->length_bytes) % log_.length_bytes;
  }
}

Result<std::vector<Entry>> LogReader::FindActiveSequence() {
  std::vector<Entry> best;
  for (std::uint64_t position = 0; position < log_.length_bytes;) {
    ASR_TRY(std::vector<Entry> run, RunFrom(position));
    if (run.empty()) {
      position += kLogSectorBytes;
      continue;
    }
    const Entry head = run.back();
    const auto tail = std::ranges::find(run, head.tail, &Entry::position);
    if (tail != run.end() && (best.empty() || head.sequence_number > best.back().sequence_number)) {
      best.assign(tail, run.end());
    }
    // Runs that begin inside this one end where it ends.
    if (head.position < position) break;
    position = head.position + head.length_bytes;
  }
  return best;
}

Status LogReader::AddPatches(const Entry& entry, std::vector<LogPatch>& patches) {
  std::uint64_t next_sector = entry.descriptor_sectors();
  const auto add = [&](ByteSpan bytes) -> Result<bool> {
    LogPatch patch;
    patch.is_zeros = CarriesSignature(bytes, descriptor::kZeroSignature);
    patch.target = {LoadLittle<std::uint64_t>(bytes, descriptor::kFileOffset), kLogSectorBytes};
    if (patch.is_zeros) {
      patch.target.length_bytes = LoadLittle<std::uint64_t>(bytes, descriptor::kLeading);
    } else {
      patch.sector_offset = PlaceOf(entry, next_sector++);
      std::ranges::copy(bytes.subspan(descriptor::kLeading, 8), patch.leading.begin());
      std::ranges::copy(bytes.subspan(descriptor::kTrailing, 4), patch.trailing.begin());
    }
    if (patch.target.length_bytes == 0) return true;
    const Extent& target = patch.target;
    if (target.offset_bytes < kFirstTarget || target.offset_bytes > kVhdxMostFileBytes ||
        target.length_bytes > kVhdxMostFileBytes ||
        (target.offset_bytes < log_.end_bytes() && log_.offset_bytes < target.end_bytes())) {
      return Fail(Unreplayable(fmt::format(
          "the log of the VHDX changes {} bytes at offset {}: headers, the log itself, or nothing "
          "that a file can have",
          target.length_bytes, target.offset_bytes)));
    }
    if (patches.size() == kMostPatches) {
      return Fail(UnsupportedImage(
          fmt::format("the log of the VHDX changes more than {} places", kMostPatches),
          "mount and dismount the disk once on its host, which replays the log"));
    }
    patches.push_back(patch);
    return true;
  };
  ASR_CHECK(ForEachDescriptor(entry, add));
  return {};
}

}  // namespace

Result<VhdxReplay> ReadVhdxLog(File& file, std::uint64_t file_bytes, const VhdxHeader& header) {
  if (header.log_version != 0 || header.log.length_bytes > kMostLogBytes) {
    return Fail(UnsupportedImage(
        fmt::format("the log of the VHDX has version {} and {} bytes; known are version 0 and up "
                    "to {} bytes",
                    header.log_version, header.log.length_bytes, kMostLogBytes),
        "mount and dismount the disk once on its host, which replays the log"));
  }
  LogReader log(file, header);
  ASR_TRY(const std::vector<Entry> sequence, log.FindActiveSequence());
  if (sequence.empty()) {
    return Fail(Unreplayable(
        fmt::format("the log of the VHDX at offset {} must be replayed, but holds no whole "
                    "sequence of entries",
                    header.log.offset_bytes)));
  }
  const Entry& head = sequence.back();
  if (head.flushed_file_bytes > file_bytes || head.last_file_bytes > kVhdxMostFileBytes) {
    return Fail(Unreplayable(fmt::format(
        "the file ends at {}, its log says that {} bytes were written to it, and {} reserved",
        file_bytes, head.flushed_file_bytes, head.last_file_bytes)));
  }
  VhdxReplay replay{.patches = {},
                    .file_bytes = std::max(file_bytes, head.last_file_bytes),
                    .entry_count = sequence.size()};
  for (const Entry& entry : sequence) ASR_CHECK(log.AddPatches(entry, replay.patches));
  for (const LogPatch& patch : replay.patches) {
    replay.file_bytes = std::max(replay.file_bytes, patch.target.end_bytes());
  }
  return replay;
}

}  // namespace asr
