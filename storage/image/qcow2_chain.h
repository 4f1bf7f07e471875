// All files that a qcow2 image is made of, found by us before QEMU opens any of them.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "storage/base/result.h"
#include "storage/fs/file_system.h"
#include "storage/image/image_chain.h"
#include "storage/image/mapped_disk.h"
#include "storage/image/qcow2_header.h"

namespace asr {

struct Qcow2Link {
  ImageFile image;
  bool is_raw = false;  // only the last may be
  Qcow2Header header;   // unless it is raw
};

using OpenImage = std::function<Result<ImageFile>(const ImagePlace& place)>;

// Leaf first. A relative name of a backing file is taken from the directory of the image that gives
// it, as QEMU does. Every backing file lies below `folder`, a canonical path.
// Errors: those of ParseQcow2Header and `open`; kCorrupt for a loop, a chain of more than
// kMostImagesOfAChain images, and an image that was cut; kUnsupported for a file outside of the
// folder; before any of them, kBusy (kImageInUse) for an image that somebody writes to.
[[nodiscard]] Result<std::vector<Qcow2Link>> WalkQcow2Chain(FileSystem& fs, ImageFile leaf,
                                                            const std::string& folder,
                                                            const OpenImage& open);

}  // namespace asr
