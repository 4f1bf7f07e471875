#include "core/jobs/vault_status.h"

#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "core/jobs/log_while_away.h"
#include "core/jobs/test_failover.h"
#include "storage/base/text.h"

namespace asr {
namespace {

constexpr std::chrono::hours kFailuresLookedAt{24};

// A test that runs is something to end; what is left of one is something to remove.
void AddTest(VaultStatus& status, const TestFailoverStatus& test, const std::string& vm) {
  const auto left = DescribeLeftOver(test);
  if (!left && test.is_busy) return;
  Error error = MakeError(ErrorKind::kState, ErrorCode::kTestFailoverExists,
                          left ? *left : fmt::format("the test failover of VM {} still runs", vm));
  if (!left) {
    error.action = "when the test is done: asr test-failover-cleanup " + ShellQuote(vm);
  }
  status.attention.push_back(
      {.severity = ReplicationHealth::kWarning, .item = vm, .error = std::move(error)});
}

void AddVm(VaultStatus& status, const Item& item, const ItemStatus& of_item) {
  for (std::size_t i = 0; i < of_item.health.errors.size(); ++i) {
    // The first is what made the health what it is; the others weigh no more than a warning.
    status.attention.push_back(
        {.severity = i == 0 ? of_item.health.health : ReplicationHealth::kWarning,
         .item = item.name,
         .error = of_item.health.errors[i]});
  }
  if (of_item.test) AddTest(status, *of_item.test, item.name);
  status.vms.push_back({.item = item, .status = of_item});
}

// Those of VMs that the vault does not list, or not any more.
Status AddOtherTests(Environment& environment, const Vault& vault, VaultStatus& status) {
  ASR_TRY(const auto tests, ListTestFailovers(environment));
  for (const TestFailoverStatus& test : tests) {
    if (test.is_recorded && test.test.vault_id != vault.identity().id) continue;
    const bool is_listed = std::any_of(
        status.vms.begin(), status.vms.end(),
        [&](const VmStatus& vm) { return vm.status.test && vm.item.id == test.test.item; });
    if (!is_listed) AddTest(status, test, test.test.vm);
  }
  return {};
}

// Newest first: a failure counts unless the same was done with success later. A failed replication
// is told by the VM's health already.
Status AddJobs(Environment& environment, const Vault& vault, VaultStatus& status) {
  const Timestamp since = environment.clock.Now() - kFailuresLookedAt;
  ASR_TRY(const auto running,
          environment.state.ListJobs({.item = {}, .state = {}, .is_running = true, .since = {}}));
  for (const Job& job : running) {
    if (job.vault == vault.name()) status.running.push_back(job);
  }
  ASR_TRY(const auto jobs, environment.state.ListJobs({.item = {}, .state = {}, .since = since}));
  std::set<std::pair<std::string, std::string>> seen;
  for (const Job& job : jobs) {
    if (job.vault != vault.name() || !HasEnded(job.state)) continue;
    // The cycle that it stands in for has failed, too, until one succeeds.
    if (job.type == kLogChangesJob) continue;
    if (!seen.emplace(job.type, job.item).second || job.state != JobState::kFailed) continue;
    ++status.failed_jobs;
    const bool told = std::any_of(status.attention.begin(), status.attention.end(),
                                  [&](const Attention& attention) {
                                    return job.error && attention.item == job.item &&
                                           attention.error.message == job.error->message;
                                  });
    if (told) continue;
    status.attention.push_back(
        {.severity = ReplicationHealth::kWarning,
         .item = job.item,
         .error = MakeError(ErrorKind::kState, ErrorCode::kJobState,
                            fmt::format("job {} ({}) failed: {}", job.id.value, job.type,
                                        job.error ? job.error->Line() : "it is not known why"))
                      .WithAction(fmt::format("asr jobs show {}", job.id.value))});
  }
  return {};
}

}  // namespace

ReplicationHealth VaultStatus::health() const {
  return attention.empty() ? ReplicationHealth::kNormal : attention.front().severity;
}

std::size_t VaultStatus::Count(ReplicationHealth health) const {
  return static_cast<std::size_t>(std::count_if(vms.begin(), vms.end(), [&](const VmStatus& vm) {
    return vm.item.state != ProtectionState::kUnprotected && vm.status.health.health == health;
  }));
}

std::optional<std::chrono::milliseconds> VaultStatus::worst_rpo() const {
  std::optional<std::chrono::milliseconds> worst;
  for (const VmStatus& vm : vms) {
    if (vm.status.health.rpo)
      worst = std::max(worst.value_or(*vm.status.health.rpo), *vm.status.health.rpo);
  }
  return worst;
}

std::optional<std::uint64_t> VaultStatus::backlog_bytes() const {
  std::optional<std::uint64_t> sum;
  for (const VmStatus& vm : vms) {
    if (vm.status.backlog) sum = sum.value_or(0) + vm.status.backlog->bytes;
  }
  return sum;
}

Result<VaultStatus> GatherVaultStatus(Environment& environment, Vault& vault) {
  VaultStatus status;
  ASR_TRY(const auto listing, vault.ListItems());
  for (const auto& [id, error] : listing.unreadable) {
    status.attention.push_back(
        {.severity = ReplicationHealth::kCritical, .item = "", .error = error});
  }
  for (const Item& item : listing.items) {
    ASR_TRY(const ItemStatus of_item, GatherItemStatus(environment, vault, item));
    AddVm(status, item, of_item);
  }
  ASR_CHECK(AddOtherTests(environment, vault, status));
  ASR_CHECK(AddJobs(environment, vault, status));
  std::stable_sort(status.attention.begin(), status.attention.end(),
                   [](const Attention& a, const Attention& b) { return a.severity > b.severity; });
  return status;
}

}  // namespace asr
