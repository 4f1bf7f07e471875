#include "core/transfer/group_commit.h"

#include <algorithm>
#include <utility>

namespace asr {

Status GroupCommit::Prepare(const ChangedChunks& change) {
  std::unique_lock lock(mutex_);
  const std::shared_ptr<Round> round = open_;
  round->changes.push_back(change);
  // Whoever finds nobody announcing closes the round and does it for everybody in it.
  changed_.wait(lock, [&] { return round->done || !announcing_; });
  if (round->done) return round->outcome;
  announcing_ = true;
  open_ = std::make_shared<Round>();
  lock.unlock();
  std::ranges::sort(round->changes, {}, &ChangedChunks::group);
  Status outcome = target_.Prepare(round->changes);
  lock.lock();
  round->outcome = std::move(outcome);
  round->done = true;
  announcing_ = false;
  changed_.notify_all();
  return round->outcome;
}

}  // namespace asr
