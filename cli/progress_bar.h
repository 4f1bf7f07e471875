// Progress of a job on stderr: a bar for the running task, a line for each that ended, warnings.
#pragma once

#include <mutex>
#include <ostream>
#include <string>

#include "core/model/progress.h"
#include "storage/base/clock.h"

namespace asr {

struct ProgressSettings {
  bool bars = false;        // redraw a bar; needs a terminal
  bool task_lines = false;  // a line for each task that ended
  bool warnings = true;
  bool json = false;  // warnings as {"warning":{"message":...}}, one a line
  bool colour = false;
  std::size_t width = 80;
};

// Thread-safe.
class ProgressBar : public ProgressSink {
 public:
  ProgressBar(std::ostream& err, const Clock& clock, const ProgressSettings& settings)
      : err_(err), clock_(clock), settings_(settings) {}
  ~ProgressBar() override;

  void TaskStarted(const std::string& name, std::uint64_t bytes_total) override;
  void TaskAdvanced(std::uint64_t bytes) override;
  void TaskEnded(bool succeeded) override;
  void Warn(const std::string& message) override;

 private:
  void Draw();
  void Erase();
  [[nodiscard]] std::string BarLine(double elapsed_seconds) const;

  std::ostream& err_;
  const Clock& clock_;
  const ProgressSettings settings_;
  std::mutex mutex_;
  std::string name_;
  std::uint64_t bytes_done_ = 0;
  std::uint64_t bytes_total_ = 0;
  double started_seconds_ = 0;
  double drawn_seconds_ = 0;
  bool running_ = false;
  bool drawn_ = false;
};

}  // namespace asr
