#include "core/failover/qemu_machine.h"

#include <unistd.h>

#include <charconv>
#include <climits>
#include <csignal>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "core/failover/guest_error.h"
#include "core/failover/qmp_client.h"
#include "storage/base/subprocess.h"

namespace asr {
namespace {

constexpr double kStartSeconds = 60;    // until QEMU answers; it does in 0.1 s on an idle machine
constexpr double kConnectSeconds = 5;   // for one try of a conversation
constexpr double kStopStepSeconds = 5;  // before the next, harder way
constexpr double kProcessPollSeconds = 0.02;

struct Firmware {
  const char* code;
  const char* variables;
};

// Debian and Ubuntu, package ovmf: first the 4 MiB builds, which alone are left since Debian 13.
constexpr Firmware kFirmware[] = {
    {"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"},
    {"/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"},
};

Error Missing(std::string what, std::string_view package) {
  return MakeError(ErrorKind::kIo, ErrorCode::kHypervisorMissing, std::move(what))
      .WithCause(fmt::format("the package {} is not installed", package))
      .WithAction(fmt::format("install it: apt-get install {}", package));
}

// KVM without the processor's own virtualization (a nested host that imitates it) opens as well,
// but runs firmware and kernels slower than QEMU's emulation does, or not at all.
bool HasHardwareVirtualization(FileSystem& fs) {
  if (::access("/dev/kvm", R_OK | W_OK) != 0) return false;
  const auto file = fs.Open("/proc/cpuinfo", {});
  if (!file) return false;
  std::string processors(16 * kKiB, '\0');  // the first processor's part, and more
  const auto count = (*file)->ReadUpTo(0, std::as_writable_bytes(std::span(processors)));
  if (!count) return false;
  const std::size_t start = processors.find("\nflags");
  if (start == std::string::npos) return false;
  const std::string flags =
      processors.substr(start, processors.find('\n', start + 1) - start) + ' ';
  return flags.find(" vmx ") != std::string::npos || flags.find(" svm ") != std::string::npos;
}

// The VM's own, if they are of this firmware: its code and its variables share a flash of fixed
// parts. A firmware that does not find its way there looks for a boot loader by itself.
Status CopyVariables(FileSystem& fs, const Firmware& firmware, const MachineSpec& spec) {
  ASR_TRY(std::string variables, ReadWholeFile(fs, firmware.variables));
  if (spec.firmware_variables.size() == variables.size()) variables = spec.firmware_variables;
  return WriteFileAtomic(fs, JoinPath(spec.directory, kFirmwareVariablesName), AsBytes(variables));
}

bool IsInstalled(FileSystem& fs, const Firmware& firmware) {
  return Exists(fs, firmware.code) && Exists(fs, firmware.variables);
}

// Of the builds that are installed, the one that the VM's variables are of; else the first.
const Firmware* FirmwareFor(FileSystem& fs, const MachineSpec& spec) {
  const Firmware* found = nullptr;
  for (const Firmware& firmware : kFirmware) {
    if (!IsInstalled(fs, firmware)) continue;
    const auto variables = fs.Stat(firmware.variables);
    if (variables && variables->size_bytes == spec.firmware_variables.size()) return &firmware;
    if (found == nullptr) found = &firmware;
  }
  return found;
}

Result<QemuHost> PrepareHost(FileSystem& fs, const MachineSpec& spec) {
  QemuHost host;
  host.program = FindProgram("qemu-system-x86_64");
  if (host.program.empty()) {
    return Fail(Missing("qemu-system-x86_64 is not on this machine", "qemu-system-x86"));
  }
  host.hardware = HasHardwareVirtualization(fs);
  if (spec.generation != 2) return host;
  const Firmware* const firmware = FirmwareFor(fs, spec);
  if (firmware == nullptr) {
    return Fail(Missing("the UEFI firmware that a VM of generation 2 needs is not on this machine",
                        "ovmf"));
  }
  host.firmware_code = firmware->code;
  ASR_CHECK(CopyVariables(fs, *firmware, spec));
  return host;
}

void RemoveTraces(FileSystem& fs, const std::string& directory) {
  for (const char* name : {kQmpSocketName, kAgentSocketName, kSerialLogName, kQemuLogName,
                           kPidFileName, kScreenshotName, kFirmwareVariablesName}) {
    // What is not there needs no removal, and the error that brought us here says more than this.
    static_cast<void>(fs.RemoveFile(JoinPath(directory, name)));
  }
}

// Until QEMU answers, or has ended, or the time is over.
Status WaitUntilItAnswers(Clock& clock, const RunningMachine& machine) {
  const double deadline = clock.MonotonicSeconds() + kStartSeconds;
  while (true) {
    const bool running = IsRunning(machine);
    const auto client =
        QmpClient::Connect(clock, machine.directory, kQmpSocketName, kConnectSeconds);
    if (client) return {};
    if (!running) {
      return Fail(ErrorKind::kIo, ErrorCode::kGuestDidNotStart, "QEMU ended as soon as it started");
    }
    if (clock.MonotonicSeconds() >= deadline) {
      return Fail(MakeError(ErrorKind::kIo, ErrorCode::kGuestDidNotStart,
                            fmt::format("QEMU does not answer: {}", client.error().Line()))
                      .WithCause("this machine is overloaded")
                      .Retryable());
    }
    clock.SleepSeconds(kProcessPollSeconds);
  }
}

bool WaitForEnd(Clock& clock, const RunningMachine& machine, double seconds) {
  const double deadline = clock.MonotonicSeconds() + seconds;
  while (IsRunning(machine)) {
    if (clock.MonotonicSeconds() >= deadline) return false;
    clock.SleepSeconds(kProcessPollSeconds);
  }
  return true;
}

Status CheckSpec(FileSystem& fs, const MachineSpec& spec) {
  if (spec.generation != 1 && spec.generation != 2) {
    return Fail(ErrorKind::kInternal, ErrorCode::kInternal,
                fmt::format("a guest of generation {} was to be started", spec.generation));
  }
  const auto running = FindMachine(fs, spec.directory);
  if (!running) return {};
  return Fail(MakeError(ErrorKind::kState, ErrorCode::kTestFailoverExists,
                        fmt::format("a guest runs already in {} (process {})", spec.directory,
                                    running->process.pid))
                  .WithAction("clean up that test failover first"));
}

}  // namespace

std::string RunningMachine::SerialLog() const { return JoinPath(directory, kSerialLogName); }

std::string RunningMachine::QemuLog() const { return JoinPath(directory, kQemuLogName); }

nlohmann::json MachineToJson(const RunningMachine& machine) {
  return {{"pid", machine.process.pid},
          {"startTicks", machine.process.start_ticks},
          {"bootId", machine.process.boot_id},
          {"directory", machine.directory},
          {"serialLog", machine.SerialLog()}};
}

Result<RunningMachine> MachineFromJson(const nlohmann::json& json) {
  const auto corrupt = [](std::string_view key) {
    return Fail(ErrorKind::kCorrupt, ErrorCode::kDatabase,
                fmt::format("the record of a running guest has no valid {}", key));
  };
  if (!json.is_object()) return corrupt("fields");
  for (const char* key : {"pid", "startTicks"}) {
    if (!json.contains(key) || !json[key].is_number_unsigned()) return corrupt(key);
  }
  for (const char* key : {"bootId", "directory"}) {
    if (!json.contains(key) || !json[key].is_string()) return corrupt(key);
  }
  const auto pid = json["pid"].get<std::uint64_t>();
  if (pid == 0 || pid > INT_MAX) return corrupt("pid");
  RunningMachine machine;
  machine.process = {static_cast<int>(pid), json["startTicks"].get<std::uint64_t>(),
                     json["bootId"].get<std::string>()};
  machine.directory = json["directory"].get<std::string>();
  return machine;
}

Result<RunningMachine> StartMachine(FileSystem& fs, Clock& clock, const MachineSpec& spec) {
  ASR_CHECK(CheckSpec(fs, spec));
  RemoveTraces(fs, spec.directory);  // of a guest that ran here before
  const auto fail = [&](Error error) {
    RemoveTraces(fs, spec.directory);
    return Fail(std::move(error));
  };
  const auto host = PrepareHost(fs, spec);
  if (!host) return fail(host.error());
  const auto process =
      SpawnDetached(QemuCommand(spec, *host), SpawnOptions{spec.directory, kQemuLogName});
  if (!process) return fail(process.error());
  RunningMachine machine{*process, spec.directory};
  if (auto answers = WaitUntilItAnswers(clock, machine); !answers) {
    Error error = WithLastWords(fs, machine, std::move(answers).error());
    if (const auto stopped = StopMachine(clock, machine); !stopped) {
      error = std::move(error).WithCause(stopped.error().Line());
    }
    return fail(std::move(error));
  }
  return machine;
}

std::optional<RunningMachine> FindMachine(FileSystem& fs, const std::string& directory) {
  const auto text = ReadWholeFile(fs, JoinPath(directory, kPidFileName), 64);
  if (!text) return std::nullopt;
  int pid = 0;
  std::from_chars(text->data(), text->data() + text->size(), pid);
  const auto process = ProcessWithId(pid);
  if (!process) return std::nullopt;
  // QEMU runs in its machine's directory; a stranger that got its pid does not.
  const auto runs_in = fs.Canonical(fmt::format("/proc/{}/cwd", pid));
  const auto wanted = fs.Canonical(directory);
  RunningMachine machine{*process, directory};
  if (!runs_in || !wanted || *runs_in != *wanted || !IsRunning(machine)) return std::nullopt;
  return machine;
}

bool IsRunning(const RunningMachine& machine) { return IsAlive(machine.process); }

Status StopMachine(Clock& clock, const RunningMachine& machine) {
  if (!IsRunning(machine)) return {};
  if (auto client = QmpClient::Connect(clock, machine.directory, kQmpSocketName, kConnectSeconds)) {
    // QEMU may hang up before it answers. Whether it went is seen below.
    static_cast<void>((*client)->Execute("quit", kConnectSeconds));
    if (WaitForEnd(clock, machine, kStopStepSeconds)) return {};
  }
  return KillMachine(clock, machine);
}

Status KillMachine(Clock& clock, const RunningMachine& machine) {
  if (!IsRunning(machine)) return {};
  for (const int signal_number : {SIGTERM, SIGKILL}) {
    ASR_CHECK(SignalProcess(machine.process, signal_number));
    if (WaitForEnd(clock, machine, kStopStepSeconds)) return {};
  }
  return Fail(MakeError(ErrorKind::kIo, ErrorCode::kIo,
                        fmt::format("process {} of the guest does not end", machine.process.pid))
                  .WithCause("it hangs in a read or write of this machine's disk")
                  .WithAction("see to that disk, then run the same command again")
                  .Retryable());
}

}  // namespace asr
