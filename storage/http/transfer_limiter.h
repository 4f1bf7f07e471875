// How many bytes may be on their way at once, so that every request ends in time on any line.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <list>
#include <mutex>
#include <optional>
#include <stop_token>

#include "storage/base/bytes.h"
#include "storage/base/clock.h"
#include "storage/base/result.h"

namespace asr {

struct TransferLimits {
  std::uint64_t min_window_bytes = 64 * kKiB;
  // A line of 17 KiB/s still carries this within max_seconds; a fast one outgrows it in a second.
  std::uint64_t first_window_bytes = 512 * kKiB;
  std::uint64_t max_window_bytes = 64 * kMiB;
  double target_seconds = 10;  // a request that takes longer shrinks the window
  // Requests that the caller would like to have on their way at once.
  int parallelism = 16;
};

enum class TransferOutcome : std::uint8_t {
  kDone,
  kCongested,  // 503, 408, 500 OperationTimedOut, or nothing moved any more
  kFailed,     // says nothing about the line
};

// A window over the bytes of all requests that share a line: additive increase while requests end
// well in time (twice to five times as wide after each window of bytes, up to the first decrease),
// multiplicative decrease when one takes long or the server is busy. Thread-safe.
class TransferLimiter {
 public:
  // The right to move some bytes; given back by Finish, or as kFailed when destroyed.
  class Permit {
   public:
    Permit(Permit&& other) noexcept;
    Permit& operator=(Permit&&) = delete;
    Permit(const Permit&) = delete;
    Permit& operator=(const Permit&) = delete;
    ~Permit() { Finish(TransferOutcome::kFailed); }
    void Finish(TransferOutcome outcome);

   private:
    friend class TransferLimiter;
    Permit(TransferLimiter* limiter, std::uint64_t bytes) : limiter_(limiter), bytes_(bytes) {}
    TransferLimiter* limiter_;  // null: given back
    std::uint64_t bytes_;
    double start_seconds_ = 0;
    double byte_seconds_ = 0;  // of the limiter, at the start
    std::uint64_t epoch_ = 0;
  };

  TransferLimiter(Clock& clock, TransferLimits limits);
  TransferLimiter(const TransferLimiter&) = delete;
  TransferLimiter& operator=(const TransferLimiter&) = delete;

  // Waits, first come first served, until the bytes fit into the window or nothing else is on its
  // way. No bytes never wait. kCancelled.
  [[nodiscard]] Result<Permit> Acquire(std::uint64_t bytes, const std::stop_token& stop);
  // nullopt where Acquire would wait.
  [[nodiscard]] std::optional<Permit> TryAcquire(std::uint64_t bytes);

  // How large the next request's body should be: 64 KiB to 4 MiB, a multiple of 64 KiB. Bodies
  // shrink before fewer requests are let through at once.
  [[nodiscard]] std::uint64_t suggested_body_bytes() const;
  [[nodiscard]] std::uint64_t window_bytes() const;

 private:
  [[nodiscard]] bool Fits(std::uint64_t bytes) const;
  [[nodiscard]] Permit Grant(std::uint64_t bytes);
  void Release(const Permit& permit, TransferOutcome outcome);
  void Shrink(double seconds, TransferOutcome outcome);
  void Grow(std::uint64_t bytes, double seconds, double mean_in_flight_bytes);
  // Before in_flight_bytes_ changes. The time.
  double CountByteSeconds();

  Clock& clock_;
  const TransferLimits limits_;
  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable_any changed_;
  std::list<int> waiting_;  // one for each that waits, in their order; the values mean nothing
  std::uint64_t window_bytes_;
  std::uint64_t in_flight_bytes_ = 0;
  double byte_seconds_ = 0;     // in_flight_bytes_ over all time
  double counted_seconds_ = 0;  // when that was counted
  // Counts decreases: what was sent before one says nothing about the window after it.
  std::uint64_t epoch_ = 0;
};

}  // namespace asr
