// Content of a disk spread over the images of a chain.
#pragma once

#include <cstdint>
#include <vector>

#include "storage/base/bytes.h"
#include "tests/support/disk_content.h"

namespace asr::testing {

// What one image of a chain holds itself.
struct DiskLayer {
  DiskContent content;
  std::vector<Extent> zeros;   // single sectors that are zeros here and hide what lies below
  std::vector<Extent> hidden;  // the same, in whole units of 2 MiB
};

// Cuts the content into short runs of sectors and gives each to one of `count` layers, the leaf
// first. Below many of them lower layers hold other bytes, which a reader must not show; below
// `zeros` and `hidden` too. The pieces are whole sectors, and the content is zeros from 12 to
// 18 MiB.
[[nodiscard]] std::vector<DiskLayer> SpreadOverLayers(const DiskContent& content, std::size_t count,
                                                      std::uint32_t sector_bytes);

}  // namespace asr::testing
