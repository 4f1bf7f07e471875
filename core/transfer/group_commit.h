// Several threads announce changes, one of them does it for all that wait: a sync costs the same
// for one change as for many.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "core/transfer/transfer_target.h"

namespace asr {

// Thread-safe.
class GroupCommit {
 public:
  explicit GroupCommit(TransferTarget& target) : target_(target) {}

  // Returns when the change is durably announced.
  [[nodiscard]] Status Prepare(const ChangedChunks& change);

 private:
  // What the threads of one round share: filled, then announced, then done.
  struct Round {
    std::vector<ChangedChunks> changes;
    bool done = false;
    Status outcome;
  };

  TransferTarget& target_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::shared_ptr<Round> open_ = std::make_shared<Round>();
  bool announcing_ = false;
};

}  // namespace asr
