#include "core/failover/guest_error.h"

#include <fmt/format.h>

#include "core/failover/serial_watch.h"

namespace asr {
namespace {

constexpr std::size_t kLinesOfQemu = 4;
constexpr std::size_t kLinesOfGuest = 8;

}  // namespace

Error WithLastWords(FileSystem& fs, const RunningMachine& machine, Error error) {
  const auto said = LastLines(fs, machine.QemuLog(), kLinesOfQemu);
  if (!said.empty()) {
    error.causes.push_back(fmt::format("QEMU said: {}", fmt::join(said, " / ")));
  }
  const auto written = LastLines(fs, machine.SerialLog(), kLinesOfGuest);
  error.causes.push_back(written.empty()
                             ? std::string("the guest wrote nothing to its serial port")
                             : fmt::format("the guest's last lines on its serial port: {}",
                                           fmt::join(written, " / ")));
  return error;
}

}  // namespace asr
