// Threads that each work on a group at a time, with a buffer of their own.
#pragma once

#include <cstddef>
#include <functional>
#include <stop_token>
#include <vector>

#include "storage/base/bytes.h"
#include "storage/base/result.h"

namespace asr {

class GroupWorkers {
 public:
  // `count` buffers of a group each, one at least.
  GroupWorkers(int count, std::stop_token stop);

  // Calls `work` with 0, 1, ... up to `count`, from several threads. After an error or a stop no
  // more begin; returns when all have ended, with the first error.
  [[nodiscard]] Status ForEach(
      std::size_t count,
      const std::function<Status(std::size_t index, AlignedBuffer& buffer)>& work);

 private:
  std::vector<AlignedBuffer> buffers_;
  std::stop_token stop_;
};

}  // namespace asr
