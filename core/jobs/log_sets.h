// Change logs of all disks of a VM at one instant, from when they are written until their recovery
// point is sealed (man/asr-hrl.5, "Sets").
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/model/point.h"
#include "storage/base/checksum.h"
#include "storage/base/result.h"
#include "storage/fs/file_system.h"

namespace asr {

struct LoggedDisk {
  std::string log_path;   // empty: the disk is what it is in the point's parent
  Bits128 disk_digest{};  // of the whole disk, once the log is applied
};

struct LogSet {
  RecoveryPoint point;            // what is sealed once the set is applied; names the logs' ids
  std::vector<LoggedDisk> disks;  // in the order of the point's
};

// Of one item in one vault. The caller holds the item's lease.
class LogSets {
 public:
  // `directory` is made when it is needed.
  LogSets(FileSystem& fs, std::string directory) : fs_(fs), directory_(std::move(directory)) {}

  [[nodiscard]] const std::string& directory() const { return directory_; }

  // Durably names the logs that are going to be written: a crash leaves none behind.
  [[nodiscard]] Status Announce(const LogSet& set);
  // From here on the set exists. Its logs are closed and durable.
  [[nodiscard]] Status Commit(const LogSet& set);
  // Logs first, so that nothing is left that nobody names.
  [[nodiscard]] Status Remove(const LogSet& set);

  struct Recovered {
    std::vector<LogSet> sets;          // the oldest first
    std::vector<std::string> damaged;  // documents of sets that cannot be read; they are gone now
  };
  // Removes what an interrupted run left; returns the sets that exist.
  [[nodiscard]] Result<Recovered> Recover();

 private:
  [[nodiscard]] std::string PathOf(const PointId& set, std::string_view ending) const;
  [[nodiscard]] Result<std::optional<LogSet>> Read(const std::string& path);
  [[nodiscard]] Status RemoveDocument(const std::string& path);

  FileSystem& fs_;
  std::string directory_;
};

}  // namespace asr
