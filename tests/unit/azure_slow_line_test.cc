// A replica's life over a slow line with a long way: the whole stack, and time that passes.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <mutex>
#include <random>
#include <vector>

#include "core/jobs/protect.h"
#include "core/jobs/replicate.h"
#include "core/jobs/restore.h"
#include "storage/auth/storage_credential.h"
#include "storage/blob/azure_store.h"
#include "storage/http/curl_transport.h"
#include "tests/support/page_blob_server/page_blob_server.h"
#include "tests/support/temp_dir.h"

namespace asr {
namespace {

constexpr double kLineBytesPerSecond = 256 * 1024;
constexpr double kWaySeconds = 0.05;  // there and back
constexpr std::uint64_t kSentDiskBytes = 12 * kMiB;
constexpr std::uint64_t kDataBytes = 9 * 256 * kKiB;  // a third of it in each group of 4 MiB

struct Sent {
  double begin_seconds = 0;
  double end_seconds = 0;
  std::uint64_t bytes = 0;  // of bodies, both ways
  bool is_of_disk = false;
};

// The way, and a note of each request that took it.
class LongWay : public HttpTransport {
 public:
  LongWay(std::unique_ptr<HttpTransport> inner, std::vector<Sent>& log, std::mutex& mutex)
      : inner_(std::move(inner)), log_(log), mutex_(mutex) {}

  Result<HttpResponse> Send(const HttpRequest& request, const std::stop_token& stop) override {
    Sent sent{.begin_seconds = SystemClock().MonotonicSeconds()};
    SystemClock().SleepSeconds(kWaySeconds);
    auto reply = inner_->Send(request, stop);
    sent.end_seconds = SystemClock().MonotonicSeconds();
    const bool is_data = request.url.find("comp=") == std::string::npos ||
                         request.url.find("comp=page") != std::string::npos;
    sent.is_of_disk = is_data && request.url.find(".vhd") != std::string::npos;
    sent.bytes = request.body.size() + request.into.size();
    const std::lock_guard lock(mutex_);
    log_.push_back(sent);
    return reply;
  }

 private:
  std::unique_ptr<HttpTransport> inner_;
  std::vector<Sent>& log_;
  std::mutex& mutex_;
};

class AzureSlowLineTest : public ::testing::Test {
 protected:
  AzureSlowLineTest()
      : state_(*StateDatabase::Open(PosixFileSystem(), SystemClock(), directory_ / "state")),
        environment_{.fs = PosixFileSystem(),
                     .clock = SystemClock(),
                     .state = *state_,
                     .progress = NoProgress(),
                     .state_directory = directory_ / "state",
                     .stop = {}},
        content_(kSentDiskBytes) {
    std::mt19937_64 random(3);
    for (std::size_t k = 0; k < kSentDiskBytes; ++k) {
      if (k % kGroupBytes < kDataBytes / 3) content_[k] = static_cast<std::byte>(random());
    }
  }

  void WriteDisk() {
    ASSERT_TRUE(PosixFileSystem().CreateDirectories(directory_ / "vms/web"));
    ASSERT_TRUE(WriteFileAtomic(PosixFileSystem(), directory_ / "vms/web/root.raw", content_));
  }
  Result<std::unique_ptr<BlobStore>> Open() {
    ASR_TRY(const StorageCredential credential,
            ParseConnectionString(Secret(server_.ConnectionString())));
    ASR_TRY(auto authorizer, MakeAuthorizer(credential, credential.account, SystemClock()));
    ASR_TRY(auto curl, CurlTransport::Create({}));
    return OpenAzureStore({.container_url = server_.url() + "/vault",
                           .transport = std::make_unique<LongWay>(std::move(curl), log_, mutex_),
                           .authorizer = std::move(authorizer),
                           .leases = {PosixFileSystem(), directory_ / "leases", "one"},
                           .stop = {}},
                          /*create=*/true);
  }

  // Of the part of a verb that moved the disk's bytes: what was moved in it, and how much of the
  // line that took. Then a new one begins.
  void ExpectLineWasUsed(std::uint64_t least_bytes) {
    std::uint64_t bytes = 0;
    double begin = 1e99;
    double end = 0;
    double longest = 0;
    for (const Sent& sent : log_) {
      longest = std::max(longest, sent.end_seconds - sent.begin_seconds);
      // Not the footer, which is written by itself.
      if (!sent.is_of_disk || sent.bytes < kChunkBytes) continue;
      bytes += sent.bytes;
      begin = std::min(begin, sent.begin_seconds);
      end = std::max(end, sent.end_seconds);
    }
    const double used = static_cast<double>(bytes) / kLineBytesPerSecond / (end - begin);
    EXPECT_GE(bytes, least_bytes);
    EXPECT_GE(used, 0.8) << bytes << " bytes in " << end - begin << " s";
    EXPECT_LE(longest, 30) << "the service would have given up by then";
    std::printf("%llu bytes, %.0f %% of the line, longest request %.1f s, %zu requests\n",
                static_cast<unsigned long long>(bytes), used * 100, longest, log_.size());
    log_.clear();
  }

  testing::TempDir directory_;
  testing::PageBlobServer server_;
  std::unique_ptr<StateDatabase> state_;
  Environment environment_;
  std::vector<std::byte> content_;
  std::mutex mutex_;
  std::vector<Sent> log_;
};

TEST_F(AzureSlowLineTest, AWholeLife) {
  WriteDisk();
  auto store = Open();
  ASSERT_TRUE(store) << store.error().Line();
  const auto created =
      Vault::Create(*std::move(store), "v", DigestAlgorithm::kSha256, SystemClock().Now());
  ASSERT_TRUE(created) << created.error().Line();
  Vault& vault = **created;
  ASSERT_TRUE(vault.PutPolicy({.name = "p", .retention = {{std::chrono::hours(24), {}}}}));
  ASSERT_TRUE(state_->AddHost({.name = "h", .kind = "folder", .path = directory_ / "vms"}));
  server_.SetLink(kLineBytesPerSecond, 0);
  log_.clear();

  const auto enabled = EnableProtection(environment_, vault, {.vm = "web", .policy = "p"});
  ASSERT_TRUE(enabled) << enabled.error().Line();
  ASSERT_EQ(enabled->state, JobState::kSucceeded) << enabled->error->Line();
  ExpectLineWasUsed(kDataBytes);

  for (std::size_t k = 0; k < 256 * kKiB; ++k) content_[4 * kMiB + k] ^= std::byte{0x21};
  WriteDisk();
  const auto item = vault.FindItem("web");
  ASSERT_TRUE(item) << item.error().Line();
  const auto outcome = Replicate(environment_, vault, *item);
  ASSERT_TRUE(outcome) << outcome.error().Line();
  ASSERT_EQ(outcome->job.state, JobState::kSucceeded) << outcome->job.error->Line();
  EXPECT_LE(outcome->job.stats.bytes_sent, 256 * kKiB);
  log_.clear();

  const auto restored =
      RestorePoint(environment_, vault, *item, {.point = {}, .directory = directory_ / "out"});
  ASSERT_TRUE(restored) << restored.error().Line();
  ASSERT_EQ(restored->state, JobState::kSucceeded) << restored->error->Line();
  ExpectLineWasUsed(kDataBytes);
  const auto text = ReadWholeFile(PosixFileSystem(), directory_ / "out/root.raw");
  ASSERT_TRUE(text) << text.error().Line();
  EXPECT_TRUE(std::ranges::equal(AsBytes(*text), content_));
}

}  // namespace
}  // namespace asr
