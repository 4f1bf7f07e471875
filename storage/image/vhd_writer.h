// Writes a new dynamic VHD (Virtual Hard Disk Image Format Specification 1.0).
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "storage/fs/file_system.h"
#include "storage/image/block_image_writer.h"

namespace asr {

// Order in the file: copy of the footer, dynamic header, block table, blocks as they come, footer.
// A block gets its place at its first write and is a hole of the file where it is not written.
class DynamicVhdWriter : public BlockImageWriter {
 public:
  // `file` is empty, or what a writer of the same `image` left. At most kVhdMostDynamicBytes.
  [[nodiscard]] static Result<std::unique_ptr<DynamicVhdWriter>> Open(std::unique_ptr<File> file,
                                                                      const NewImage& image);

  Status Finish() override;

 private:
  DynamicVhdWriter(std::unique_ptr<File> file, std::uint64_t size_bytes);

  Result<std::uint64_t> PlaceFor(std::uint64_t block) override;
  std::uint64_t PlaceOf(std::uint64_t block) override;
  // The next block's place; end_bytes_ is behind it then.
  std::uint64_t TakePlace();
  Status WriteBitmaps();
  Status WriteTable();

  std::uint64_t size_bytes_;
  std::mutex mutex_;
  std::vector<std::uint64_t> places_;  // of every block's data, 0: none; guarded by mutex_
  std::uint64_t end_bytes_;            // of the table and the blocks; guarded by mutex_
};

}  // namespace asr
