#include "core/model/job.h"

#include <array>

#include <fmt/format.h>

#include "storage/base/checksum.h"
#include "storage/base/text.h"

namespace asr {
namespace {

constexpr std::array<std::string_view, 6> kJobStates = {
    "NotStarted", "InProgress", "WaitingForInput", "Succeeded", "Failed", "Cancelled"};

struct Verb {
  std::string_view job_type;
  std::string_view words;    // before the VM's name
  std::string_view options;  // that it cannot do without
};
constexpr std::array<Verb, 11> kVerbs = {{
    {"EnableProtection", "enable", " --policy POLICY"},
    {"DisableProtection", "disable", ""},
    {"DeleteItem", "items delete", ""},
    {"Replicate", "replicate", ""},
    {"Resync", "resync", " --now"},
    {"RollBack", "vault rollback", ""},
    {"Restore", "restore", " --to DIR"},
    {"PrunePoints", "points prune", ""},
    {"VerifyPoints", "points verify", ""},
    {"TestFailover", "test-failover", ""},
    {"TestFailoverCleanup", "test-failover-cleanup", ""},
}};

}  // namespace

std::string_view JobStateName(JobState state) {
  return kJobStates[static_cast<std::size_t>(state)];
}

std::optional<JobState> ParseJobState(std::string_view name) {
  for (std::size_t i = 0; i < kJobStates.size(); ++i) {
    if (kJobStates[i] == name) return static_cast<JobState>(i);
  }
  return std::nullopt;
}

bool HasEnded(JobState state) {
  return state == JobState::kSucceeded || state == JobState::kFailed ||
         state == JobState::kCancelled;
}

bool IsRunning(JobState state) {
  return state == JobState::kInProgress || state == JobState::kWaitingForInput;
}

JobId NewJobId(Timestamp start) {
  const std::string time = FormatCompactTime(start);  // "20261123T063000.123Z"
  return {time.substr(0, time.find('.')) + "-" + ToHex(ByteSpan(RandomBits()).first(3))};
}

std::string RepeatCommand(const Job& job) {
  for (const Verb& verb : kVerbs) {
    if (verb.job_type != job.type) continue;
    const std::string vault = job.vault.empty() ? "" : " --vault " + ShellQuote(job.vault);
    return fmt::format("asr {} {}{}{}", verb.words, ShellQuote(job.item), verb.options, vault);
  }
  return fmt::format("the command that began this {} job", job.type);
}

TransferStats& TransferStats::operator+=(const TransferStats& other) {
  bytes_read += other.bytes_read;
  bytes_sent += other.bytes_sent;
  bytes_skipped += other.bytes_skipped;
  bytes_zero += other.bytes_zero;
  bytes_cleared += other.bytes_cleared;
  bytes_resumed += other.bytes_resumed;
  bytes_seeded += other.bytes_seeded;
  return *this;
}

}  // namespace asr
