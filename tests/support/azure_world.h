// A VM, its replica in a container of the page-blob server, and machines that share it, for tests
// of whole jobs. Waiting costs no time: clients have a clock of their own, which the server's
// follows from one verb to the next.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/jobs/protect.h"
#include "core/jobs/replicate.h"
#include "core/jobs/restore.h"
#include "core/jobs/rollback.h"
#include "core/jobs/vaults.h"
#include "core/points/sealed_disk.h"
#include "storage/auth/storage_credential.h"
#include "storage/blob/azure_store.h"
#include "storage/http/curl_transport.h"
#include "storage/image/vhd_footer.h"
#include "tests/support/fake_clock.h"
#include "tests/support/page_blob_server/page_blob_server.h"
#include "tests/support/temp_dir.h"

namespace asr::testing {

inline constexpr std::uint64_t kAzureDiskBytes = 6 * kMiB + 512;

// Gives up on a silent server soon.
class HastyTransport : public HttpTransport {
 public:
  HastyTransport(std::unique_ptr<HttpTransport> inner, double stall_seconds)
      : inner_(std::move(inner)), stall_seconds_(stall_seconds) {}

  Result<HttpResponse> Send(const HttpRequest& request, const std::stop_token& stop) override {
    HttpRequest hasty = request;
    hasty.stall_timeout_seconds = stall_seconds_;
    return inner_->Send(hasty, stop);
  }

 private:
  std::unique_ptr<HttpTransport> inner_;
  double stall_seconds_;
};

class AzureWorld {
 public:
  using Verb = std::function<Status(Environment&, Vault&)>;

  explicit AzureWorld(std::uint64_t seed) : random_(seed), content_(kAzureDiskBytes) {
    clock_.Set(std::chrono::time_point_cast<std::chrono::milliseconds>(Started()));
    EXPECT_TRUE(PosixFileSystem().CreateDirectories(directory_ / "vms/web"));
    EXPECT_TRUE(WriteFileAtomic(PosixFileSystem(), DiskPath(), content_));
    Change();
  }

  // Writes some of the disk anew, as a guest does: data, and a run of zeros.
  void Change() {
    for (int i = 0; i < 5; ++i) {
      const std::uint64_t at = random_() % (kAzureDiskBytes / 512) * 512;
      const std::uint64_t length = std::min<std::uint64_t>(kAzureDiskBytes - at, 100 * kKiB);
      for (std::uint64_t k = 0; k < length; ++k) {
        content_[at + k] = i == 0 ? std::byte{0} : static_cast<std::byte>(random_());
      }
    }
    WriteDisk();
  }
  void Fill(Extent range, bool with_zeros) {
    for (std::uint64_t k = range.offset_bytes; k < range.end_bytes(); ++k) {
      content_[k] = with_zeros ? std::byte{0} : static_cast<std::byte>(random_() | 1);
    }
    WriteDisk();
  }

  // Some of what is new has data.
  void Grow(std::uint64_t size_bytes) {
    const std::uint64_t old_bytes = content_.size();
    content_.resize(size_bytes);
    Fill({old_bytes - 512, 80 * kKiB}, /*with_zeros=*/false);
    Fill({size_bytes - 5120, 5120}, /*with_zeros=*/false);
  }

  void Advance(std::chrono::seconds time) {
    clock_.Advance(static_cast<double>(time.count()));
    FollowClock();
  }

  // As a command on this machine: with a store, and a state, of its own.
  Status Run(const std::string& machine, const Verb& verb) {
    return RunBare(machine, [&](Environment& environment) -> Status {
      ASR_TRY(auto store, OpenStore(machine));
      ASR_TRY(const auto vault, Vault::Open(std::move(store), "v"));
      vault->KeepDigests({PosixFileSystem(), directory_ / (machine + "/digests")});
      return verb(environment, *vault);
    });
  }
  Status RunBare(const std::string& machine, const std::function<Status(Environment&)>& verb) {
    FollowClock();
    ASR_TRY(const auto state, StateDatabase::Open(PosixFileSystem(), clock_, directory_ / machine));
    Environment environment{.fs = PosixFileSystem(),
                            .clock = clock_,
                            .state = *state,
                            .progress = warnings,
                            .state_directory = directory_ / machine,
                            .stop = {}};
    environment.variables = [this](const std::string& name) -> std::optional<std::string> {
      if (name != "AZURE_STORAGE_CONNECTION_STRING") return std::nullopt;
      return ConnectionString();
    };
    return verb(environment);
  }
  Result<std::unique_ptr<BlobStore>> OpenStore(const std::string& machine) {
    return OpenContainer(machine, "vault", /*create=*/false);
  }
  Result<std::unique_ptr<BlobStore>> OpenContainer(const std::string& machine,
                                                   const std::string& container, bool create) {
    ASR_TRY(const StorageCredential credential, ParseConnectionString(Secret(ConnectionString())));
    ASR_TRY(auto authorizer, MakeAuthorizer(credential, credential.account, clock_));
    ASR_TRY(auto curl, CurlTransport::Create({}));
    return OpenAzureStore(
        {.container_url = server.url() + "/" + container,
         .transport = std::make_unique<HastyTransport>(std::move(curl), stall_seconds),
         .authorizer = std::move(authorizer),
         .leases = {PosixFileSystem(), directory_ / (machine + "/leases"), machine},
         .cache_path = keeps_lists ? directory_ / (machine + "/lists.db") : "",
         .vault_id = "v",
         .stop = {}},
        create, clock_);
  }

  // The account's first key is withdrawn; all machines are given another one.
  void ChangeKey() {
    key_ = "bmV3IGtleSBhZnRlciB0aGUgb2xkIG9uZQ==";
    server.SetKeys({key_});
  }

  // The verbs.
  Status CreateTheVault(const std::string& machine) {
    ASR_CHECK(RunBare(machine, [&](Environment& environment) -> Status {
      ASR_CHECK(CreateVault(environment, "v", server.url() + "/vault", DigestAlgorithm::kSha256));
      return AddHost(environment);
    }));
    return Run(machine, [](Environment&, Vault& vault) {
      return vault.PutPolicy({.name = "p", .retention = {{std::chrono::minutes(20), {}}}});
    });
  }
  Status ConnectTheVault(const std::string& machine) {
    return RunBare(machine, [&](Environment& environment) -> Status {
      ASR_CHECK(ConnectVault(environment, "v", server.url() + "/vault"));
      return AddHost(environment);
    });
  }
  Status Enable(const std::string& machine) { return EnableFrom({}, machine); }
  // Begins with what UploadSeed left.
  Status EnableFromSeed(const std::string& machine) {
    return EnableFrom({.seeds = {server.url() + "/seeds/old.vhd"}}, machine);
  }
  // A fixed VHD of another container, of which the disk shares some.
  Status UploadSeed() {
    std::vector<std::byte> seed = content_;
    for (std::uint64_t k = kMiB; k < kAzureDiskBytes / 2; ++k) seed[k] |= std::byte{0x10};
    ASR_TRY(auto store, OpenContainer("uploader", "seeds", /*create=*/true));
    ASR_TRY(auto blob, store->CreatePageBlob("old.vhd", kAzureDiskBytes + kVhdFooterBytes));
    ASR_CHECK(blob->Write(0, seed));
    return blob->Write(kAzureDiskBytes, MakeFixedVhdFooter(kAzureDiskBytes, {}, 1));
  }
  Status Delta(const std::string& machine) {
    return Run(machine, [](Environment& environment, Vault& vault) -> Status {
      ASR_TRY(const Item item, vault.FindItem("web"));
      ASR_TRY(const auto outcome, Replicate(environment, vault, item));
      return OutcomeOf(outcome.job);
    });
  }
  Status RollBack(const std::string& machine) {
    return Run(machine, [](Environment& environment, Vault& vault) -> Status {
      ASR_TRY(const Item item, vault.FindItem("web"));
      ASR_TRY(const Job job, RollBackItem(environment, vault, item));
      return OutcomeOf(job);
    });
  }
  Status Restore(const std::string& machine) {
    return Run(machine, [&](Environment& environment, Vault& vault) -> Status {
      ASR_TRY(const Item item, vault.FindItem("web"));
      ASR_TRY(const Job job,
              RestorePoint(environment, vault, item,
                           {.point = {}, .directory = directory_ / "out", .overwrite = true}));
      return OutcomeOf(job);
    });
  }
  // As a pass that is cut: some chunks are in the live replica, and no point is sealed.
  Status SendHalf(const std::string& machine) {
    return Run(machine, [&](Environment&, Vault& vault) -> Status {
      ASR_TRY(const Item item, vault.FindItem("web"));
      ASR_TRY(const auto lease, vault.LeaseItem(item));
      ASR_TRY(const auto replicas, OpenReplicas(vault, *lease, /*create=*/false));
      const std::vector<ChangedChunks> changes = {{.group = 0, .chunk_mask = 0xFF}};
      ASR_CHECK(replicas[0]->Prepare(changes));
      return replicas[0]->Write(0, std::vector<std::byte>(3 * kChunkBytes, std::byte{0xEE}));
    });
  }

  // What is known of points. Those that were not there before hold the disk as it is now.
  void NotePoints() {
    const Status status = Run("observer", [&](Environment&, Vault& vault) -> Status {
      ASR_TRY(const Item item, vault.FindItem("web"));
      ASR_TRY(points, vault.ListPointIds(item.id));
      return {};
    });
    EXPECT_TRUE(status) << status.error().Line();
    for (const PointId& id : points) models_.try_emplace(id, content_);
  }
  // Every point reads as the disk was at its instant, and the newest one as it is now.
  void CheckPoints() {
    NotePoints();
    const Status status = Run("observer", [&](Environment&, Vault& vault) -> Status {
      ASR_TRY(const Item item, vault.FindItem("web"));
      for (const PointId& id : points) {
        ASR_TRY(const RecoveryPoint point, vault.ReadPoint(item.id, id));
        ASR_TRY(const auto sealed, SealedDisk::Open(vault, point, point.disks[0]));
        EXPECT_EQ(point.disks[0].size_bytes, models_[id].size()) << "point " << id.value;
        std::vector<std::byte> bytes(models_[id].size());
        ASR_CHECK(sealed->Read(0, bytes));
        EXPECT_TRUE(bytes == models_[id]) << "point " << id.value;
      }
      EXPECT_FALSE(points.empty());
      EXPECT_TRUE(points.empty() || models_[points.front()] == content_) << "latest";
      return {};
    });
    EXPECT_TRUE(status) << status.error().Line();
  }
  void ExpectRestored() {
    const auto text = ReadWholeFile(PosixFileSystem(), directory_ / "out/root.raw");
    ASSERT_TRUE(text) << text.error().Line();
    EXPECT_TRUE(std::ranges::equal(AsBytes(*text), content_));
  }

  static Status OutcomeOf(const Job& job) {
    return job.error ? Status(Fail(*job.error)) : Status();
  }
  [[nodiscard]] FakeClock& clock() { return clock_; }
  [[nodiscard]] const std::vector<std::byte>& content() const { return content_; }

  struct Warnings : ProgressSink {
    void TaskStarted(const std::string&, std::uint64_t) override {}
    void TaskAdvanced(std::uint64_t) override {}
    void TaskEnded(bool) override {}
    void Warn(const std::string& message) override { lines.push_back(message); }
    std::vector<std::string> lines;
  };
  Warnings warnings;
  PageBlobServer server;
  std::vector<PointId> points;  // newest first, as NotePoints saw them
  double stall_seconds = 20;
  bool keeps_lists = true;  // machines remember the documents that lists have read

 private:
  Status EnableFrom(const SeedRequest& seed, const std::string& machine) {
    return Run(machine, [&](Environment& environment, Vault& vault) -> Status {
      auto job = EnableProtection(environment, vault, {.vm = "web", .policy = "p", .seed = seed});
      // The trouble may have come after the last write.
      if (!job && job.error().code == ErrorCode::kItemExists) return {};
      ASR_CHECK(job);
      return OutcomeOf(*job);
    });
  }
  static std::chrono::system_clock::time_point Started() {
    return std::chrono::system_clock::now();
  }
  [[nodiscard]] std::string DiskPath() const { return directory_ / "vms/web/root.raw"; }
  Status AddHost(Environment& environment) {
    const Status added =
        environment.state.AddHost({.name = "h", .kind = "folder", .path = directory_ / "vms"});
    return environment.state.FindHost("h") ? Status() : added;
  }
  void WriteDisk() {
    const auto file = PosixFileSystem().Open(DiskPath(), {.mode = OpenMode::kWrite});
    ASSERT_TRUE(file && (*file)->WriteAt(0, content_) && (*file)->Sync());
  }
  // Time that clients waited has passed for the server, too.
  void FollowClock() {
    const auto server_now = std::chrono::system_clock::now() + ahead_;
    const auto behind = std::chrono::duration_cast<std::chrono::seconds>(clock_.Now() - server_now);
    if (behind <= std::chrono::seconds(0)) return;
    server.AdvanceClock(behind);
    ahead_ += behind;
  }

  [[nodiscard]] std::string ConnectionString() const {
    std::string text = server.ConnectionString();
    if (!key_.empty()) text.replace(text.find(server.key()), server.key().size(), key_);
    return text;
  }

  TempDir directory_;
  std::string key_;  // empty: the server's
  FakeClock clock_;
  std::chrono::seconds ahead_{0};
  std::mt19937_64 random_;
  std::vector<std::byte> content_;
  std::map<PointId, std::vector<std::byte>> models_;
};

}  // namespace asr::testing
