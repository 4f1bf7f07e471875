// A change log with the digests of what it holds: data in NAME.hrl, digests in NAME.hrl.digests
// (man/asr-hrl.5).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/model/digest.h"
#include "storage/fs/file_system.h"
#include "storage/hrl/hrl_reader.h"
#include "storage/hrl/hrl_writer.h"

namespace asr {

// Append and AppendZeros may be called from several threads, the rest not beside them.
class ChangeLogWriter {
 public:
  // What a log may take on its file system.
  struct Limits {
    std::uint64_t most_bytes = 0;   // more of it: kState (kLogTooLarge)
    std::uint64_t space_bytes = 0;  // the file system has no more to give: kNoSpace (kNoSpace)
  };

  // kState (kAlreadyExists) if there is such a log. Appends over a limit fail.
  [[nodiscard]] static Result<std::unique_ptr<ChangeLogWriter>> Create(
      FileSystem& fs, const std::string& path, const HrlWriter::Origin& origin,
      DigestAlgorithm algorithm, const Limits& limits);

  // Returns the entry's number. The range begins at a chunk, and ends at one or with the disk.
  [[nodiscard]] Result<std::uint64_t> Append(std::uint64_t disk_offset, ByteSpan bytes,
                                             Timestamp now);
  [[nodiscard]] Result<std::uint64_t> AppendZeros(Extent disk, Timestamp now);
  // Digests of the chunks of the next entries, in the order of the log.
  [[nodiscard]] Status AppendDigests(std::span<const Digest> digests);
  // Both files are durable when it returns.
  [[nodiscard]] Status Close(const Guid& data_write_guid, Timestamp now);

  [[nodiscard]] std::uint64_t entry_count() const { return log_->entry_count(); }

 private:
  ChangeLogWriter(std::unique_ptr<HrlWriter> log, std::unique_ptr<File> digests,
                  const Limits& limits);
  Status CheckSize() const;
  Status WriteDigests();

  std::unique_ptr<HrlWriter> log_;
  std::unique_ptr<File> digests_;
  std::vector<std::byte> pending_;  // digests that are not written yet
  std::uint64_t digest_offset_ = 0;
  Limits limits_;
};

// Thread-safe.
class ChangeLog {
 public:
  // kCorrupt (kLogCorrupt, kLogNotClosed), kUnsupported (kLogUnsupported). Also if the digests are
  // of another log or algorithm. A log that cannot be read, for whatever reason, is a corrupt one:
  // it is given up, and the disk compared.
  [[nodiscard]] static Result<ChangeLog> Open(FileSystem& fs, const std::string& path,
                                              DigestAlgorithm algorithm);

  [[nodiscard]] const HrlReader& entries() const { return log_; }
  // As those of entries(), with errors like Open's.
  [[nodiscard]] Result<std::vector<HrlEntry>> ReadBlock(std::size_t index) const;
  [[nodiscard]] Status ReadData(const HrlEntry& entry, std::uint64_t skip_bytes,
                                MutableByteSpan out) const;
  // Of the chunks `first`, `first` + 1, ... of the log: of its first entry, its second, ...
  [[nodiscard]] Status ReadDigests(std::uint64_t first, std::span<Digest> out) const;

 private:
  ChangeLog(HrlReader log, std::unique_ptr<File> digests);
  HrlReader log_;
  std::unique_ptr<File> digests_;
};

[[nodiscard]] std::string DigestPathOf(const std::string& log_path);
// Both files, durably; fine if they, or their folder, are gone.
[[nodiscard]] Status RemoveChangeLog(FileSystem& fs, const std::string& path);

}  // namespace asr
