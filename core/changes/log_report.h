// What there is to say about a change log, for people who look into one.
#pragma once

#include <cstdint>
#include <stop_token>
#include <string>

#include "storage/base/result.h"
#include "storage/fs/file_system.h"
#include "storage/hrl/hrl_reader.h"

namespace asr {

struct LogReport {
  HrlSummary summary;
  // Of a log that was closed:
  std::uint64_t block_count = 0;
  std::uint64_t entry_count = 0;
  std::uint64_t data_bytes = 0;         // of all entries, those over holes too
  std::uint64_t checksummed_bytes = 0;  // the part whose checksum was compared; 0: not asked for
};

// Reads header, blocks and entries. A log that was not closed is reported by its header alone.
// Errors: kNotFound, kIo, kCorrupt (kLogCorrupt), kUnsupported (kLogUnsupported), kCancelled when
// the stop was asked for.
[[nodiscard]] Result<LogReport> ReportLog(FileSystem& fs, const std::string& path,
                                          const std::stop_token& stop);

// Reads the data, too. A log that was not closed is kCorrupt (kLogNotClosed).
[[nodiscard]] Result<LogReport> VerifyLog(FileSystem& fs, const std::string& path,
                                          const std::stop_token& stop);

}  // namespace asr
