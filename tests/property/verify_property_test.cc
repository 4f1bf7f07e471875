// Verifying all points costs the stored bytes once, and goes on beside a writer.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "tests/support/counting_store.h"
#include "tests/support/protected_lab.h"

namespace asr::testing {
namespace {

using ::testing::IsEmpty;

std::uint64_t AllocatedBytes(const std::string& directory) {
  std::uint64_t bytes = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    struct stat status {};
    if (!entry.is_regular_file() || ::stat(entry.path().c_str(), &status) != 0) continue;
    bytes += static_cast<std::uint64_t>(status.st_blocks) * 512;
  }
  return bytes;
}

TEST(VerifyPropertyTest, AllPointsCostTheStoredBytesOnce) {
  ProtectedLab lab;
  for (int round = 1; round <= 6; ++round) lab.Replicate(round);
  const std::uint64_t stored = AllocatedBytes(lab.ItemPath("disks"));
  auto base = OpenDirectoryStore(PosixFileSystem(), lab.cli.Path("vault"), false);
  ASSERT_TRUE(base.has_value());
  auto counting = std::make_unique<CountingStore>(*std::move(base));
  CountingStore& store = *counting;
  lab.vault = *Vault::Open(std::move(counting), "main");
  std::atomic<std::uint64_t> told = 0;
  ASSERT_THAT(lab.DamageOfPoints({.on_read = [&](std::uint64_t bytes) { told += bytes; }}),
              IsEmpty());
  // All of the live disks at least, and a digest and a header here and there on top.
  EXPECT_GT(store.bytes_read, 4 * kMiB);
  EXPECT_LT(store.bytes_read, stored + stored / 10) << "stored " << stored;
  // Headers of the digest blobs are read when they are opened.
  EXPECT_LE(told, store.bytes_read);
  EXPECT_GE(told + 7 * 2 * 4096 * 2, store.bytes_read);
  // The job says the same, and its plan said so before.
  std::uint64_t planned = 0;
  const auto plan = lab.cli.Json("points verify web --dry-run");
  for (const auto& step : plan["plan"]) {
    planned += step["bytes"].get<std::uint64_t>();
  }
  const auto job = lab.cli.Json("points verify web");
  EXPECT_EQ(job["stats"]["bytesRead"], told.load());
  EXPECT_EQ(planned, told.load());
  for (const auto& task : job["tasks"]) EXPECT_EQ(task["bytesDone"], task["bytesTotal"]);
}

TEST(VerifyPropertyTest, BesideAWriterThatSealsAndRemovesPoints) {
  ProtectedLab lab;
  std::atomic<bool> done = false;
  std::thread writer([&] {
    for (int round = 1; round <= 25; ++round) {
      lab.Replicate(round % 9 + 1);
      const auto points = lab.vault->ListPointIds(lab.item().id).value();
      // One of the middle, the oldest, and so on: whatever is pinned stays, as with retention.
      if (points.size() < 5) continue;
      const PointId& victim = points[round % 2 == 0 ? 3 : points.size() - 1];
      const auto pins = lab.vault->ListPins(lab.item().id, SystemClock().Now()).value().pins;
      if (std::ranges::find(pins, victim, &Pin::point) == pins.end()) lab.Remove(victim);
    }
    done = true;
  });
  int runs = 0;
  while (!done) {
    const CommandResult result = lab.cli.Run("points verify web -o json");
    EXPECT_EQ(result.exit_code, 0) << result.err;
    ++runs;
  }
  writer.join();
  EXPECT_GT(runs, 2);
  EXPECT_EQ(lab.cli.Run("points verify web").exit_code, 0);
  EXPECT_EQ(lab.cli.Json("vault check")["findings"], nlohmann::ordered_json::array());
}

}  // namespace
}  // namespace asr::testing
