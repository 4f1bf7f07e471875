// Who the files of an image on another machine are, and when they last changed, from what programs
// over there say.
#pragma once

#include <string>
#include <vector>

#include "core/source/stamps.h"
#include "storage/base/result.h"

namespace asr {

struct RemoteChain {
  std::vector<std::string> files;  // the image, what it lies over, and so on
  // All that is read lies in these files, and their stamps tell every write.
  bool is_told_by_stamps = false;
};

// From `qemu-img info --backing-chain --output=json`. kCorrupt (kIo) for what is none.
[[nodiscard]] Result<RemoteChain> ParseRemoteChain(const std::string& json);

struct RemoteStamps {
  std::string text;  // equal for files that nobody wrote to, block devices too
  // Of regular files that were at rest by their own machine's clock; else empty.
  DiskStamps stamps;
  bool leaf_is_device = false;
  bool tells_writes = true;  // no block device whose writes the kernel does not count
};

// A command line for a POSIX shell over there.
[[nodiscard]] std::string RemoteStampsCommand(const std::vector<std::string>& files);
// From what it says.
[[nodiscard]] RemoteStamps ParseRemoteStamps(const std::vector<std::string>& files,
                                             const std::string& said);

}  // namespace asr
