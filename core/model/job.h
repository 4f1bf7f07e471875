// A job: one piece of work that people can follow, task by task.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/model/ids.h"
#include "storage/base/clock.h"
#include "storage/base/error.h"

namespace asr {

enum class JobState : std::uint8_t {
  kNotStarted,
  kInProgress,
  kWaitingForInput,
  kSucceeded,
  kFailed,
  kCancelled,
};
[[nodiscard]] std::string_view JobStateName(JobState state);  // "Succeeded"
[[nodiscard]] std::optional<JobState> ParseJobState(std::string_view name);
// Nothing happens to a job in this state any more.
[[nodiscard]] bool HasEnded(JobState state);
// A process works on it, or waits for a person to go on.
[[nodiscard]] bool IsRunning(JobState state);

// Bytes of the virtual disks. read = read from the source; sent = written to the target; skipped =
// compared and found equal; zero = known or found to be zeros, and not sent.
struct TransferStats {
  std::uint64_t bytes_read = 0;
  std::uint64_t bytes_sent = 0;
  std::uint64_t bytes_skipped = 0;
  std::uint64_t bytes_zero = 0;
  std::uint64_t bytes_cleared = 0;  // those of bytes_zero that the target had to clear
  // Those of bytes_skipped that an earlier run of the same work sent before it was cut.
  std::uint64_t bytes_resumed = 0;
  // Written into replicas from seeds; in none of the others.
  std::uint64_t bytes_seeded = 0;
  TransferStats& operator+=(const TransferStats& other);
  bool operator==(const TransferStats&) const = default;
};

struct Task {
  std::string name;  // "Replicate disk root"
  JobState state = JobState::kNotStarted;
  std::uint64_t bytes_done = 0;
  std::uint64_t bytes_total = 0;  // 0: not measured in bytes
  std::optional<Error> error;
};

struct Job {
  JobId id;
  std::string type;   // "EnableProtection", "Replicate", "Restore", "TestFailover", ...
  std::string item;   // the VM's name
  std::string vault;  // the vault's name on this machine
  JobState state = JobState::kNotStarted;
  bool retryable = false;
  Timestamp start_time{};
  std::optional<Timestamp> end_time;
  std::vector<Task> tasks;
  std::optional<Error> error;
  TransferStats stats;
};

// What a job was started with, so that it can be started again: the words of the command line, in a
// form that is for whoever runs the engine to read, and the directory that relative paths among
// them begin at. Both empty: not known.
struct JobCommand {
  std::string words;
  std::string working_directory;
  bool operator==(const JobCommand&) const = default;
};

// What the run of a job printed and warned of, for whoever follows it from another process.
struct JobOutput {
  std::string json;  // as with -o json; empty: nothing
  std::vector<std::string> warnings;
  std::optional<Error> error;  // of the command, which may fail where its job did not
};

// "20261123T063000-4f2a9c": sorts by start, to the second.
[[nodiscard]] JobId NewJobId(Timestamp start);

// The command that does the same work again: "asr replicate web --vault main".
[[nodiscard]] std::string RepeatCommand(const Job& job);

}  // namespace asr
