// Where the engine tells how far it is. It never prints; whoever runs it renders this.
#pragma once

#include <cstdint>
#include <string>

namespace asr {

// Methods may be called from several threads at once.
class ProgressSink {
 public:
  virtual ~ProgressSink() = default;
  // `bytes_total` 0: the task is not measured in bytes.
  virtual void TaskStarted(const std::string& name, std::uint64_t bytes_total) = 0;
  // More bytes of the running task are done.
  virtual void TaskAdvanced(std::uint64_t bytes) = 0;
  virtual void TaskEnded(bool succeeded) = 0;
  // One line for people: a warning that is no error.
  virtual void Warn(const std::string& message) = 0;
};

// Swallows everything.
[[nodiscard]] ProgressSink& NoProgress();

}  // namespace asr
