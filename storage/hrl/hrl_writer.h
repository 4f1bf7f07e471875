// Writes a change log (man/asr-hrl.5).
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "storage/fs/file_system.h"
#include "storage/hrl/hrl_format.h"

namespace asr {

// Append and AppendZeros may be called from several threads; where what they write overlaps, the
// order of the calls is the order of the log. A writer that is dropped before Close, or met an
// error, leaves a log that says it was not closed.
class HrlWriter {
 public:
  struct Origin {
    Guid id{};
    Guid previous_id{};  // of the disk's log before; zeros: none
    Timestamp created{};
  };

  // kState (kAlreadyExists) if there is such a file. `fs` outlives the writer.
  [[nodiscard]] static Result<std::unique_ptr<HrlWriter>> Create(FileSystem& fs,
                                                                 const std::string& path,
                                                                 const Origin& origin);

  // Whole sectors; at most 4 GiB less a sector. Returns the entry's number in the log, from 0.
  [[nodiscard]] Result<std::uint64_t> Append(std::uint64_t disk_offset, ByteSpan bytes,
                                             Timestamp written);
  // The same with zeros, which take no space.
  [[nodiscard]] Result<std::uint64_t> AppendZeros(Extent disk, Timestamp written);

  // Everything is durable when it returns, and the log says so. Once, after all else.
  [[nodiscard]] Status Close(const Guid& data_write_guid, Timestamp now);

  // What the log takes on its file system: data, blocks, header.
  [[nodiscard]] std::uint64_t allocated_bytes() const;
  [[nodiscard]] std::uint64_t entry_count() const;

 private:
  HrlWriter(FileSystem& fs, std::string path, std::unique_ptr<File> file, const Origin& origin);
  struct Placed {
    std::uint64_t number = 0;
    std::uint64_t file_offset = 0;
  };
  Result<Placed> Place(Extent disk, std::uint32_t checksum, Timestamp written);
  Status WriteBlock();
  Status WriteHeader();

  FileSystem& fs_;
  const std::string path_;
  const std::unique_ptr<File> file_;
  mutable std::mutex mutex_;  // guards all below
  HrlHeader header_;
  std::vector<HrlEntry> pending_;  // of the next block
  std::uint64_t next_offset_ = 0;  // where data or the next block goes
  std::uint64_t last_block_ = 0;   // where the last block begins
  std::uint64_t allocated_bytes_ = 0;
  bool is_broken_ = false;
};

}  // namespace asr
