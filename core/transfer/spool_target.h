// Stands in for a disk's replica: what a transfer would send to it goes into a change log.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include "core/changes/change_log.h"
#include "core/transfer/transfer_target.h"
#include "storage/base/clock.h"

namespace asr {

class SpoolTarget : public TransferTarget {
 public:
  // `base` is what the log will be applied to, and is only asked for digests. All outlive this.
  SpoolTarget(TransferTarget& base, ChangeLogWriter& log, Clock& clock)
      : base_(base), log_(log), clock_(clock) {}

  Status ReadGroups(std::uint64_t first, std::span<Digest> out) override;
  Status ReadChunks(std::uint64_t group, ChunkRow& out) override;
  Status Prepare(std::span<const ChangedChunks>) override { return {}; }
  Status Write(std::uint64_t offset_bytes, ByteSpan bytes) override;
  Status Clear(Extent range) override;
  // Notes the digests of what was written since the last call.
  Status Commit(std::span<const GroupDigests> groups) override;

  // What the log itself failed with, and with that the transfer: base and source are not to blame.
  [[nodiscard]] const std::optional<Error>& log_error() const { return log_error_; }

  // After the transfer: what the whole disk will be once the log is applied. Once.
  [[nodiscard]] DiskDigest TakeDiskDigest();

 private:
  struct Entry {
    std::uint64_t number = 0;  // in the log
    Extent disk;
  };
  Status Note(const Result<std::uint64_t>& number, Extent disk);

  TransferTarget& base_;
  ChangeLogWriter& log_;
  Clock& clock_;
  std::mutex mutex_;
  std::vector<Entry> entries_;  // since the last Commit
  std::optional<Error> log_error_;
  // Groups that ReadGroups gave last, with what Commit told of them; those before are in digest_.
  std::uint64_t first_group_ = 0;
  std::vector<Digest> groups_;
  DiskDigest digest_;
};

}  // namespace asr
