// Reads a change log, of ours or of Hyper-V (man/asr-hrl.5).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "storage/fs/file_system.h"
#include "storage/hrl/hrl_format.h"

namespace asr {

struct HrlSummary {
  HrlHeader header;
  std::uint64_t file_bytes = 0;
  std::vector<std::string> warnings;
};

// The header alone, also of a log that was not closed. Errors: kNotFound, kIo, and those of
// DecodeHrlHeader.
[[nodiscard]] Result<HrlSummary> ReadHrlSummary(FileSystem& fs, const std::string& path);

// ReadData may be called from several threads.
class HrlReader {
 public:
  // Walks over all blocks, and checks what man/asr-hrl.5 says, but for entries and data: 8 bytes of
  // memory for each block. kCorrupt (kLogNotClosed) for a log that was not closed, (kLogCorrupt)
  // for one that is not whole; kUnsupported (kLogUnsupported).
  [[nodiscard]] static Result<HrlReader> Open(FileSystem& fs, const std::string& path);

  [[nodiscard]] const HrlHeader& header() const { return summary_.header; }
  [[nodiscard]] const HrlSummary& summary() const { return summary_; }
  [[nodiscard]] std::size_t block_count() const { return blocks_.size(); }

  // The entries of one block, in the order of the log, all checked.
  [[nodiscard]] Result<std::vector<HrlEntry>> ReadBlock(std::size_t index) const;

  // `out.size()` bytes of the entry's data, from `skip_bytes` on.
  [[nodiscard]] Status ReadData(const HrlEntry& entry, std::uint64_t skip_bytes,
                                MutableByteSpan out) const;
  // Reads the data and compares it with its checksum, where it has one.
  [[nodiscard]] Status VerifyData(const HrlEntry& entry) const;

 private:
  HrlReader(std::string path, HrlSummary summary, std::unique_ptr<File> file);
  [[nodiscard]] Status FindBlocks();
  [[nodiscard]] Status CheckEnd() const;

  std::string path_;
  HrlSummary summary_;
  std::unique_ptr<File> file_;
  std::vector<std::uint64_t> blocks_;  // where they begin, in the order of the log
};

}  // namespace asr
