// A restore that was interrupted goes on: what is right in its partial files is neither read from
// the vault again nor believed unread.
#include "core/jobs/restore.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <map>
#include <stop_token>

#include "core/jobs/protect.h"
#include "core/jobs/replicate.h"
#include "core/jobs/vaults.h"
#include "storage/image/image_writer.h"
#include "tests/support/disk_content.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/image_file.h"
#include "tests/support/temp_dir.h"

namespace asr {
namespace {

using testing::DifferenceFrom;
using testing::DiskContent;
using ::testing::IsEmpty;

constexpr std::uint64_t kGroups = 40;
constexpr std::uint64_t kRestoredDiskBytes = kGroups * kGroupBytes - kMiB + 512;

// Asks to stop once a task has advanced by so many bytes; 0: never.
struct Stopping : ProgressSink {
  void TaskStarted(const std::string&, std::uint64_t) override {}
  void TaskAdvanced(std::uint64_t bytes) override {
    done_bytes += bytes;
    if (after_bytes != 0 && done_bytes >= after_bytes) stop.request_stop();
  }
  void TaskEnded(bool) override {}
  void Warn(const std::string&) override {}
  std::uint64_t after_bytes = 0;
  std::atomic<std::uint64_t> done_bytes = 0;
  std::stop_source stop;
};

// As NFS: another machine may hold what we take for ours.
class NetworkFileSystem : public testing::FaultFileSystem {
 public:
  using FaultFileSystem::FaultFileSystem;
  Result<std::string> NetworkType(const std::string&) override { return std::string("NFS"); }
};

// A VM of two disks with a chunk and a half of data in every group, and a point of it.
class RestoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(directory_ / "vms/web");
    clock_.Set(*ParseTime("2026-11-23T06:30:00Z"));
    for (const std::string name : {"data", "root"}) {
      DiskContent content(kRestoredDiskBytes);
      for (std::uint64_t group = 0; group < kGroups; ++group) {
        content.AddPiece(group * kGroupBytes + group % 7 * kChunkBytes, kChunkBytes * 3 / 2);
      }
      WriteDisk(name, content);
      disks_.emplace(name, std::move(content));
    }
    const Status status = Run([&](Environment& environment) -> Status {
      ASR_CHECK(CreateVault(environment, "v", directory_ / "vault", DigestAlgorithm::kSha256));
      ASR_TRY(const auto vault, OpenVault(environment, ""));
      ASR_CHECK(vault->PutPolicy({.name = "p", .retention = {{std::chrono::hours(24), {}}}}));
      ASR_CHECK(
          environment.state.AddHost({.name = "h", .kind = "folder", .path = directory_ / "vms"}));
      ASR_TRY(const Job job, EnableProtection(environment, *vault, {.vm = "web", .policy = "p"}));
      return OutcomeOf(job);
    });
    ASSERT_TRUE(status) << status.error().Line();
  }

  void WriteDisk(const std::string& name, const DiskContent& content) {
    testing::ImageFileMaker file(directory_ / ("vms/web/" + name + ".raw"));
    for (const auto& [offset, piece] : content.pieces()) file.Put(offset, piece);
    std::filesystem::resize_file(directory_ / ("vms/web/" + name + ".raw"), kRestoredDiskBytes);
  }

  // The first groups of disk data stay, others are gone, and some are new.
  void ChangeDisk(std::uint64_t first_groups) {
    DiskContent content(kRestoredDiskBytes);
    for (std::uint64_t group = 0; group < kGroups; group += group < first_groups ? 1 : 3) {
      content.AddPiece(group * kGroupBytes + group % 7 * kChunkBytes, kChunkBytes * 3 / 2);
    }
    content.AddPiece((first_groups + 2) * kGroupBytes, kChunkBytes);
    std::filesystem::remove(directory_ / "vms/web/data.raw");
    WriteDisk("data", content);
    disks_.erase("data");
    disks_.emplace("data", std::move(content));
  }

  static Status OutcomeOf(const Job& job) {
    return job.error ? Status(Fail(*job.error)) : Status();
  }

  Status Run(const std::function<Status(Environment&)>& verb) {
    ASR_TRY(const auto state, StateDatabase::Open(PosixFileSystem(), clock_, directory_ / "state"));
    Environment environment{.fs = *fs_,
                            .clock = clock_,
                            .state = *state,
                            .progress = *progress_,
                            .state_directory = directory_ / "state",
                            .stop = progress_->stop.get_token()};
    return verb(environment);
  }

  // Of the newest point; `stop_after_bytes` 0: to the end. The error is in the job.
  Job Restore(const std::string& format, std::uint64_t stop_after_bytes = 0, bool force = false) {
    progress_ = std::make_unique<Stopping>();
    progress_->after_bytes = stop_after_bytes;
    Job job;
    const Status status = Run([&](Environment& environment) -> Status {
      ASR_TRY(const auto vault, OpenVault(environment, ""));
      ASR_TRY(const Item item, vault->FindItem("web"));
      ASR_TRY(job, RestorePoint(environment, *vault, item,
                                {.point = {},
                                 .directory = directory_ / "out",
                                 .format = format,
                                 .overwrite = force}));
      return {};
    });
    if (!status) job.error = status.error();
    progress_ = std::make_unique<Stopping>();
    return job;
  }

  void Replicate() {
    clock_.Set(clock_.Now() + std::chrono::minutes(6));
    const Status status = Run([&](Environment& environment) -> Status {
      ASR_TRY(const auto vault, OpenVault(environment, ""));
      ASR_TRY(const Item item, vault->FindItem("web"));
      ASR_TRY(const auto outcome, asr::Replicate(environment, *vault, item));
      return OutcomeOf(outcome.job);
    });
    ASSERT_TRUE(status) << status.error().Line();
  }

  [[nodiscard]] std::string OutPath(const std::string& name, const std::string& format) const {
    return directory_ / ("out/" + name + "." + ImageEnding(format));
  }
  void ExpectRestored(const std::string& format) const {
    for (const auto& [name, content] : disks_) {
      const auto disk = OpenDisk(PosixFileSystem(), OutPath(name, format));
      ASSERT_TRUE(disk) << disk.error().Line();
      EXPECT_EQ(DifferenceFrom(content, **disk), "") << name << " as " << format;
    }
    EXPECT_THAT(Partials(), IsEmpty());
  }
  [[nodiscard]] std::vector<std::string> Partials() const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(directory_ / "out")) {
      const std::string name = entry.path().filename();
      if (name.find(".partial-") != std::string::npos) found.push_back(name);
    }
    return found;
  }
  [[nodiscard]] std::uint64_t BytesOfADisk() const {
    return kGroups * 2 * kChunkBytes;  // whole chunks are what is stored
  }

  testing::TempDir directory_;
  testing::FakeClock clock_;
  FileSystem* fs_ = &PosixFileSystem();
  std::unique_ptr<Stopping> progress_ = std::make_unique<Stopping>();
  std::map<std::string, DiskContent> disks_;
};

TEST_F(RestoreTest, GoesOnInTheMiddleOfADiskInEachFormat) {
  for (const std::string format : {"raw", "vhd", "vhd-dynamic", "vhdx"}) {
    SCOPED_TRACE(format);
    const Job cut = Restore(format, 1);
    ASSERT_EQ(cut.state, JobState::kCancelled);
    ASSERT_TRUE(cut.error);
    EXPECT_THAT(Partials(),
                ::testing::ElementsAre("data." + ImageEnding(format) + ".partial-" + format));
    const Job job = Restore(format);
    ASSERT_FALSE(job.error) << job.error->Line();
    ExpectRestored(format);
    EXPECT_GT(job.stats.bytes_resumed, 0U);
    EXPECT_EQ(job.stats.bytes_resumed, cut.stats.bytes_sent);
    EXPECT_EQ(job.stats.bytes_read + job.stats.bytes_resumed, 2 * BytesOfADisk());
    for (const Task& task : job.tasks) EXPECT_EQ(task.bytes_done, task.bytes_total);
    std::filesystem::remove_all(directory_ / "out");
  }
}

// Torn writes, bits that flipped, what nobody knows where it comes from, and a file of another
// size.
TEST_F(RestoreTest, BelievesNothingThatItDoesNotRead) {
  for (const std::string format : {"raw", "vhdx"}) {
    SCOPED_TRACE(format);
    const Job cut = Restore(format, 20 * kChunkBytes);
    const std::string partial = OutPath("data", format) + ".partial-" + format;
    const auto file = PosixFileSystem().Open(partial, {.mode = OpenMode::kWrite}).value();
    std::vector<std::uint64_t> written;
    std::vector<std::byte> chunk(kChunkBytes);
    const std::uint64_t file_bytes = file->Stat()->size_bytes;
    for (std::uint64_t at = 4 * kMiB; at + kChunkBytes <= file_bytes; at += kChunkBytes) {
      ASSERT_TRUE(file->ReadAt(at, chunk));
      if (std::ranges::count(chunk, std::byte{0}) == 0) written.push_back(at);
    }
    ASSERT_GT(written.size(), 3U);
    ASSERT_TRUE(file->WriteAt(written[1], std::vector<std::byte>(4096)));
    const std::vector<std::byte> other(64 * kKiB, std::byte{0x5A});
    ASSERT_TRUE(file->WriteAt(written[2] + 512 * kKiB, other));
    ASSERT_TRUE(file->WriteAt(file_bytes, other));
    const Job job = Restore(format);
    ASSERT_FALSE(job.error) << job.error->Line();
    ExpectRestored(format);
    EXPECT_LT(job.stats.bytes_resumed, cut.stats.bytes_sent);
    EXPECT_GT(job.stats.bytes_resumed, 0U);
    std::filesystem::remove_all(directory_ / "out");
  }
}

TEST_F(RestoreTest, ANewerPointTakesWhatItSharesWithTheOlderOnesFile) {
  for (const std::string format : {"raw", "vhdx"}) {
    SCOPED_TRACE(format);
    ASSERT_EQ(Restore(format, 1).state, JobState::kCancelled);
    ChangeDisk(4);
    Replicate();
    const Job job = Restore(format);
    ASSERT_FALSE(job.error) << job.error->Line();
    ExpectRestored(format);
    EXPECT_GT(job.stats.bytes_resumed, 0U);
    std::filesystem::remove_all(directory_ / "out");
  }
}

TEST_F(RestoreTest, DisksThatAreDoneCountAsDone) {
  ASSERT_EQ(Restore("raw", BytesOfADisk() + 1).state, JobState::kCancelled);
  ASSERT_TRUE(Exists(PosixFileSystem(), OutPath("data", "raw")));
  const Job job = Restore("raw");
  ASSERT_FALSE(job.error) << job.error->Line();
  ExpectRestored("raw");
  EXPECT_GE(job.stats.bytes_resumed, BytesOfADisk());
  EXPECT_LT(job.stats.bytes_read, BytesOfADisk());
  // It has ended: these are files like all others now.
  const Job again = Restore("raw");
  ASSERT_TRUE(again.error);
  EXPECT_EQ(again.error->code, ErrorCode::kAlreadyExists);
}

TEST_F(RestoreTest, ADoneDiskThatWasWrittenSinceIsNotOurs) {
  ASSERT_EQ(Restore("raw", BytesOfADisk() + 1).state, JobState::kCancelled);
  {
    const auto file =
        PosixFileSystem().Open(OutPath("data", "raw"), {.mode = OpenMode::kWrite}).value();
    ASSERT_TRUE(file->WriteAt(0, std::vector<std::byte>(512, std::byte{1})));
  }
  const Job refused = Restore("raw");
  ASSERT_TRUE(refused.error);
  EXPECT_EQ(refused.error->code, ErrorCode::kAlreadyExists);
  const Job forced = Restore("raw", 0, /*force=*/true);
  ASSERT_FALSE(forced.error) << forced.error->Line();
  ExpectRestored("raw");
}

// Both disks are of one instant, whatever came meanwhile.
TEST_F(RestoreTest, TheRestIsOfThePointThatWasBegunWith) {
  ASSERT_EQ(Restore("raw", BytesOfADisk() + 1).state, JobState::kCancelled);
  const auto before = disks_;
  ChangeDisk(4);
  Replicate();
  const Job job = Restore("raw");
  ASSERT_FALSE(job.error) << job.error->Line();
  EXPECT_GE(job.stats.bytes_resumed, BytesOfADisk());
  disks_ = before;
  ExpectRestored("raw");
}

TEST_F(RestoreTest, WithForceItIsOfTheNewestPoint) {
  ASSERT_EQ(Restore("raw", BytesOfADisk() + 1).state, JobState::kCancelled);
  ChangeDisk(4);
  Replicate();
  const Job job = Restore("raw", 0, /*force=*/true);
  ASSERT_FALSE(job.error) << job.error->Line();
  ExpectRestored("raw");
}

TEST_F(RestoreTest, BeginsAnewWhereALockKeepsNobodyOut) {
  NetworkFileSystem network(PosixFileSystem());
  fs_ = &network;
  ASSERT_EQ(Restore("raw", 1).state, JobState::kCancelled);
  EXPECT_THAT(Partials(), IsEmpty());
  const Job job = Restore("raw");
  ASSERT_FALSE(job.error) << job.error->Line();
  EXPECT_EQ(job.stats.bytes_resumed, 0U);
  ExpectRestored("raw");
}

}  // namespace
}  // namespace asr
