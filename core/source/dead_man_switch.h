// What ends a backup job, or a freeze, of a VM on another machine when nobody here can any more: a
// shell over there that waits for signs of life of the guard.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "core/source/ssh_line.h"

namespace asr {

// After 15 s without a sign, whether the line was cut, the network vanished or the guard was
// killed, the shell thaws the guest if it was told of a freeze, ends the job if it is ours, and
// resumes the VM if QEMU paused it then. It needs a virsh over there that finds the VM; without it
// there is no switch (asr doctor says so).
class DeadManSwitch {
 public:
  // `socket_path` is the job's, by which it is known. Begins to connect.
  DeadManSwitch(SshTarget target, std::string uuid, std::string socket_path);
  // Removes the switch, if the line still leads there.
  ~DeadManSwitch();
  DeadManSwitch(const DeadManSwitch&) = delete;
  DeadManSwitch& operator=(const DeadManSwitch&) = delete;

  // From then on signs of life go there every other second, by a thread of its own: whatever else
  // may take long. Errors are those of SshLine.
  [[nodiscard]] Status Arm();
  // Is known over there when this returns. kBusy if it is not.
  [[nodiscard]] Status Tell(bool is_frozen, bool was_paused);
  // With the next sign of life.
  void Thawed() { is_frozen_ = false; }

 private:
  Status Connect();
  Status Beat();
  void KeepBeating(const std::stop_token& stop);

  const SshTarget target_;
  const std::string uuid_;
  const std::string socket_path_;
  const std::string place_name_;
  std::atomic<bool> is_frozen_ = false;
  std::atomic<bool> was_paused_ = false;
  std::mutex mutex_;  // guards what follows
  std::unique_ptr<SshLine> line_;
  std::string place_;  // a directory over there; empty: there is no switch
  unsigned beats_ = 0;
  std::condition_variable_any stopped_;
  std::jthread thread_;  // the last member: it uses all others
};

}  // namespace asr
