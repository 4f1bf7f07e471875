// Programs that work for us and are waited for. For those that outlive us see subprocess.h.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "storage/base/file_descriptor.h"
#include "storage/base/result.h"

namespace asr {

struct ChildOptions {
  std::vector<int> descriptors;  // the program has them as 3, 4, ...; nothing else of ours
  bool is_activated = false;     // 3 is a socket that listens: sd_listen_fds(3)
  int input = -1;                // of ours, its stdin; negative: /dev/null
  int output = -1;               // its stdout, the same
};

class ChildProcess {
 public:
  // Starts `arguments` (the first is the program's path) in a session of its own, so that no
  // signal of a terminal reaches it. It dies with this process, also of kill -9.
  [[nodiscard]] static Result<ChildProcess> Start(const std::vector<std::string>& arguments,
                                                  const ChildOptions& options);
  // Kills it if it still runs.
  ~ChildProcess();
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&&) = delete;
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  [[nodiscard]] int pid() const { return pid_; }
  // Waits until it has ended; kills it if that takes longer than `limit`. Its exit code, or 128 and
  // the signal that ended it. The same again when called again.
  [[nodiscard]] int Wait(std::chrono::milliseconds limit);
  [[nodiscard]] bool HasEnded() const;
  // What it has said on stderr, at most 4 KiB of it.
  [[nodiscard]] std::string ErrorText() const;

 private:
  ChildProcess(int pid, FileDescriptor errors) : pid_(pid), errors_(std::move(errors)) {}

  int pid_;
  int exit_code_ = -1;  // negative: it has not been waited for
  FileDescriptor errors_;
};

}  // namespace asr
