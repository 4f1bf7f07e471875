// A differencing image and all the images below it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "storage/base/result.h"
#include "storage/fs/file_system.h"
#include "storage/image/mapped_disk.h"

namespace asr {

// What Hyper-V allows is less.
inline constexpr std::size_t kMostImagesOfAChain = 256;

// The same file twice: as its child names it, and without links, which is the path that was
// checked and must be opened.
struct ImagePlace {
  std::string path;
  std::string canonical;
};

// Opens a file as the parent of an image of this format.
using OpenParent =
    std::function<Result<std::unique_ptr<MappedDisk>>(const ImagePlace& place, ImageFormat child)>;

// Finds the parents of `leaf`, down to an image that has none. A path of Windows is taken relative
// to the child, its names in any case; if nothing is there, an image with another id, or one
// outside of the folder, one of that name beside the child is tried. Every file lies below
// `folder`, a canonical path. Errors:
// kCorrupt (kImageChainBroken), which names both files and their ids; kUnsupported
// (kImageChainBroken) for a parent outside of the folder; those of `open`.
[[nodiscard]] Status CompleteChain(FileSystem& fs, MappedDisk& leaf, const std::string& folder,
                                   const OpenParent& open);

// "DIR/base.vhdx" as it is spelled on disk, for a path that a child gives; empty if there is none.
[[nodiscard]] Result<std::string> FindNamedFile(FileSystem& fs, const std::string& directory,
                                                const std::string& windows_path);

// True if the canonical `path` lies below the canonical `folder`.
[[nodiscard]] bool IsBelow(const std::string& path, const std::string& folder);

}  // namespace asr
