// Threads that each work on a group at a time, with a buffer of their own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <stop_token>
#include <vector>

#include "core/model/digest.h"
#include "storage/base/bytes.h"
#include "storage/base/result.h"

namespace asr {

class GroupWorkers {
 public:
  // `count` buffers, one at least, of a group each if not told otherwise.
  GroupWorkers(int count, std::stop_token stop, std::uint64_t buffer_bytes = kGroupBytes);

  // Calls `work` with 0, 1, ... up to `count`, from several threads. After an error or a stop no
  // more begin; returns when all have ended, with the first error.
  using Work = std::function<Status(std::size_t index, AlignedBuffer& buffer)>;
  [[nodiscard]] Status ForEach(std::size_t count, const Work& work);

  // The same, but once `pause` is true no more begin either. `*begun`: so many of them, from 0 on;
  // one at least, if there is one. `pause` is asked from several threads.
  [[nodiscard]] Status ForEachUntil(std::size_t count, const std::function<bool()>& pause,
                                    const Work& work, std::size_t* begun);

 private:
  std::vector<AlignedBuffer> buffers_;
  std::stop_token stop_;
};

}  // namespace asr
