// Writes a new dynamic VHD (Virtual Hard Disk Image Format Specification 1.0).
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "storage/fs/file_system.h"
#include "storage/image/image_writer.h"

namespace asr {

// Order in the file: copy of the footer, dynamic header, block table, blocks as they come, footer.
// A block gets its place at its first write and is a hole of the file where it is not written.
class DynamicVhdWriter : public ImageWriter {
 public:
  // `file` is empty, or what a writer of the same `image` left. At most kVhdMostDynamicBytes.
  [[nodiscard]] static Result<std::unique_ptr<DynamicVhdWriter>> Open(std::unique_ptr<File> file,
                                                                      const NewImage& image);

  Status Write(std::uint64_t offset_bytes, ByteSpan bytes) override;
  Status Finish() override;
  Result<std::vector<Extent>> WrittenExtents(Extent range) override;
  Status Read(std::uint64_t offset_bytes, MutableByteSpan out) override;
  Status Discard(Extent range) override;

 private:
  DynamicVhdWriter(std::unique_ptr<File> file, std::uint64_t size_bytes);

  // Where the block's data lie in the file; PlaceFor gives it a place if it has none, PlaceOf tells
  // 0.
  Result<std::uint64_t> PlaceFor(std::uint64_t block);
  std::uint64_t PlaceOf(std::uint64_t block);
  // The next block's place; end_bytes_ is behind it then.
  std::uint64_t TakePlace();
  Status WriteBitmaps();
  Status WriteTable();

  std::unique_ptr<File> file_;
  std::uint64_t size_bytes_;
  std::mutex mutex_;
  std::vector<std::uint64_t> places_;  // of every block's data, 0: none; guarded by mutex_
  std::uint64_t end_bytes_;            // of the table and the blocks; guarded by mutex_
};

}  // namespace asr
