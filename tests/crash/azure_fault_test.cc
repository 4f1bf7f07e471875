// The life of a replica in a container, whose every request meets trouble once in every way: the
// vault's creation, enable from a seed, deltas, retention, restore, rollback, takeover by another
// machine. A command that fails is run again, and every point that was sealed reads back bit by
// bit.
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>

#include "tests/support/azure_world.h"

namespace asr {
namespace {

using testing::AzureWorld;
using testing::FaultAction;
using testing::FaultRule;
using testing::RequestRecord;

enum class Way : std::uint8_t {
  kCutRequest,
  kCutAnswer,
  kErrorUndone,
  kErrorDone,
  kBusy,
  kStall,
  kLateRefused,
  kLateCut,
  kWrongBytes,
  kExpired,
  kLostLease,
};

FaultRule RuleOf(Way way) {
  switch (way) {
    case Way::kCutRequest:
      return {.action = FaultAction::kCutRequest};
    case Way::kCutAnswer:
      return {.action = FaultAction::kCutAnswer};
    case Way::kErrorUndone:
      return {.action = FaultAction::kRefuse};
    case Way::kErrorDone:
      return {.action = FaultAction::kRefuse, .performs = true};
    case Way::kBusy:
      return {.action = FaultAction::kRefuse, .code = "ServerBusy", .retry_after_seconds = 2};
    case Way::kStall:
      return {.action = FaultAction::kStall};
    case Way::kLateRefused:
      return {.action = FaultAction::kDelay, .code = "OperationTimedOut"};
    case Way::kLateCut:
      return {.action = FaultAction::kDelay, .cuts = true};
    case Way::kWrongBytes:
      return {.action = FaultAction::kWrongBytes, .after_bytes = 150};
    case Way::kExpired:
      return {.action = FaultAction::kExpireCredential};
    case Way::kLostLease:
      return {.action = FaultAction::kLoseLease, .seconds = 30};
  }
  return {};
}

// The steps of a life, and the requests of each one.
class FaultLife {
 public:
  // The rule strikes request `index` of the life, counted from 0; negative: none does.
  FaultLife(Way way, int index) : world_(7), way_(way), index_(index) {
    if (way == Way::kStall) world_.stall_seconds = 0.6;
  }

  void Begin() {
    Step("create", [&] { return world_.CreateTheVault("one"); });
    const Status uploaded = world_.UploadSeed();
    ASSERT_TRUE(uploaded) << uploaded.error().Line();
    Step("enable", [&] { return world_.EnableFromSeed("one"); });
  }
  void Live() {
    ASSERT_NO_FATAL_FAILURE(Begin());
    Hold(true);
    for (int i = 0; i < 5; ++i) Delta("one");  // the last one removes a point in the middle
    Hold(false);
    Delta("one");  // and this one the oldest
    Step("restore", [&] { return world_.Restore("one"); });
    world_.ExpectRestored();
    Step("cut pass", [&] { return world_.SendHalf("one"); });
    Step("rollback", [&] { return world_.RollBack("one"); });
    Step("connect", [&] { return world_.ConnectTheVault("two"); });
    Delta("two");
    Delta("one");
    world_.server.ReleaseDelayed();
    Step("restore elsewhere", [&] { return world_.Restore("two"); });
    world_.ExpectRestored();
    world_.CheckPoints();
  }

  // The disk grows: pages, footer and digests with it.
  void Grow() {
    ASSERT_NO_FATAL_FAILURE(Begin());
    Delta("one");
    world_.Grow(9 * kMiB + 4096);
    growth_ = requests();
    Delta("one");
    Step("restore", [&] { return world_.Restore("one"); });
    world_.ExpectRestored();
    world_.server.ReleaseDelayed();
    world_.CheckPoints();
  }
  // The first request after the disk had grown.
  [[nodiscard]] int growth() const { return growth_; }

  void CheckPoints() { world_.CheckPoints(); }
  // Each list reads all documents then.
  void ForgetLists() { world_.keeps_lists = false; }

  [[nodiscard]] int requests() const { return static_cast<int>(log_.size()); }
  [[nodiscard]] const std::vector<RequestRecord>& log() const { return log_; }
  [[nodiscard]] const std::vector<std::vector<PointId>>& points() const { return points_; }
  [[nodiscard]] bool has_struck() const { return world_.server.strikes() > 0; }

 private:
  void Delta(const std::string& machine) {
    world_.Advance(std::chrono::minutes(6));
    world_.Change();
    Step("delta", [&] { return world_.Delta(machine); });
  }

  // A person's hold on the oldest point, for which no request fails.
  void Hold(bool is_held) {
    const Status status = world_.Run("observer", [&](Environment&, Vault& vault) -> Status {
      ASR_TRY(const Item item, vault.FindItem("web"));
      ASR_TRY(const auto ids, vault.ListPointIds(item.id));
      return is_held ? vault.HoldPoint(item.id, ids.back())
                     : vault.ReleasePoint(item.id, ids.back());
    });
    ASSERT_TRUE(status) << status.error().Line();
  }

  void Step(const std::string& name, const std::function<Status()>& command) {
    if (::testing::Test::HasFailure()) return;
    world_.server.ClearLog();
    if (index_ >= requests()) {
      FaultRule rule = RuleOf(way_);
      rule.skip = index_ - requests();
      world_.server.AddFault(rule);
    }
    constexpr int kTries = 4;
    for (int i = 0; i < kTries; ++i) {
      const Status status = command();
      if (status) break;
      ASSERT_LT(i, kTries - 1) << name << ": " << status.error().Line();
      ASSERT_GE(index_, 0) << name << ": " << status.error().Line();
      if (way_ == Way::kExpired) world_.ChangeKey();
      const bool waits = status.error().kind == ErrorKind::kBusy || way_ == Way::kLostLease;
      if (waits) world_.Advance(std::chrono::seconds(61));
    }
    world_.server.ClearFaults();
    world_.server.ReleaseDelayed();
    for (const RequestRecord& record : world_.server.Log()) log_.push_back(record);
    // It may be that only giving the lease back met it, which no command fails for.
    if (way_ == Way::kExpired && has_struck()) world_.ChangeKey();
    if (name == "create") return;
    world_.NotePoints();
    points_.push_back(world_.points);
  }

  AzureWorld world_;
  const Way way_;
  const int index_;
  int growth_ = 0;
  std::vector<RequestRecord> log_;
  std::vector<std::vector<PointId>> points_;
};

// Under sanitizers: see tests/run.sh.
bool FewCalls() { return std::getenv("ASR_FEW_CALLS") != nullptr; }

class AzureFaultTest : public ::testing::TestWithParam<Way> {};

TEST_P(AzureFaultTest, ALifeGoesOnAfterEveryRequest) {
  FaultLife sound(GetParam(), -1);
  ASSERT_NO_FATAL_FAILURE(sound.Live());
  ASSERT_GT(sound.requests(), 200);
  const bool is_nightly = std::getenv("ASR_NIGHTLY") != nullptr;
  const int in_ci = FewCalls() ? 2 : 7;
  const int stride = is_nightly ? 1 : sound.requests() / in_ci;
  // Each way begins elsewhere, so that together they meet more requests.
  const int first = is_nightly ? 0 : 5 * static_cast<int>(GetParam());
  for (int index = first; index < sound.requests(); index += stride) {
    const RequestRecord& meant = sound.log()[static_cast<std::size_t>(index)];
    SCOPED_TRACE(::testing::Message()
                 << "request " << index << ": " << meant.operation << " " << meant.blob);
    FaultLife life(GetParam(), index);
    life.Live();
    // Lives that meet trouble may take a request less.
    EXPECT_TRUE(life.has_struck() || index >= life.requests());
    for (std::size_t i = 0; i < std::min(life.points().size(), sound.points().size()); ++i) {
      // A list has no checksum. One that misses a point makes retention keep it a while longer.
      const std::size_t expected = sound.points()[i].size();
      EXPECT_GE(life.points()[i].size(), expected) << "after step " << i + 1;
      if (GetParam() == Way::kWrongBytes) continue;
      EXPECT_EQ(life.points()[i].size(), expected) << "after step " << i + 1;
    }
    if (HasFailure()) return;
  }
}

TEST_P(AzureFaultTest, EnableGoesOnAfterRequestsToItsSeed) {
  const bool is_nightly = std::getenv("ASR_NIGHTLY") != nullptr;
  FaultLife sound(GetParam(), -1);
  ASSERT_NO_FATAL_FAILURE(sound.Begin());
  std::vector<int> meant;
  for (int index = 0; index < sound.requests(); ++index) {
    if (sound.log()[static_cast<std::size_t>(index)].container == "seeds") meant.push_back(index);
  }
  ASSERT_GT(meant.size(), 3U);
  // Each way begins elsewhere, so that together they meet all.
  const std::size_t stride_in_ci = FewCalls() ? 11 : 3;
  const std::size_t stride = is_nightly ? 1 : stride_in_ci;
  for (std::size_t i = static_cast<std::size_t>(GetParam()) % stride; i < meant.size();
       i += stride) {
    // The minute until a silent server is given up cannot be cut short here.
    if (GetParam() == Way::kStall && !is_nightly && i >= stride) break;
    SCOPED_TRACE(::testing::Message() << "request " << meant[i]);
    FaultLife life(GetParam(), meant[i]);
    life.Begin();
    EXPECT_TRUE(life.has_struck());
    life.CheckPoints();
    if (HasFailure()) return;
  }
}

TEST_P(AzureFaultTest, AReplicaGrowsAfterEveryRequest) {
  const bool is_nightly = std::getenv("ASR_NIGHTLY") != nullptr;
  FaultLife sound(GetParam(), -1);
  ASSERT_NO_FATAL_FAILURE(sound.Grow());
  int resizes = 0;
  const int stride_in_ci = FewCalls() ? 33 : 7;
  const int stride = is_nightly ? 1 : stride_in_ci;
  for (int index = sound.growth(); index < sound.requests(); ++index) {
    const RequestRecord& meant = sound.log()[static_cast<std::size_t>(index)];
    const bool is_resize = meant.operation == "SetBlobProperties" && ++resizes > 0;
    // Each way begins elsewhere, so that together they meet all.
    if (!is_resize && (index + static_cast<int>(GetParam())) % stride != 0) continue;
    SCOPED_TRACE(::testing::Message()
                 << "request " << index << ": " << meant.operation << " " << meant.blob);
    FaultLife life(GetParam(), index);
    life.Grow();
    EXPECT_TRUE(life.has_struck() || index >= life.requests());
    if (HasFailure()) return;
  }
  EXPECT_GT(resizes, 2);
}

// Retention reads all points before it judges them. One that cannot be had for want of a credential
// is no damaged one, which would stay while the others are judged without it.
TEST(AzureRetentionTest, ACredentialThatEndsMeanwhileFailsTheJob) {
  FaultLife sound(Way::kExpired, -1);
  sound.ForgetLists();
  ASSERT_NO_FATAL_FAILURE(sound.Live());
  const auto is_point = [&](int index) {
    const RequestRecord& record = sound.log()[static_cast<std::size_t>(index)];
    return record.operation == "GetBlob" && record.blob.find("/points/") != std::string::npos;
  };
  int tried = 0;
  for (int index = sound.requests() / 4; index + 3 < sound.requests() && tried < 3; ++index) {
    // Several at once, as nothing but retention reads them.
    if (!is_point(index) || !is_point(index + 1) || !is_point(index + 2)) continue;
    SCOPED_TRACE(index);
    ++tried;
    FaultLife life(Way::kExpired, index + 1);
    life.ForgetLists();
    life.Live();
    EXPECT_TRUE(life.has_struck());
    ASSERT_EQ(life.points().size(), sound.points().size());
    for (std::size_t i = 0; i < life.points().size(); ++i) {
      EXPECT_EQ(life.points()[i].size(), sound.points()[i].size()) << "after step " << i + 1;
    }
    index += 60;
  }
  EXPECT_EQ(tried, 3);
}

std::string WayName(const ::testing::TestParamInfo<Way>& test) {
  constexpr std::array kNames = {"CutRequest", "CutAnswer", "ErrorUndone", "ErrorDone",
                                 "Busy",       "Stall",     "LateRefused", "LateCut",
                                 "WrongBytes", "Expired",   "LostLease"};
  return kNames[static_cast<std::size_t>(test.param)];
}

INSTANTIATE_TEST_SUITE_P(Ways, AzureFaultTest,
                         ::testing::Values(Way::kCutRequest, Way::kCutAnswer, Way::kErrorUndone,
                                           Way::kErrorDone, Way::kBusy, Way::kStall,
                                           Way::kLateRefused, Way::kLateCut, Way::kWrongBytes,
                                           Way::kExpired, Way::kLostLease),
                         WayName);

}  // namespace
}  // namespace asr
