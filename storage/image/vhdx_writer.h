// Writes a new dynamic VHDX ([MS-VHDX]).
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "storage/fs/file_system.h"
#include "storage/image/block_image_writer.h"
#include "storage/image/vhdx_format.h"

namespace asr {

// Order in the file: headers, log (empty), metadata, block table, blocks as they come. A block gets
// its place at its first write and is a hole of the file where it is not written.
class VhdxWriter : public BlockImageWriter {
 public:
  // `file` is empty, or what a writer of the same `image` left.
  [[nodiscard]] static Result<std::unique_ptr<VhdxWriter>> Open(std::unique_ptr<File> file,
                                                                const NewImage& image);

  Status Finish() override;

 private:
  VhdxWriter(std::unique_ptr<File> file, const NewImage& image);

  Result<std::uint64_t> PlaceFor(std::uint64_t block) override;
  std::uint64_t PlaceOf(std::uint64_t block) override;
  Status WriteTable();
  Status WriteMetadata();
  Status WriteRegionTables();
  Status WriteHeaders();

  std::uint64_t size_bytes_;
  std::uint32_t logical_sector_bytes_;
  VhdxTableShape shape_;
  Extent table_region_;
  std::mutex mutex_;
  std::vector<std::uint32_t> places_mib_;  // of every block, 0: none; guarded by mutex_
  std::uint64_t next_place_mib_;           // guarded by mutex_
};

}  // namespace asr
