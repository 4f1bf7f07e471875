#include "storage/http/transfer_limiter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <thread>
#include <vector>

#include "storage/http/request_rate.h"
#include "tests/support/fake_clock.h"

namespace asr {
namespace {

using testing::FakeClock;

// Workers that send through a line whose bytes all requests share evenly, in simulated time.
class SharedLine {
 public:
  SharedLine(FakeClock& clock, TransferLimiter& limiter, int workers)
      : clock_(clock), limiter_(limiter), workers_(static_cast<std::size_t>(workers)) {}

  void Run(double seconds, double bytes_per_second, double latency_seconds = 0.03) {
    constexpr double kTickSeconds = 0.005;
    const double end = clock_.MonotonicSeconds() + seconds;
    while (clock_.MonotonicSeconds() < end) {
      std::size_t sending = 0;
      for (Worker& worker : workers_) {
        if (!worker.permit) Start(worker);
        if (worker.permit && worker.left_bytes > 0) ++sending;
      }
      const double share = sending == 0 ? 0 : bytes_per_second * kTickSeconds / double(sending);
      clock_.Advance(kTickSeconds);
      for (Worker& worker : workers_) Move(worker, share, latency_seconds);
    }
  }

  double longest_seconds = 0;
  double moved_bytes = 0;
  double smallest_body = 1e18;
  std::size_t most_at_once = 0;

 private:
  struct Worker {
    std::optional<TransferLimiter::Permit> permit;
    double left_bytes = 0;
    double start_seconds = 0;
    double latency_left = 0;
    double body = 0;
  };

  void Start(Worker& worker) {
    const std::uint64_t body = limiter_.suggested_body_bytes();
    auto permit = limiter_.TryAcquire(body);
    if (!permit) return;
    worker.permit.emplace(*std::move(permit));
    worker.body = worker.left_bytes = static_cast<double>(body);
    worker.start_seconds = clock_.MonotonicSeconds();
    worker.latency_left = 0;
    smallest_body = std::min(smallest_body, worker.body);
    most_at_once = std::max<std::size_t>(
        most_at_once, static_cast<std::size_t>(std::count_if(
                          workers_.begin(), workers_.end(),
                          [](const Worker& other) { return other.permit.has_value(); })));
  }
  void Move(Worker& worker, double share, double latency_seconds) {
    if (!worker.permit) return;
    if (worker.left_bytes > 0) {
      const double bytes = std::min(share, worker.left_bytes);
      worker.left_bytes -= bytes;
      moved_bytes += bytes;
      return;
    }
    worker.latency_left += 0.005;
    if (worker.latency_left < latency_seconds) return;
    longest_seconds = std::max(longest_seconds, clock_.MonotonicSeconds() - worker.start_seconds);
    worker.permit->Finish(TransferOutcome::kDone);
    worker.permit.reset();
  }

  FakeClock& clock_;
  TransferLimiter& limiter_;
  std::vector<Worker> workers_;
};

TEST(TransferLimiterTest, EveryRequestEndsInTimeOnAThinLine) {
  for (const double kib_per_second : {20.0, 64.0, 256.0, 1000.0}) {
    FakeClock clock;
    TransferLimiter limiter(clock, {});
    SharedLine line(clock, limiter, 16);
    line.Run(900, kib_per_second * 1024);
    EXPECT_LE(line.longest_seconds, 30) << kib_per_second;
    // And the line is full all the same.
    EXPECT_GE(line.moved_bytes, 0.9 * 900 * kib_per_second * 1024) << kib_per_second;
  }
}

TEST(TransferLimiterTest, AFastLineIsFilledWithinSeconds) {
  FakeClock clock;
  TransferLimiter limiter(clock, {});
  SharedLine line(clock, limiter, 16);
  line.Run(3, 200e6);
  EXPECT_EQ(limiter.suggested_body_bytes(), 4 * kMiB);
  line.moved_bytes = 0;
  line.Run(10, 200e6);
  EXPECT_GE(line.moved_bytes, 0.75 * 10 * 200e6);  // 16 x 4 MiB and 30 ms
}

TEST(TransferLimiterTest, BodiesShrinkBeforeConcurrencyDoes) {
  FakeClock clock;
  TransferLimiter limiter(clock, {});
  SharedLine line(clock, limiter, 16);
  line.Run(300, 200.0 * kKiB);
  EXPECT_EQ(line.smallest_body, 64 * kKiB);
  EXPECT_EQ(line.most_at_once, 16U);
}

TEST(TransferLimiterTest, ALineThatBecomesThinIsFollowed) {
  FakeClock clock;
  TransferLimiter limiter(clock, {});
  SharedLine line(clock, limiter, 16);
  line.Run(30, 50e6);
  line.Run(900, 100.0 * kKiB);  // what was on its way when it happened takes its time
  line.longest_seconds = 0;
  line.Run(600, 100.0 * kKiB);
  EXPECT_LE(line.longest_seconds, 30);
}

TEST(TransferLimiterTest, OneWorkerAloneDoesNotOpenTheWindowOfAThinLine) {
  FakeClock clock;
  TransferLimiter limiter(clock, {});
  {
    SharedLine line(clock, limiter, 1);
    line.Run(300, 64.0 * kKiB);
  }
  SharedLine line(clock, limiter, 16);
  line.Run(300, 64.0 * kKiB);
  EXPECT_LE(line.longest_seconds, 30);
}

TEST(TransferLimiterTest, ABusyServerShrinksItOnceForWhatWasOnItsWay) {
  FakeClock clock;
  TransferLimiter limiter(clock, {});
  std::vector<TransferLimiter::Permit> permits;
  for (int i = 0; i < 8; ++i) permits.push_back(*limiter.TryAcquire(64 * kKiB));
  for (auto& permit : permits) permit.Finish(TransferOutcome::kCongested);
  EXPECT_NEAR(static_cast<double>(limiter.window_bytes()), 0.65 * 512 * 1024, 1);
  limiter.TryAcquire(64 * kKiB)->Finish(TransferOutcome::kCongested);
  EXPECT_NEAR(static_cast<double>(limiter.window_bytes()), 0.65 * 0.65 * 512 * 1024, 1);
}

TEST(TransferLimiterTest, FailuresSayNothingAndNothingShrinksBelowTheLeast) {
  FakeClock clock;
  TransferLimiter limiter(clock, {});
  const std::uint64_t before = limiter.window_bytes();
  { const auto permit = limiter.TryAcquire(64 * kKiB); }
  EXPECT_EQ(limiter.window_bytes(), before);
  for (int i = 0; i < 50; ++i) {
    limiter.TryAcquire(64 * kKiB)->Finish(TransferOutcome::kCongested);
  }
  EXPECT_EQ(limiter.window_bytes(), 64 * kKiB);
  EXPECT_EQ(limiter.suggested_body_bytes(), 64 * kKiB);
}

TEST(TransferLimiterTest, WhatIsTooLargeGoesAlone) {
  FakeClock clock;
  TransferLimiter limiter(clock, {});
  auto large = limiter.TryAcquire(4 * kMiB);
  ASSERT_TRUE(large);
  EXPECT_FALSE(limiter.TryAcquire(1));
  EXPECT_TRUE(limiter.TryAcquire(0));  // a lease must not wait for pages
  large->Finish(TransferOutcome::kDone);
  EXPECT_TRUE(limiter.TryAcquire(1));
}

TEST(TransferLimiterTest, WhoWaitsIsServedInOrderAndMayStop) {
  FakeClock clock;
  TransferLimiter limiter(clock, {});
  auto first = limiter.TryAcquire(512 * kKiB);
  std::stop_source stop;
  std::optional<ErrorCode> stopped;
  bool served = false;
  std::thread gives_up([&] {
    const auto permit = limiter.Acquire(512 * kKiB, stop.get_token());
    if (!permit) stopped = permit.error().code;
  });
  std::thread waits([&] { served = limiter.Acquire(64 * kKiB, {}).has_value(); });
  stop.request_stop();
  gives_up.join();
  first->Finish(TransferOutcome::kDone);
  waits.join();
  EXPECT_EQ(stopped, ErrorCode::kCancelled);
  EXPECT_TRUE(served);
}

TEST(RequestRateTest, LetsThroughWhatOneBlobTakes) {
  FakeClock clock;
  RequestRate rate(clock, 490, 1);
  std::vector<double> begun;
  for (int i = 0; i < 2250; ++i) {
    ASSERT_TRUE(rate.Take({}));
    begun.push_back(clock.MonotonicSeconds());
    // Some come late, and those behind them catch up.
    if (i % 300 == 0) clock.Advance(0.3);
  }
  // Without catching up it would be 4.6 s and 2.4 s of coming late.
  EXPECT_LE(begun.back() - begun.front(), 5);
  for (std::size_t i = 490; i < begun.size(); ++i) EXPECT_GE(begun[i] - begun[i - 490], 1 - 1e-9);
}

TEST(RequestRateTest, APauseAllowsOneBurstOnly) {
  FakeClock clock;
  RequestRate rate(clock, 10, 0.1);
  clock.Advance(1000);
  const double start = clock.MonotonicSeconds();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(rate.Take({}));
  EXPECT_EQ(clock.MonotonicSeconds(), start);
  ASSERT_TRUE(rate.Take({}));
  EXPECT_NEAR(clock.MonotonicSeconds() - start, 0.1, 1e-6);
}

TEST(RequestRateTest, WhoWaitsMayStop) {
  FakeClock clock;
  RequestRate rate(clock, 1, 1000);
  std::stop_source stop;
  ASSERT_TRUE(rate.Take(stop.get_token()));
  stop.request_stop();
  EXPECT_EQ(rate.Take(stop.get_token()).error().code, ErrorCode::kCancelled);
}

}  // namespace
}  // namespace asr
