// Puts a log into a VHDX for tests, from [MS-VHDX] 8.0 section 2.3. It shares nothing with the
// reader that it tests.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "storage/base/bytes.h"
#include "tests/support/vhdx_builder.h"

namespace asr::testing {

inline constexpr std::uint64_t kVhdxLogSectorBytes = 4096;

struct VhdxLogEntry {
  std::map<std::uint64_t, std::vector<std::byte>> sectors;  // file offset -> what belongs there
  std::vector<Extent> zeros;                                // of the file
  std::optional<std::uint32_t> tail;                        // default: that of the first entry
  std::optional<std::uint64_t> flushed_file_offset;         // default: the whole file
  std::optional<std::uint64_t> last_file_offset;            // default: the whole file
  // Changes made before the checksum is taken.
  std::function<void(MutableByteSpan entry)> edit;
};

class VhdxLogBuilder {
 public:
  // Marks the file's log as one to be replayed: its GUID goes into both headers. The numbers of
  // Windows begin as high as this one.
  explicit VhdxLogBuilder(std::string vhdx_path,
                          std::uint64_t first_sequence_number = 80'117'443'871'106'387);

  // Takes the range, made of sectors of 4 KiB, out of the file: what is in it goes into the entry
  // and stale bytes into the file, as if the host had stopped before writing it.
  void Undo(Extent range, VhdxLogEntry& entry) const;

  // Writes the entry into the ring, behind the last one. Returns where it begins there.
  std::uint32_t Append(const VhdxLogEntry& entry);

  // Both headers, with new checksums.
  void EditHeaders(const std::function<void(MutableByteSpan header)>& edit) const;

  [[nodiscard]] const Extent& log() const { return log_; }

  // Of the next entry.
  std::uint32_t next_offset = 0;  // in the ring
  std::uint64_t next_sequence_number;
  VhdxBuilder::GuidBytes guid = VhdxBuilder::GuidOf(0x77);

 private:
  [[nodiscard]] std::vector<std::byte> EntryBytes(const VhdxLogEntry& entry) const;

  std::string path_;
  Extent log_;
  std::uint64_t file_bytes_;
  std::optional<std::uint32_t> first_offset_;
};

}  // namespace asr::testing
