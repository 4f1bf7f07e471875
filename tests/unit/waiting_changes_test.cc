#include "core/jobs/waiting_changes.h"

#include <gtest/gtest.h>

#include <fmt/format.h>

#include "core/jobs/send_changes.h"
#include "core/vault/layout.h"
#include "storage/blob/forwarding_store.h"
#include "storage/blob/memory_store.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"

namespace asr {
namespace {

using testing::FakeClock;
using testing::TempDir;

class CountedStore : public ForwardingStore {
 public:
  using ForwardingStore::ForwardingStore;
  int requests = 0;

  Result<std::string> Get(const std::string& name) override {
    ++requests;
    return base().Get(name);
  }
  Result<std::vector<BlobInfo>> List(const std::string& prefix) override {
    ++requests;
    return base().List(prefix);
  }
  Result<std::vector<std::string>> ListNames(const std::string& prefix) override {
    ++requests;
    return base().ListNames(prefix);
  }
};

// Each cycle of each item looks for those that are gone.
TEST(WaitingChangesTest, GoneItemsAreFoundByOneRequest) {
  constexpr int kItems = 40;
  TempDir directory;
  FakeClock clock;
  const auto state = StateDatabase::Open(PosixFileSystem(), clock, directory / "state");
  ASSERT_TRUE(state) << state.error().Line();
  Environment environment{.fs = PosixFileSystem(),
                          .clock = clock,
                          .state = **state,
                          .progress = NoProgress(),
                          .state_directory = directory / "state",
                          .stop = {}};
  auto counted = std::make_unique<CountedStore>(MakeMemoryStore());
  CountedStore& store = *counted;
  const auto vault =
      Vault::Create(std::move(counted), "main", DigestAlgorithm::kSha256, clock.Now());
  ASSERT_TRUE(vault) << vault.error().Line();
  const auto path_of = [&](const ItemId& item) {
    return LogSetsOf(environment, (*vault)->identity().id, item).directory();
  };
  for (int i = 0; i < kItems; ++i) {
    const ItemId item{fmt::format("vm-{:08x}", i)};
    ASSERT_TRUE((*vault)->store().Put(layout::ItemDocument(item), AsBytes("{}")));
    ASSERT_TRUE(environment.fs.CreateDirectories(path_of(item)));
  }
  const ItemId gone{"gone-00000001"};
  ASSERT_TRUE(environment.fs.CreateDirectories(path_of(gone)));
  RemoveChangesOfGoneItems(environment, **vault);
  EXPECT_FALSE(environment.fs.Stat(path_of(gone)));
  EXPECT_TRUE(environment.fs.Stat(path_of({"vm-00000000"})));
  store.requests = 0;
  RemoveChangesOfGoneItems(environment, **vault);
  EXPECT_EQ(store.requests, 1);
}

}  // namespace
}  // namespace asr
