// Stamps of a disk's files: how a disk that nobody touched is known without reading it.
#pragma once

#include <string>
#include <vector>

#include "storage/base/clock.h"
#include "storage/base/result.h"
#include "storage/image/disk.h"

namespace asr {

// Whose bytes are read of a disk, and when they last changed: Disk::files().
using DiskStamps = std::vector<Disk::BackingFile>;

// A file system may write down times as coarsely as this.
inline constexpr std::chrono::seconds kStampMargin{2};
// A disk is read whole at least so often, whatever its stamps say.
inline constexpr std::chrono::hours kLongestUnread{7 * 24};

// JSON for cursors: one object a file, in the chain's order.
[[nodiscard]] std::string StampsToJson(const DiskStamps& stamps);
// kCorrupt (kDatabase) if it is not what StampsToJson writes.
[[nodiscard]] Result<DiskStamps> ParseStamps(const std::string& json);

// What is known of a disk from its last complete pass.
struct LastPass {
  DiskStamps stamps;         // taken before the pass
  Timestamp pass_started{};  // when it began
  Timestamp full_read{};     // when all of the disk was last read
};

// True if the disk need not be read: every file of its chain still has the stamp it had, that was
// at least kStampMargin old when the pass began (a later write in the same tick of a coarse clock
// would not show), and the last full read is less than kLongestUnread ago. Never true for a block
// device, whose stamp tells nothing, nor when the clock stands before the last full read.
[[nodiscard]] bool IsUntouched(const DiskStamps& stamps, const LastPass& last, Timestamp now);

}  // namespace asr
