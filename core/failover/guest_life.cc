#include "core/failover/guest_life.h"

#include <algorithm>
#include <memory>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/failover/agent_watch.h"
#include "core/failover/guest_error.h"
#include "core/failover/guest_seal.h"
#include "core/failover/qmp_client.h"
#include "core/failover/serial_watch.h"
#include "core/failover/tcp_watch.h"
#include "storage/base/stop.h"

namespace asr {
namespace {

constexpr double kPollSeconds = 0.1;
constexpr double kEndSeconds = 3;  // between the end of QEMU's last word and its own

std::string TextOf(const nlohmann::json& object, const char* key) {
  if (!object.is_object()) return {};
  const auto value = object.find(key);
  return value != object.end() && value->is_string() ? value->get<std::string>() : std::string();
}

// A number of a disk in the reply to query-blockstats; 0 if it is not there.
std::uint64_t StatisticOf(const nlohmann::json& disk, const char* key) {
  const auto statistics = disk.find("stats");
  if (statistics == disk.end() || !statistics->is_object()) return 0;
  const auto value = statistics->find(key);
  return value != statistics->end() && value->is_number_unsigned() ? value->get<std::uint64_t>()
                                                                   : 0;
}

std::string Mebibytes(std::uint64_t bytes) {
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / static_cast<double>(kMiB));
}

Error DidNotStart(std::string message) {
  return MakeError(ErrorKind::kIo, ErrorCode::kGuestDidNotStart, std::move(message));
}

// Of a state in which the guest does not run (QEMU, qapi/run-state.json, RunState).
Error StoppedError(const std::string& state) {
  if (state == "io-error") {
    return DidNotStart("the guest was stopped: its disk cannot be read or written here")
        .WithCause("the file system with the test's disks is full, or its disk is failing")
        .WithAction("free space there or choose another place, then test again");
  }
  if (state == "guest-panicked") {
    return DidNotStart("the guest's kernel panicked")
        .WithCause("the kernel did not find its root disk, or a disk of the point is damaged")
        .WithAction("test an older point; see the guest's last lines");
  }
  if (state == "internal-error") {
    return DidNotStart("QEMU could not go on with the guest (internal-error)")
        .WithCause("this machine's KVM cannot run it, as on some nested hosts");
  }
  return DidNotStart(fmt::format("the guest does not run (QEMU's state: {})", state));
}

class LifeWatch {
 public:
  LifeWatch(FileSystem& fs, Clock& clock, const RunningMachine& machine, const SignOfLife& sign)
      : fs_(fs),
        clock_(clock),
        machine_(machine),
        sign_(sign),
        serial_(fs, machine.SerialLog(), sign.serial_text),
        tcp_(clock, sign.tcp_port),
        agent_(clock, machine.directory),
        start_(clock.MonotonicSeconds()),
        deadline_(start_ + static_cast<double>(sign.wait.count())) {}

  Result<LifeSign> Run(const std::stop_token& stop) {
    while (true) {
      ASR_CHECK(CheckStop(stop));
      // Before the look at the log: what a guest wrote before it ended counts.
      Status guest = CheckGuest();
      LimitSerialLog();
      ASR_TRY(auto sign, Look(guest.has_value()));
      if (sign) return LifeSign{std::move(*sign), Seconds()};
      ASR_CHECK(std::move(guest));
      if (clock_.MonotonicSeconds() >= deadline_) break;
      clock_.SleepSeconds(std::clamp(deadline_ - clock_.MonotonicSeconds(), 0.0, kPollSeconds));
    }
    return JudgeAtTheEnd();
  }

 private:
  using Kind = SignOfLife::Kind;

  Result<std::optional<std::string>> Look(bool guest_runs) {
    if (sign_.kind() == Kind::kSerialText) return serial_.Look();
    if (!guest_runs) return std::optional<std::string>();
    if (sign_.kind() == Kind::kGuestAgent) return agent_.Look();
    if (sign_.kind() == Kind::kDisk) return std::optional<std::string>();
    const auto table = Ask("human-monitor-command", {{"command-line", "info usernet"}});
    // If QEMU went meanwhile, the next look at the guest says it.
    if (!table) return std::optional<std::string>();
    return tcp_.Look(ParseForwardTable(table->is_string() ? table->get<std::string>() : ""));
  }

  // What QEMU refuses is asked again at the next look.
  void LimitSerialLog() {
    if (serial_log_ended_ || client_ == nullptr) return;
    const auto stamp = fs_.Stat(machine_.SerialLog());
    if (!stamp || stamp->size_bytes <= kMostSerialLogBytes) return;
    serial_log_ended_ = EndSerialLog(*client_).has_value();
  }

  Error NoText() {
    Error error =
        NoSign(fmt::format("the guest did not write \"{}\" to its serial port within {} s",
                           PrintableText(sign_.serial_text), sign_.wait.count()))
            .WithCause(
                "the guest's system does not use the serial port as a console, or writes "
                "another text");
    if (!serial_log_ended_) return error;
    return std::move(error).WithCause(
        fmt::format("it wrote more than {} MiB there, and the rest was thrown away",
                    kMostSerialLogBytes / kMiB));
  }

  Result<LifeSign> JudgeAtTheEnd() {
    const auto seconds = sign_.wait.count();
    switch (sign_.kind()) {
      case Kind::kDisk:
        return JudgeByDisk();
      case Kind::kSerialText:
        return Fail(NoText());
      case Kind::kTcpPort:
        return Fail(NoSign(fmt::format("the guest did not answer on TCP port {} within {} s",
                                       sign_.tcp_port, seconds))
                        .WithCause(tcp_.Cause()));
      case Kind::kGuestAgent:
        break;
    }
    return Fail(NoSign(fmt::format("the guest's agent did not answer within {} s", seconds))
                    .WithCause("the QEMU guest agent is not installed in the guest, or does not "
                               "start with it"));
  }

  double Seconds() const { return clock_.MonotonicSeconds() - start_; }

  Status CheckGuest() {
    auto state = Ask("query-status");
    ASR_CHECK(TakeEvents());
    if (!state) return Fail(AfterSilence(state.error()));
    const std::string name = TextOf(*state, "status");
    if (name == "running" || name == "prelaunch") return {};
    return Fail(StoppedError(name));
  }

  Result<nlohmann::json> Ask(const std::string& command,
                             const nlohmann::json& arguments = nlohmann::json::object()) {
    if (client_ == nullptr) {
      ASR_TRY(client_,
              QmpClient::Connect(clock_, machine_.directory, kQmpSocketName, kQmpAnswerSeconds));
    }
    return client_->Execute(command, arguments, kQmpAnswerSeconds);
  }

  Status TakeEvents() {
    if (client_ == nullptr) return {};
    for (const QmpEvent& event : client_->TakeEvents()) {
      if (event.name == "RESET") ++restarts_;
      if (event.name == "SHUTDOWN") ending_ = TextOf(event.data, "reason");
    }
    if (restarts_ <= kMostRestarts) return {};
    return Fail(DidNotStart(fmt::format("the guest restarts over and over: {} times in {:.0f} s",
                                        restarts_, Seconds()))
                    .WithCause("its system crashes early, or finds no disk that it can start")
                    .WithAction("test an older point; see the guest's last lines"));
  }

  // QEMU did not answer: has it ended?
  Error AfterSilence(const Error& silence) {
    const double patience = clock_.MonotonicSeconds() + kEndSeconds;
    while (IsRunning(machine_) && clock_.MonotonicSeconds() < patience) {
      clock_.SleepSeconds(kPollSeconds);
    }
    if (IsRunning(machine_)) {
      return DidNotStart(fmt::format("QEMU runs but does not answer: {}", silence.Line()))
          .WithCause("this machine or its disk is overloaded")
          .Retryable();
    }
    if (ending_ == "guest-shutdown") {
      return DidNotStart("the guest powered itself off")
          .WithCause("its system decided so while it started");
    }
    return DidNotStart(fmt::format("QEMU ended (process {})", machine_.process.pid))
        .WithCause("somebody ended it, or the kernel did for want of memory (see dmesg)");
  }

  Result<LifeSign> JudgeByDisk() {
    auto statistics = Ask("query-blockstats");
    if (!statistics) return Fail(AfterSilence(statistics.error()));
    std::uint64_t bytes_read = 0;
    std::uint64_t bytes_written = 0;
    for (const nlohmann::json& disk : *statistics) {
      if (!TextOf(disk, "node-name").starts_with(kDiskNodePrefix)) continue;
      bytes_read += StatisticOf(disk, "rd_bytes");
      bytes_written += StatisticOf(disk, "wr_bytes");
    }
    const std::string read_text = Mebibytes(bytes_read);
    if (bytes_read >= kLeastBytesReadByAGuest) {
      return LifeSign{fmt::format("runs after {:.0f} s, read {} of its disks and wrote {}",
                                  Seconds(), read_text, Mebibytes(bytes_written)),
                      Seconds()};
    }
    return Fail(NoSign(fmt::format("the guest runs, but read only {} of its disks within {} s",
                                   read_text, sign_.wait.count()))
                    .WithCause("the first disk holds no boot loader, or one that finds no system"));
  }

  Error NoSign(std::string message) {
    Error error = MakeError(ErrorKind::kIo, ErrorCode::kGuestNoSignOfLife, std::move(message))
                      .WithAction("give it more time, or test an older point");
    const auto kvm = Ask("query-kvm");
    if (kvm && kvm->is_object() && kvm->value("enabled", nlohmann::json()) == false) {
      error.causes.emplace_back(
          "this machine cannot run guests by hardware (KVM): they start about ten times slower");
    }
    return error;
  }

  FileSystem& fs_;
  Clock& clock_;
  const RunningMachine& machine_;
  const SignOfLife& sign_;
  SerialWatch serial_;
  TcpWatch tcp_;
  AgentWatch agent_;
  double start_;
  double deadline_;
  std::unique_ptr<QmpClient> client_;
  bool serial_log_ended_ = false;
  int restarts_ = 0;
  std::string ending_;  // the reason that QEMU gave for its end
};

}  // namespace

Result<LifeSign> WaitForLife(FileSystem& fs, Clock& clock, const RunningMachine& machine,
                             const SignOfLife& sign, const std::stop_token& stop) {
  auto seen = LifeWatch(fs, clock, machine, sign).Run(stop);
  if (seen || seen.error().kind == ErrorKind::kCancelled) return seen;
  return Fail(WithLastWords(fs, machine, std::move(seen).error()));
}

}  // namespace asr
