// An image file as it will be once the log in it is replayed; the file itself stays as it is.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "storage/base/bytes.h"
#include "storage/fs/file_system.h"

namespace asr {

// One change that a log makes to a file. Its data stay in the log until they are asked for.
struct LogPatch {
  static constexpr std::size_t kSectorBytes = 4096;

  Extent target;                    // whole sectors; of data: one
  bool is_zeros = false;            // else the bytes of a data sector of the log:
  std::uint64_t sector_offset = 0;  // where that sector lies in the file, in bytes
  // The ends of the sector make room for its signature and sequence number ([MS-VHDX] 2.3.1.3).
  std::array<std::byte, 8> leading{};
  std::array<std::byte, 4> trailing{};
};

// Read-only, thread-safe.
class ReplayedFile : public File {
 public:
  // `patches` in the order of the log: later ones win. The file has `file_bytes` now (should it be
  // cut, reads fail) and `size_bytes`, which are at least as many, once it is replayed; what is new
  // and in no patch is zeros.
  ReplayedFile(std::unique_ptr<File> file, std::uint64_t file_bytes, std::uint64_t size_bytes,
               const std::vector<LogPatch>& patches);

  Status ReadAt(std::uint64_t offset_bytes, MutableByteSpan out) override;
  Result<std::size_t> ReadUpTo(std::uint64_t offset_bytes, MutableByteSpan out) override;
  Result<std::vector<Extent>> DataExtents(Extent range) override;
  // That of the file, which others may cut or let grow.
  Result<FileStamp> Stat() override { return file_->Stat(); }

  Status WriteAt(std::uint64_t offset_bytes, ByteSpan bytes) override;
  Status Sync() override;
  Status Resize(std::uint64_t size_bytes) override;
  Status PunchHole(Extent range) override;

 private:
  void Add(const LogPatch& patch);
  Status ApplyPatches(std::uint64_t offset_bytes, MutableByteSpan out);

  std::unique_ptr<File> file_;
  std::uint64_t file_bytes_;
  std::uint64_t size_bytes_;
  std::map<std::uint64_t, LogPatch> patches_;  // by offset; none overlaps another
};

}  // namespace asr
