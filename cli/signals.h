// Ctrl-C and SIGTERM ask the running job to stop; a second one ends the process at once.
#pragma once

#include <stop_token>
#include <thread>

namespace asr {

// One a process. Children do not inherit it: what they do with signals is the system's default.
class StopOnSignals {
 public:
  explicit StopOnSignals(std::stop_source source);
  ~StopOnSignals();
  StopOnSignals(const StopOnSignals&) = delete;
  StopOnSignals& operator=(const StopOnSignals&) = delete;

 private:
  std::thread watcher_;
};

// From here on a peer that goes away is an error of the call that writes to it, and ends the
// process only if it is whoever reads our stdout. (libnbd and libvirt write to sockets without
// asking for silence.)
void OutliveBrokenSockets();

// From here on SIGHUP asks to read everything anew, and does not end the process.
void ListenForHangup();
// True once after one or more of them.
[[nodiscard]] bool TakeHangup();

}  // namespace asr
