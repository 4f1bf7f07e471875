#include "core/jobs/doctor.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "core/jobs/agent.h"
#include "core/jobs/credentials.h"
#include "core/jobs/doctor_hosts.h"
#include "core/jobs/hosts.h"
#include "core/jobs/prune.h"
#include "core/jobs/vaults.h"
#include "core/source/libvirt_library.h"
#include "storage/base/child_process.h"
#include "storage/base/subprocess.h"
#include "storage/image/nbd_library.h"

namespace asr {
namespace {

using State = Diagnosis::State;
using std::chrono::hours;

constexpr std::uint64_t kLittleSpaceBytes = kGiB;
constexpr std::uint64_t kNoSpaceBytes = 64 * kMiB;
constexpr hours kExpiresSoon{14 * 24};

std::string MebibytesRoundedDown(std::uint64_t bytes) {
  return fmt::format("{} MiB", bytes / kMiB);
}

Diagnosis Broken(std::string name, const Error& error) {
  return {std::move(name), State::kBroken, error.Line(), error.action};
}

// What a program says of itself in its first line.
std::string VersionOf(const std::string& path) {
  const FileDescriptor said(::memfd_create("version", MFD_CLOEXEC));
  ChildOptions options;
  options.output = said.get();
  auto process = ChildProcess::Start({path, "--version"}, options);
  if (!process || process->Wait(std::chrono::seconds(10)) != 0) return "";
  std::array<char, 200> text{};
  const ssize_t count = ::pread(said.get(), text.data(), text.size(), 0);
  const std::string line(text.data(), count < 0 ? 0 : static_cast<std::size_t>(count));
  return line.substr(0, line.find('\n'));
}

class Doctor {
 public:
  explicit Doctor(Environment& environment) : environment_(environment) {}

  std::vector<Diagnosis> Run() {
    LookAtState();
    LookAtClock();
    LookAtPrograms();
    LookAtVaults();
    DiagnoseHosts(environment_, known_, diagnoses_);
    LookAtAgent();
    LookAtTests();
    return std::move(diagnoses_);
  }

 private:
  void Add(Diagnosis diagnosis) { diagnoses_.push_back(std::move(diagnosis)); }

  void LookAtState() {
    const std::string& directory = environment_.state_directory;
    const auto free_bytes = environment_.fs.FreeBytes(directory);
    if (::access(directory.c_str(), R_OK | W_OK | X_OK) != 0) {
      Add({"State directory", State::kBroken, directory + " cannot be written",
           "run asr as the user whom it belongs to, or give another: --state-dir DIR"});
    } else if (!free_bytes) {
      Add(Broken("State directory", free_bytes.error()));
    } else if (*free_bytes < kLittleSpaceBytes) {
      Add({"State directory", *free_bytes < kNoSpaceBytes ? State::kBroken : State::kWarning,
           fmt::format("{} are free in {}", MebibytesRoundedDown(*free_bytes), directory),
           "make room: change logs that wait to be sent and disks of test failovers lie there"});
    } else {
      Add({"State directory", State::kFine,
           fmt::format("{}, {} free", directory, MebibytesRoundedDown(*free_bytes))});
    }
    const Status whole = environment_.state.CheckIntegrity();
    Add(whole ? Diagnosis{"Database", State::kFine, "whole"} : Broken("Database", whole.error()));
  }

  // A job of tomorrow was noted by a clock that went ahead, or this one is behind.
  void LookAtClock() {
    const Timestamp now = environment_.clock.Now();
    const auto jobs = environment_.state.ListJobs({});
    const bool is_behind = jobs && std::ranges::any_of(*jobs, [&](const Job& job) {
                             return job.start_time > now + kMostClockDifference;
                           });
    if (is_behind) {
      Add({"Clock", State::kBroken,
           fmt::format("it says {}, and jobs of this machine began later than that",
                       FormatTime(now)),
           "set it, and let it be kept right: timedatectl set-ntp true"});
      return;
    }
    Add({"Clock", State::kFine, FormatTime(now)});
  }

  void LookAtPrograms() {
    const auto hosts = environment_.state.ListHosts();
    const auto any_host = [&](auto is_meant) {
      return hosts && std::ranges::any_of(*hosts, is_meant);
    };
    const bool has_libvirt = any_host([](auto& host) { return host.kind == kLibvirtKind; });
    const bool has_ssh = any_host([](auto& host) { return host.path.starts_with("qemu+ssh:"); });
    LookAtLibrary("libnbd", LoadNbdLibrary().has_value(), has_libvirt,
                  "apt install libnbd0: live VMs and qcow2 images are read with it");
    LookAtLibrary("libvirt", LoadLibvirt().has_value(), has_libvirt,
                  "apt install libvirt0: hosts of kind libvirt are reached with it");
    LookAtProgram("qemu-img", false, "apt install qemu-utils: qcow2 images are written with it");
    LookAtProgram("qemu-nbd", has_libvirt,
                  "apt install qemu-utils: qcow2 images of VMs that are off are read with it");
    LookAtProgram("qemu-system-x86_64", false,
                  "apt install qemu-system-x86: test failovers run in it");
    LookAtProgram("ssh", has_ssh, "apt install openssh-client: hosts behind ssh are reached by it");
  }

  void LookAtLibrary(const std::string& name, bool is_there, bool is_needed,
                     const std::string& action) {
    if (is_there) return Add({"Library " + name, State::kFine, "installed"});
    Add({"Library " + name, is_needed ? State::kBroken : State::kWarning, "not installed", action});
  }

  void LookAtProgram(const std::string& name, bool is_needed, const std::string& action) {
    const std::string path = FindProgram(name);
    if (!path.empty()) {
      const std::string version = name == "ssh" ? "" : VersionOf(path);
      return Add({"Program " + name, State::kFine, version.empty() ? path : version});
    }
    Add({"Program " + name, is_needed ? State::kBroken : State::kWarning, "not installed", action});
  }

  void LookAtVaults() {
    const auto vaults = environment_.state.ListVaults();
    if (!vaults) return Add(Broken("Vaults", vaults.error()));
    for (const VaultRegistration& registration : *vaults) LookAtVault(registration);
    if (vaults->empty()) {
      Add({"Vaults", State::kWarning, "none is registered",
           "asr vault create NAME --target DIR or URL"});
    }
    LookAtCredentials(*vaults);
  }

  void LookAtVault(const VaultRegistration& registration) {
    const std::string name = "Vault " + registration.name;
    const auto vault = OpenVault(environment_, registration.name);
    auto items = vault ? (*vault)->ListItems() : Result<ItemListing>(Fail(vault.error()));
    if (!items) {
      known_.is_complete = false;
      return Add(Broken(name, items.error()));
    }
    for (const UnreadableItem& item : items->unreadable) Add(Broken(name, item.error));
    known_.is_complete = known_.is_complete && items->unreadable.empty();
    for (Item& item : items->items) {
      if (item.state == ProtectionState::kUnprotected) continue;
      const auto policy = (*vault)->FindPolicy(item.policy);
      if (policy && policy->app_consistent.count() > 0) {
        known_.app_consistent.insert(item.id.value);
      }
      known_.protected_items.push_back(std::move(item));
    }
    Add({name, State::kFine,
         fmt::format("{}, {} VM(s)", registration.target, items->items.size())});
    LookAtServerClock(name, (*vault)->store().ServerTime());
    if (const std::string warning = NetworkWarning(environment_, registration); !warning.empty()) {
      Add({name, State::kWarning, warning, "keep it on a disk of this machine, or on Azure"});
    }
  }

  void LookAtServerClock(const std::string& name, const std::optional<Timestamp>& server) {
    const Timestamp now = environment_.clock.Now();
    if (!server || std::chrono::abs(*server - now) <= kMostClockDifference) return;
    Add({name, State::kBroken,
         fmt::format("its service says {}, this machine's clock {}: retention removes nothing",
                     FormatTime(*server), FormatTime(now)),
         "set this machine's clock, and let it be kept right: timedatectl set-ntp true"});
  }

  void LookAtCredentials(const std::vector<VaultRegistration>& vaults) {
    const auto listing = CredentialsOf(environment_).List();
    if (!listing) return Add(Broken("Credentials", listing.error()));
    for (const auto& [name, error] : listing->unreadable) Add(Broken("Credential " + name, error));
    const Timestamp now = environment_.clock.Now();
    for (const CredentialSummary& credential : listing->credentials) {
      const bool is_used = std::ranges::find(vaults, credential.name,
                                             &VaultRegistration::credential) != vaults.end();
      const std::string name = "Credential " + credential.name;
      if (!credential.expires_at) {
        Add({name, State::kFine, "does not say when it ends"});
      } else if (*credential.expires_at > now + kExpiresSoon) {
        Add({name, State::kFine, "ends " + FormatTime(*credential.expires_at)});
      } else {
        const bool is_over = *credential.expires_at <= now;
        Add({name, is_over && is_used ? State::kBroken : State::kWarning,
             fmt::format("{} {}", is_over ? "ended" : "ends", FormatTime(*credential.expires_at)),
             fmt::format("put a new one in its place: asr credential add {} --replace",
                         credential.name)});
      }
    }
  }

  void LookAtAgent() {
    const auto agent = FindRunningAgent(environment_);
    if (!agent) return Add(Broken("Agent", agent.error()));
    const bool has_unit = Exists(environment_.fs, "/etc/systemd/system/asr-agent.service");
    if (*agent) {
      return Add({"Agent", State::kFine,
                  fmt::format("runs since {}, process {}{}", FormatTime((*agent)->since),
                              (*agent)->process.pid, has_unit ? "" : ", without a systemd unit")});
    }
    if (known_.protected_items.empty()) {
      return Add({"Agent", State::kFine, "does not run; no VM is protected"});
    }
    Add({"Agent", State::kWarning, "does not run: nothing is replicated on schedule",
         has_unit ? "systemctl start asr-agent" : "asr agent install, then what that says"});
  }

  void LookAtTests() {
    const auto tests = environment_.state.ListTestFailovers();
    if (!tests) return Add(Broken("Test failovers", tests.error()));
    const Timestamp now = environment_.clock.Now();
    for (const TestFailover& test : *tests) {
      if (now - test.started < hours(24)) continue;
      Add({"Test failover of " + (test.vm.empty() ? test.item.value : test.vm), State::kWarning,
           fmt::format("runs since {}, and keeps its point and its disks",
                       FormatTime(test.started)),
           "asr test-failover-cleanup " + (test.vm.empty() ? test.item.value : test.vm)});
    }
  }

  Environment& environment_;
  KnownItems known_;
  std::vector<Diagnosis> diagnoses_;
};

}  // namespace

std::vector<Diagnosis> Diagnose(Environment& environment) { return Doctor(environment).Run(); }

}  // namespace asr
