// Which image a differencing VHD builds on (Virtual Hard Disk Image Format Specification 1.0,
// "Dynamic Disk Header Format" and "Parent Locator Entries").
#pragma once

#include <vector>

#include "storage/base/bytes.h"
#include "storage/base/result.h"
#include "storage/fs/file_system.h"
#include "storage/image/mapped_disk.h"

namespace asr {

struct VhdParent {
  ParentLink link;
  std::vector<Extent> texts;  // where in the file the paths lie that locators give
};

// `header` is a whole dynamic header whose checksum is right. The parent is known by its unique id
// alone: Windows writes a timestamp of 0. Errors: kCorrupt, kIo.
[[nodiscard]] Result<VhdParent> ReadVhdParent(File& file, std::uint64_t file_bytes,
                                              ByteSpan header);

}  // namespace asr
