// What a disk in a test holds: pieces of random bytes, zeros everywhere else.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "storage/base/bytes.h"
#include "storage/image/disk.h"

namespace asr::testing {

class DiskContent {
 public:
  explicit DiskContent(std::uint64_t size_bytes) : size_bytes_(size_bytes) {}

  // Random bytes, none of them zero; the same offset and length give the same ones. The range lies
  // inside the disk and touches no other piece.
  void AddPiece(std::uint64_t offset_bytes, std::uint64_t length_bytes);
  // The same with given bytes.
  void AddBytes(std::uint64_t offset_bytes, std::vector<std::byte> bytes);

  [[nodiscard]] std::uint64_t size_bytes() const { return size_bytes_; }
  [[nodiscard]] const std::map<std::uint64_t, std::vector<std::byte>>& pieces() const {
    return pieces_;
  }
  [[nodiscard]] std::vector<std::byte> Bytes(std::uint64_t offset_bytes,
                                             std::uint64_t length_bytes) const;
  [[nodiscard]] bool IsZero(Extent range) const;

 private:
  std::uint64_t size_bytes_;
  std::map<std::uint64_t, std::vector<std::byte>> pieces_;
};

// Empty if the disk holds exactly the content: by its extents, and by reading all of every piece
// with its surroundings. Otherwise what differs where, or the error.
[[nodiscard]] std::string DifferenceFrom(const DiskContent& content, const Disk& disk);

}  // namespace asr::testing
