#include "core/model/job.h"

#include <array>

namespace asr {
namespace {

constexpr std::array<std::string_view, 6> kJobStates = {
    "NotStarted", "InProgress", "WaitingForInput", "Succeeded", "Failed", "Cancelled"};

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

TransferStats& TransferStats::operator+=(const TransferStats& other) {
  bytes_read += other.bytes_read;
  bytes_sent += other.bytes_sent;
  bytes_skipped += other.bytes_skipped;
  bytes_zero += other.bytes_zero;
  bytes_cleared += other.bytes_cleared;
  return *this;
}

}  // namespace asr
