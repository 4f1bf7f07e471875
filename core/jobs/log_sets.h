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
  std::string log_path;  // empty: the disk is what it is in the point's parent
  // Of the whole disk, once the log is applied. None: it was logged while nobody could tell what
  // the replica holds.
  std::optional<Bits128> disk_digest = {};
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

  // Durably names the logs that are going to be written: a crash leaves none behind. kState
  // (kLogUnsupported) for a path that no document can hold, as it is not UTF-8.
  [[nodiscard]] Status Announce(const LogSet& set);
  // From here on the set exists. Its logs are closed and durable.
  [[nodiscard]] Status Commit(const LogSet& set);
  // First it exists no more; its logs are named until they are gone. After an error the next
  // Recover goes on.
  [[nodiscard]] Status Remove(const LogSet& set);

  // Points whose changes wait to be sent, the oldest first. Changes nothing, and needs no lease.
  [[nodiscard]] Result<std::vector<PointId>> ListWaiting() const;
  // Their sets, as far as they can be read. The same.
  [[nodiscard]] Result<std::vector<LogSet>> ReadWaiting() const;
  // What a log takes on its file system; 0 if that cannot be told.
  [[nodiscard]] std::uint64_t LogBytes(const LoggedDisk& disk) const;
  // The same of all that wait.
  [[nodiscard]] Result<std::uint64_t> WaitingBytes() const;

  // The newest point in the vault, as this machine saw it last: while the vault cannot be reached,
  // the first set builds on it. Only ever a hint: what it leads to is checked before it is sent.
  // None is noted of a point without a checkpoint: no set can build on it.
  [[nodiscard]] Status NotePoint(const RecoveryPoint& point);
  [[nodiscard]] Result<std::optional<RecoveryPoint>> NotedPoint() const;

  struct Recovered {
    std::vector<LogSet> sets;          // the oldest first
    std::vector<std::string> damaged;  // documents of sets that cannot be read; they are gone now
    std::vector<Error> left;           // why something could not be removed; the next run tries
  };
  // Removes what an interrupted run left; returns the sets that exist. kUnsupported for one that a
  // newer program wrote.
  [[nodiscard]] Result<Recovered> Recover();
  // All but the sets: the item is not replicated here any more.
  [[nodiscard]] Status RemoveNotes();

 private:
  [[nodiscard]] std::string PathOf(const PointId& set, std::string_view ending) const;
  [[nodiscard]] Result<std::optional<LogSet>> Read(const std::string& path) const;
  [[nodiscard]] Status RemoveDocument(const std::string& path);

  FileSystem& fs_;
  std::string directory_;
};

}  // namespace asr
