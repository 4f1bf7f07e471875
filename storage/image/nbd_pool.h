// Several connections to one NBD server, borrowed by threads in turn.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "storage/image/nbd_connection.h"

namespace asr {

// Run may be called from several threads at once, the rest not beside it.
class NbdPool {
 public:
  void Add(std::unique_ptr<NbdConnection> connection) { idle_.push_back(std::move(connection)); }
  [[nodiscard]] const std::vector<std::unique_ptr<NbdConnection>>& connections() const {
    return idle_;
  }
  void Clear() { idle_.clear(); }

  // `work` with a connection that nobody else uses meanwhile. Waits for one.
  template <class Work>
  auto Run(const Work& work) {
    auto connection = Borrow();
    auto result = work(*connection);
    GiveBack(std::move(connection));
    return result;
  }

 private:
  std::unique_ptr<NbdConnection> Borrow() {
    std::unique_lock lock(mutex_);
    given_back_.wait(lock, [this] { return !idle_.empty(); });
    auto connection = std::move(idle_.back());
    idle_.pop_back();
    return connection;
  }
  void GiveBack(std::unique_ptr<NbdConnection> connection) {
    {
      const std::lock_guard lock(mutex_);
      idle_.push_back(std::move(connection));
    }
    given_back_.notify_one();
  }

  std::mutex mutex_;
  std::condition_variable given_back_;
  std::vector<std::unique_ptr<NbdConnection>> idle_;
};

}  // namespace asr
