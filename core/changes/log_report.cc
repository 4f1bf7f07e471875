#include "core/changes/log_report.h"

#include <utility>

#include "storage/base/stop.h"

namespace asr {
namespace {

Result<LogReport> ReadLog(FileSystem& fs, const std::string& path, bool with_data,
                          const std::stop_token& stop) {
  ASR_TRY(const HrlReader reader, HrlReader::Open(fs, path));
  LogReport report{.summary = reader.summary(), .block_count = reader.block_count()};
  for (std::size_t i = 0; i < reader.block_count(); ++i) {
    ASR_TRY(const auto entries, reader.ReadBlock(i));
    for (const HrlEntry& entry : entries) {
      ASR_CHECK(CheckStop(stop));
      ++report.entry_count;
      report.data_bytes += entry.disk.length_bytes;
      if (!with_data || entry.data_checksum == 0) continue;
      ASR_CHECK(reader.VerifyData(entry));
      report.checksummed_bytes += entry.disk.length_bytes;
    }
  }
  return report;
}

}  // namespace

Result<LogReport> ReportLog(FileSystem& fs, const std::string& path, const std::stop_token& stop) {
  ASR_TRY(HrlSummary summary, ReadHrlSummary(fs, path));
  if (!summary.header.is_closed()) return LogReport{.summary = std::move(summary)};
  return ReadLog(fs, path, /*with_data=*/false, stop);
}

Result<LogReport> VerifyLog(FileSystem& fs, const std::string& path, const std::stop_token& stop) {
  return ReadLog(fs, path, /*with_data=*/true, stop);
}

}  // namespace asr
