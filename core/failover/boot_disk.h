// What firmware a boot disk was made for, told by its partitions.
#pragma once

#include <cstdint>
#include <string>

#include "storage/base/result.h"
#include "storage/image/disk.h"

namespace asr {

struct BootDisk {
  int generation = 0;  // 1 = BIOS, 2 = UEFI (as in MachineSettings), 0 = no sign of a boot loader
  std::uint32_t sector_bytes = 512;  // that the partition table counts in
  std::string detail;                // what was found, in words
};

// A GPT with an EFI system partition is generation 2 (UEFI 2.10, 5.3); a GPT with boot code, and an
// MBR with boot code or an active partition, are generation 1; an MBR whose only boot partition has
// type EFh is generation 2. A GPT counts only behind a protective MBR, with both its checksums
// right; where the first header is damaged the copy at the disk's end is taken. Both are looked for
// in sectors of the disk's own size first, then of the other (512, 4096). Nothing on the disk is
// trusted: a guest wrote it. Errors are those of reading.
[[nodiscard]] Result<BootDisk> DetectBootDisk(const Disk& disk);

}  // namespace asr
