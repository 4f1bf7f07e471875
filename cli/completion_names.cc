#include "cli/completion_names.h"

#include <algorithm>
#include <chrono>
#include <map>

#include <fmt/format.h>

#include "cli/text_format.h"
#include "core/jobs/credentials.h"
#include "core/jobs/hosts.h"
#include "core/model/duration.h"

namespace asr {
namespace {

using Candidates = std::vector<Candidate>;

// As many as a person looks through; a letter of the id more brings the rest nearer.
constexpr std::size_t kMostJobs = 100;

Candidates Words(const std::vector<std::string>& words) {
  Candidates candidates;
  for (const std::string& word : words) candidates.push_back({.value = word, .description = ""});
  return candidates;
}

std::string Age(Session& session, Timestamp time) {
  return HumanAge(std::chrono::duration<double>(session.Now() - time).count());
}

Result<Candidates> Vaults(Session& session) {
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(const auto vaults, environment->state.ListVaults());
  Candidates candidates;
  for (const VaultRegistration& vault : vaults) candidates.push_back({vault.name, vault.target});
  return candidates;
}

Result<Candidates> Hosts(Session& session) {
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(const auto hosts, environment->state.ListHosts());
  Candidates candidates;
  for (const HostRegistration& host : hosts) candidates.push_back({host.name, host.path});
  return candidates;
}

Result<Candidates> Credentials(Session& session) {
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(const auto listing, CredentialsOf(*environment).List());
  Candidates candidates;
  for (const CredentialSummary& credential : listing.credentials) {
    candidates.push_back({credential.name, std::string(CredentialKindName(credential.kind))});
  }
  for (const auto& [name, error] : listing.unreadable) candidates.push_back({name, error.Line()});
  return candidates;
}

Result<Candidates> Policies(Session& session) {
  ASR_TRY(Vault* const vault, session.OpenVault());
  ASR_TRY(const PolicyListing listing, vault->ListPolicies());
  Candidates candidates;
  for (const Policy& policy : listing.policies) {
    candidates.push_back({policy.name, fmt::format("every {}", FormatDuration(policy.frequency))});
  }
  for (const auto& [name, error] : listing.unreadable) candidates.push_back({name, error.Line()});
  return candidates;
}

// A VM by the shortest of its names that means it alone, or as its beginning was typed.
struct NamedVm {
  std::string name;
  std::string host;
  std::string id;  // empty: none
  std::string description;
};

Candidates ShortestNames(const std::vector<NamedVm>& vms, const std::string& typed) {
  std::map<std::string, int> uses;
  for (const NamedVm& vm : vms) {
    ++uses[vm.name];
    ++uses[vm.host + "/" + vm.name];
  }
  Candidates candidates;
  for (const NamedVm& vm : vms) {
    const std::string with_host = vm.host + "/" + vm.name;
    std::string value = vm.name;
    if (uses[vm.name] > 1 || typed.find('/') != std::string::npos) value = with_host;
    if (uses[with_host] > 1 && !vm.id.empty()) value = vm.id;
    candidates.push_back({value, vm.description});
  }
  return candidates;
}

Result<Candidates> Vms(Session& session, const std::string& typed) {
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  ASR_TRY(const auto names, ListVmNames(*environment));
  std::vector<NamedVm> vms;
  for (const VmName& vm : names) vms.push_back({vm.name, vm.host, "", "VM of host " + vm.host});
  return ShortestNames(vms, typed);
}

Result<Candidates> Items(Session& session, const std::string& typed) {
  ASR_TRY(Vault* const vault, session.OpenVault());
  ASR_TRY(const auto listing, vault->ListItems());
  std::vector<NamedVm> vms;
  for (const Item& item : listing.items) {
    vms.push_back(
        {item.name, item.host, item.id.value, std::string(ProtectionStateName(item.state))});
  }
  return ShortestNames(vms, typed);
}

Result<Candidates> Points(Session& session, const std::string& vm) {
  Candidates candidates = {{"latest", "the newest"},
                           {"latest-processed", "the newest"},
                           {"latest-app", "the newest app-consistent one"}};
  const auto item = session.FindItem(vm);
  if (!item) return candidates;
  ASR_TRY(Vault* const vault, session.OpenVault());
  ASR_TRY(const auto points, vault->ListPointIds(item->id));
  for (const PointId& point : points) {
    const auto time = ParseCompactTime(point.value);
    candidates.push_back({point.value, time ? Age(session, *time) : std::string()});
  }
  return candidates;
}

Result<Candidates> Disks(Session& session, const std::string& vm) {
  ASR_TRY(const Item item, session.FindItem(vm));
  Candidates candidates;
  for (const ItemDisk& disk : item.disks) {
    candidates.push_back({disk.name.value, HumanBytes(disk.size_bytes)});
  }
  return candidates;
}

// Those in one of `states` (none: in any), newest first.
Result<Candidates> Jobs(Session& session, const std::string& typed,
                        const std::vector<JobState>& states) {
  ASR_TRY(Environment* const environment, session.OpenEnvironment());
  JobFilter filter;
  filter.beginning = typed;
  filter.limit = kMostJobs;
  std::vector<Job> jobs;
  if (states.empty()) {
    ASR_TRY(jobs, environment->state.ListJobs(filter));
  }
  for (const JobState state : states) {
    filter.state = state;
    ASR_TRY(const auto some, environment->state.ListJobs(filter));
    jobs.insert(jobs.end(), some.begin(), some.end());
  }
  std::ranges::stable_sort(jobs, std::ranges::greater(), &Job::start_time);
  Candidates candidates;
  for (const Job& job : jobs) {
    candidates.push_back(
        {job.id.value, fmt::format("{} {}, {}, {}", job.type, job.item, JobStateName(job.state),
                                   Age(session, job.start_time))});
  }
  return candidates;
}

Result<Candidates> Find(const ValueType& type, const CompletionLine& line, const std::string& typed,
                        Session& session) {
  switch (type.kind) {
    case ValueKind::kFree:
    case ValueKind::kFile:
    case ValueKind::kDirectory:
      return Candidates{};
    case ValueKind::kWord:
      return Words(type.words);
    case ValueKind::kOutputFormat:
      return Words(OutputFormatWords());
    case ValueKind::kSettingValue:
      if (line.LastArgument() == "vault") return Vaults(session);
      return line.LastArgument() == "output" ? Words(OutputFormatWords()) : Candidates{};
    case ValueKind::kVault:
      return Vaults(session);
    case ValueKind::kHost:
      return Hosts(session);
    case ValueKind::kCredential:
      return Credentials(session);
    case ValueKind::kPolicy:
      return Policies(session);
    case ValueKind::kVm:
      return Vms(session, typed);
    case ValueKind::kItem:
      return Items(session, typed);
    case ValueKind::kPoint:
      return Points(session, line.Argument(ValueKind::kItem));
    case ValueKind::kDisk:
      return Disks(session, line.Argument(ValueKind::kItem));
    case ValueKind::kJob:
      return Jobs(session, typed, {});
    case ValueKind::kRunningJob:
      return Jobs(session, typed, {JobState::kInProgress, JobState::kWaitingForInput});
    case ValueKind::kUnsuccessfulJob:
      return Jobs(session, typed, {JobState::kFailed, JobState::kCancelled});
  }
  return Candidates{};
}

}  // namespace

std::vector<Candidate> NamesOf(const ValueType& type, const CompletionLine& line,
                               const std::string& typed, Session& session) {
  return Find(type, line, typed, session).value_or(Candidates{});
}

}  // namespace asr
