#include "core/model/group_workers.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "storage/base/stop.h"

namespace asr {

GroupWorkers::GroupWorkers(int count, std::stop_token stop, std::uint64_t buffer_bytes)
    : stop_(std::move(stop)) {
  for (int i = 0; i < std::max(1, count); ++i) {
    buffers_.emplace_back(static_cast<std::size_t>(buffer_bytes));
  }
}

Status GroupWorkers::ForEach(std::size_t count, const Work& work) {
  std::size_t begun = 0;
  return ForEachUntil(
      count, [] { return false; }, work, &begun);
}

Status GroupWorkers::ForEachUntil(std::size_t count, const std::function<bool()>& pause,
                                  const Work& work, std::size_t* begun) {
  std::atomic<std::size_t> next = 0;
  std::atomic<bool> failed = false;
  std::mutex mutex;
  std::optional<Error> problem;
  const auto run = [&](AlignedBuffer& buffer) {
    for (std::size_t i = next++; i < count && !failed; i = next++) {
      Status status = stop_.stop_requested() ? Fail(Stopped()) : work(i, buffer);
      if (status && pause()) break;
      if (status) continue;
      const std::lock_guard lock(mutex);
      if (!problem) problem = std::move(status).error();
      failed = true;
    }
  };
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 1; i < std::min(buffers_.size(), count); ++i) {
      threads.emplace_back([&run, this, i] { run(buffers_[i]); });
    }
    run(buffers_[0]);
  }
  *begun = std::min<std::size_t>(next, count);
  return problem ? Status(Fail(*std::move(problem))) : Status();
}

}  // namespace asr
