// Whether images hold what a guest of libvirt_lab.h had written at one instant.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace asr::testing {

enum class JournalState {
  kCrash,   // as after a power cut: the file system's own journal is replayed first, on a copy
  kFrozen,  // nothing to replay: taken while the guest's file systems were frozen, or unmounted
};

struct GuestJournal {
  // Why the images are no good, empty if they are: a file system that e2fsck finds fault with, a
  // journal with a gap, disks of different instants.
  std::string problem;
  std::vector<std::int64_t> last_numbers;  // of each image's journal

  // What all disks have: every number that was synced before the images were taken is at most this.
  [[nodiscard]] std::int64_t SyncedNumber() const;
};

// `images` are all disks of one guest in its order, of one point: .raw, .qcow2 or .vhd by name,
// otherwise raw. None of them is changed.
[[nodiscard]] GuestJournal ReadGuestJournal(const std::vector<std::string>& images,
                                            JournalState state);

}  // namespace asr::testing
