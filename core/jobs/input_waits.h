// Work that cannot go on without a person, and the jobs that show it.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <utility>

namespace asr {

// Of one process. Thread-safe.
class InputWaits {
 public:
  // Told when the first piece of work begins to wait, and when the last one has ended to. Not from
  // inside of a watcher may others be added or removed.
  using Watcher = std::function<void(bool is_waiting)>;

  // Watches until it is destroyed.
  class Watch {
   public:
    Watch(std::shared_ptr<InputWaits> waits, Watcher watcher) : waits_(std::move(waits)) {
      const std::lock_guard lock(waits_->mutex_);
      place_ = waits_->watchers_.insert(waits_->watchers_.end(), std::move(watcher));
    }
    ~Watch() {
      const std::lock_guard lock(waits_->mutex_);
      waits_->watchers_.erase(place_);
    }
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;

   private:
    const std::shared_ptr<InputWaits> waits_;
    std::list<Watcher>::iterator place_;
  };

  // Work waits as long as it lives.
  class Wait {
   public:
    explicit Wait(std::shared_ptr<InputWaits> waits) : waits_(std::move(waits)) {
      const std::lock_guard lock(waits_->mutex_);
      if (waits_->count_++ == 0) waits_->Tell(true);
    }
    ~Wait() {
      const std::lock_guard lock(waits_->mutex_);
      if (--waits_->count_ == 0) waits_->Tell(false);
    }
    Wait(const Wait&) = delete;
    Wait& operator=(const Wait&) = delete;

   private:
    const std::shared_ptr<InputWaits> waits_;
  };

 private:
  void Tell(bool is_waiting) const {
    for (const Watcher& watcher : watchers_) watcher(is_waiting);
  }

  std::mutex mutex_;  // guards what follows
  std::list<Watcher> watchers_;
  int count_ = 0;
};

}  // namespace asr
