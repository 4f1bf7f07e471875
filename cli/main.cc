#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "cli/application.h"
#include "cli/completion.h"
#include "cli/errors.h"
#include "cli/exit_codes.h"
#include "cli/signals.h"
#include "core/source/backup_guard.h"

namespace {

std::optional<std::string> ReadVariable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

// A chain of snapshots may be 500 files long, and a VM has many disks.
void AllowManyFiles() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

// A place that does not answer (a network file system, a pipe that is not read) must not hold up
// the shell that a person types into.
void EndSoon() {
  constexpr std::chrono::seconds kLongest{1};
  std::thread([kLongest] {
    std::this_thread::sleep_for(kLongest);
    ::_exit(asr::kExitDone);
  }).detach();
}

}  // namespace

int main(int argc, char** argv) {
  try {
    std::ios::sync_with_stdio(false);
    AllowManyFiles();
    const std::vector<std::string> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
    if (arguments.size() == 1 && arguments.front() == asr::kBackupGuardWord) {
      return asr::RunBackupGuard();
    }
    asr::OutliveBrokenSockets();
    if (asr::IsCompletionCall(arguments)) EndSoon();
    const std::stop_source stop;
    const asr::StopOnSignals watch(stop);
    asr::CliContext context{
        .fs = asr::PosixFileSystem(),
        .clock = asr::SystemClock(),
        .in = std::cin,
        .out = std::cout,
        .err = std::cerr,
        .terminal = asr::InspectTerminal(),
        .environment = ReadVariable,
        .is_root = ::geteuid() == 0,
        .stop = stop.get_token(),
        .program = asr::PosixFileSystem().Canonical("/proc/self/exe").value_or("asr"),
        .read_hidden_line = asr::ReadHiddenLine};
    return asr::RunCommandLine(arguments, context);
  } catch (const std::exception& exception) {
    const asr::Error error = asr::MakeError(asr::ErrorKind::kInternal, asr::ErrorCode::kInternal,
                                            std::string("unexpected: ") + exception.what());
    asr::PrintError(std::cerr, error, asr::OutputFormat::kTable, false);
    return asr::kExitFailed;
  }
}
