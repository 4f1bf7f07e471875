// What writers of dynamic formats share: the disk's blocks lie here and there in the file.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "storage/fs/file_system.h"
#include "storage/image/image_writer.h"

namespace asr {

class BlockImageWriter : public ImageWriter {
 public:
  Status Write(std::uint64_t offset_bytes, ByteSpan bytes) override;
  Result<std::vector<Extent>> WrittenExtents(Extent range) override;
  Status Read(std::uint64_t offset_bytes, MutableByteSpan out) override;
  Status Discard(Extent range) override;

 protected:
  BlockImageWriter(std::unique_ptr<File> file, std::uint64_t block_bytes)
      : file_(std::move(file)), block_bytes_(block_bytes) {}

  // Where the block's data lie in the file; PlaceFor gives it a place if it has none, PlaceOf tells
  // 0 then. Thread-safe.
  virtual Result<std::uint64_t> PlaceFor(std::uint64_t block) = 0;
  virtual std::uint64_t PlaceOf(std::uint64_t block) = 0;

  [[nodiscard]] File& file() { return *file_; }

 private:
  const std::unique_ptr<File> file_;
  const std::uint64_t block_bytes_;
};

}  // namespace asr
