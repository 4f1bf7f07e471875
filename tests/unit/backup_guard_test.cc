#include "core/source/backup_guard.h"

#include <gtest/gtest.h>

#include "core/source/guard_words.h"
#include "storage/base/bytes.h"

namespace asr {
namespace {

using std::chrono::milliseconds;

TEST(BackupGuardTest, KeepsATwentiethFreeWithinBounds) {
  EXPECT_EQ(ReserveBytes(kTiB), 4 * kGiB);
  EXPECT_EQ(ReserveBytes(40 * kGiB), 2 * kGiB);
  EXPECT_EQ(ReserveBytes(2 * kGiB), 256 * kMiB);
  EXPECT_EQ(ReserveBytes(64 * kMiB), 16 * kMiB);  // of a small one, no more than a quarter
}

TEST(BackupGuardTest, OrdersArriveAsTheyWereGiven) {
  const GuardOrders orders{.uri = "qemu:///system",
                           .uuid = "6a3c",
                           .socket_path = "/run/a \"b\"\n",
                           .directories = {"/a", "/b"},
                           .own_directories = {"/c"},
                           .stall_limit = milliseconds(600'000),
                           .freeze_limit = milliseconds(30'000),
                           .reserve_bytes = 7};
  const std::string line = EncodeOrders(orders);
  EXPECT_EQ(line.find('\n'), std::string::npos);
  const auto read = DecodeOrders(line);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->uri, orders.uri);
  EXPECT_EQ(read->socket_path, orders.socket_path);
  EXPECT_EQ(read->directories, orders.directories);
  EXPECT_EQ(read->own_directories, orders.own_directories);
  EXPECT_EQ(read->stall_limit, orders.stall_limit);
  EXPECT_EQ(read->freeze_limit, orders.freeze_limit);
  EXPECT_EQ(read->reserve_bytes, 7u);
  EXPECT_FALSE(DecodeOrders("").has_value());
  EXPECT_FALSE(DecodeOrders("{}").has_value());
}

// A program that is no guard says nothing, and ends: nothing is done to any VM then.
TEST(BackupGuardTest, AGuardThatDoesNotComeUpIsAnErrorAndNoWait) {
  auto guard = BackupGuard::Start("/bin/true", {.uri = "test:///default",
                                                .uuid = "x",
                                                .socket_path = "x",
                                                .directories = {},
                                                .own_directories = {}});
  if (!guard) return;  // it ended even before it had its orders
  const Status ready = guard->WaitUntilReady();
  ASSERT_FALSE(ready.has_value());
  EXPECT_EQ(ready.error().code, ErrorCode::kHostUnreachable);
  EXPECT_TRUE(ready.error().retryable);
  guard->Dismiss();
}

}  // namespace
}  // namespace asr
