#include "core/jobs/doctor_hosts.h"

#include <pwd.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "core/jobs/hosts.h"
#include "core/jobs/item_snapshot.h"
#include "core/source/domain_xml.h"
#include "core/source/libvirt_host.h"
#include "core/source/release_tracking.h"
#include "core/source/ssh_line.h"
#include "storage/base/text.h"

namespace asr {
namespace {

using State = Diagnosis::State;

constexpr unsigned long kOldestLibvirt = 7'002'000;
constexpr unsigned long kOldestQemu = 4'002'000;
constexpr const char* kAppArmorState = "/sys/module/apparmor/parameters/enabled";
constexpr const char* kAppArmorRules = "/etc/apparmor.d/local/abstractions/libvirt-qemu";
constexpr std::string_view kOurs = "asr-";

std::string VersionText(unsigned long version) {
  return fmt::format("{}.{}.{}", version / 1'000'000, version / 1000 % 1000, version % 1000);
}

// Files of the host, wherever it is; none: it is not there, or cannot be read.
class HostFiles {
 public:
  HostFiles(FileSystem& fs, std::optional<SshTarget> ssh) : fs_(fs), ssh_(std::move(ssh)) {
    if (!ssh_) return;
    auto line = SshLine::Start(*ssh_, "");
    if (line && (*line)->WaitUntilReady()) line_ = *std::move(line);
  }

  [[nodiscard]] bool is_remote() const { return ssh_.has_value(); }

  std::optional<std::string> Read(const std::string& path) {
    if (!is_remote()) {
      auto text = ReadWholeFile(fs_, path);
      if (text) return *std::move(text);
      return std::nullopt;
    }
    return Run("cat -- " + ShellQuote(path) + " 2>/dev/null");
  }
  bool IsDirectory(const std::string& path) {
    if (is_remote()) return Run("test -d " + ShellQuote(path)).has_value();
    const auto stamp = fs_.Stat(path);
    return stamp && stamp->type == FileType::kDirectory;
  }

  // Of another machine: one that reaches its libvirt.
  bool HasVirsh() {
    return ssh_ &&
           Run("timeout 20 virsh -q -c " + ShellQuote(ssh_->LibvirtThere()) + " uri").has_value();
  }

 private:
  std::optional<std::string> Run(const std::string& command) {
    if (line_ == nullptr) return std::nullopt;
    auto answer = line_->Run(command);
    if (!answer || answer->exit_code != 0) return std::nullopt;
    return std::move(answer->output);
  }

  FileSystem& fs_;
  std::optional<SshTarget> ssh_;  // none: of this machine
  std::unique_ptr<SshLine> line_;
};

// user = "NAME" of /etc/libvirt/qemu.conf; else Debian's.
std::string UserOfQemu(HostFiles& files) {
  const std::string text = "\n" + files.Read("/etc/libvirt/qemu.conf").value_or("");
  const std::size_t found = text.find("\nuser = \"");
  if (found == std::string::npos) return "libvirt-qemu";
  const std::size_t begin = text.find('"', found) + 1;
  return text.substr(begin, text.find('"', begin) - begin);
}

// The first directory on the way to `path`, or itself, that the user may not enter; empty: none.
// By the mode alone.
std::string ClosedTo(const struct passwd& user, const std::string& path) {
  for (std::size_t end = 1; end <= path.size(); ++end) {
    if (end != path.size() && path[end] != '/') continue;
    std::string part = path.substr(0, end);
    struct stat status {};
    if (::stat(part.c_str(), &status) != 0) return part;
    const mode_t needed = status.st_uid == user.pw_uid   ? S_IXUSR
                          : status.st_gid == user.pw_gid ? S_IXGRP
                                                         : S_IXOTH;
    if ((status.st_mode & needed) == 0) return part;
  }
  return "";
}

class HostDoctor {
 public:
  HostDoctor(Environment& environment, const HostRegistration& host, const KnownItems& known,
             std::vector<Diagnosis>& diagnoses)
      : environment_(environment),
        host_(host),
        known_(known),
        diagnoses_(diagnoses),
        name_("Host " + host.name) {}

  void Run() {
    if (host_.kind != kLibvirtKind) return LookAtFolder();
    const auto place = ParseLibvirtUri(host_.path);
    if (!place) return Fail(place.error());
    auto connected = LibvirtHost::Connect(host_.path);
    if (!connected) return Fail(connected.error());
    const auto versions = connected->FindVersions();
    if (!versions) return Fail(versions.error());
    LookAtVersions(*versions);
    HostFiles files(environment_.fs, place->ssh);
    LookAtScratch(files);
    LookAtSwitch(files);
    const auto domains = connected->ListDomains();
    if (!domains) return Fail(domains.error());
    for (const LibvirtDomain& domain : *domains) LookAtVm(domain);
  }

 private:
  void Add(std::string name, State state, std::string detail, std::string action = {}) {
    diagnoses_.push_back({std::move(name), state, std::move(detail), std::move(action)});
  }
  void Fail(const Error& error) { Add(name_, State::kBroken, error.Line(), error.action); }

  void LookAtFolder() {
    const auto vms = ListVms(environment_, host_.name);
    if (!vms) return Fail(vms.error());
    Add(name_, State::kFine, fmt::format("{}, {} VM(s)", host_.path, vms->size()));
  }

  void LookAtVersions(const LibvirtHost::Versions& versions) {
    const std::string found = fmt::format("libvirt {}, QEMU {}", VersionText(versions.libvirt),
                                          VersionText(versions.qemu));
    if (versions.libvirt >= kOldestLibvirt && versions.qemu >= kOldestQemu) {
      return Add(name_, State::kFine, found);
    }
    Add(name_, State::kBroken, found + ": running VMs cannot be replicated",
        fmt::format("update it: libvirt {} and QEMU {} at least", VersionText(kOldestLibvirt),
                    VersionText(kOldestQemu)));
  }

  void LookAtScratch(HostFiles& files) {
    const std::string name = name_ + ": scratch files";
    const auto setting = environment_.state.FindSetting(kScratchDirectorySetting);
    if (!setting || setting->value_or("").empty()) {
      return Add(name, State::kFine, "beside the VMs' images");
    }
    const std::string& directory = **setting;
    if (!files.IsDirectory(directory)) {
      return Add(name, State::kBroken, directory + " is no directory there",
                 "make it, or choose another: asr config set scratch-dir DIR");
    }
    if (!files.is_remote() && IsClosedToQemu(files, name, directory)) return;
    const bool is_confined = files.Read(kAppArmorState).value_or("").starts_with("Y");
    const std::string rule = fmt::format("{}/** rwk,", directory);
    const bool is_allowed =
        files.Read(kAppArmorRules).value_or("").find(directory + "/") != std::string::npos;
    if (!is_confined || is_allowed) {
      return Add(
          name, State::kFine,
          fmt::format("{}, AppArmor {}", directory, is_confined ? "lets QEMU there" : "off"));
    }
    Add(name, State::kWarning, directory + " may be closed to QEMU by AppArmor",
        fmt::format("add the line \"{}\" to {}, then start the VMs anew", rule, kAppArmorRules));
  }

  // DeadManSwitch.
  void LookAtSwitch(HostFiles& files) {
    if (!files.is_remote()) return;
    const std::string name = name_ + ": a line that is cut";
    if (files.HasVirsh()) {
      return Add(name, State::kFine, "its host then ends our backup job by itself, in 20 s");
    }
    Add(name, State::kWarning,
        "its host has no virsh that reaches libvirt: a backup job or a frozen guest stays so until "
        "the line is back",
        "install it there: apt install libvirt-clients; or connect as root");
  }

  bool IsClosedToQemu(HostFiles& files, const std::string& name, const std::string& directory) {
    const std::string user = UserOfQemu(files);
    const struct passwd* const found = ::getpwnam(user.c_str());
    if (found == nullptr || found->pw_uid == 0) return false;
    const std::string closed = ClosedTo(*found, directory);
    if (closed.empty()) return false;
    Add(name, State::kBroken, fmt::format("QEMU's user {} may not enter {}", user, closed),
        fmt::format("chmod o+x {}, or choose another: asr config set scratch-dir DIR",
                    ShellQuote(closed)));
    return true;
  }

  [[nodiscard]] const Item* ItemOf(const std::string& vm) const {
    const auto found = std::ranges::find_if(known_.protected_items, [&](const Item& item) {
      return item.host == host_.name && item.name == vm;
    });
    return found == known_.protected_items.end() ? nullptr : &*found;
  }

  [[nodiscard]] bool IsKnown(const std::string& ours) const {
    return std::ranges::any_of(known_.protected_items, [&](const Item& item) {
      return ours.starts_with(CheckpointPrefix(item.id));
    });
  }

  void LookAtVm(const LibvirtDomain& domain) {
    LookForLeftOvers(domain);
    const Item* const item = ItemOf(domain.name());
    const auto state = domain.State();
    if (item == nullptr || !state || *state == VmPowerState::kOff) return;
    if (!known_.app_consistent.contains(item->id.value)) return;
    const std::string name = fmt::format("VM {}: guest agent", domain.name());
    const auto xml = domain.Xml();
    const auto description =
        xml ? ParseDomainXml(*xml) : Result<DomainDescription>(asr::Fail(xml.error()));
    if (!description) return Add(name, State::kWarning, description.error().Line());
    if (description->has_guest_agent) return Add(name, State::kFine, "connected");
    Add(name, State::kWarning, "not connected: its points are crash-consistent",
        "install qemu-guest-agent in the guest, and give the VM its channel "
        "(org.qemu.guest_agent.0)");
  }

  // Of items that no vault knows any more. Where a vault does not answer, its items may be known.
  void LookForLeftOvers(const LibvirtDomain& domain) {
    if (!known_.is_complete) return;
    const std::string vm = ShellQuote(domain.name());
    const auto checkpoints = domain.ListCheckpoints();
    for (const std::string& checkpoint : checkpoints.value_or(std::vector<std::string>())) {
      if (!checkpoint.starts_with(kOurs) || IsKnown(checkpoint)) continue;
      Add("Left on VM " + domain.name(), State::kWarning,
          fmt::format("checkpoint {} of a protection that no vault of this machine knows",
                      checkpoint),
          fmt::format("unless another machine protects it: virsh checkpoint-delete {} {}", vm,
                      checkpoint));
    }
    const auto job = domain.BackupXml();
    if (!job || !*job) return;
    const std::string socket = BaseName(SocketOfBackup(**job));
    if (!socket.starts_with(kOurs) || IsKnown(socket)) return;
    Add("Left on VM " + domain.name(), State::kWarning,
        "a backup job of a protection that no vault of this machine knows",
        fmt::format("unless another machine protects it: virsh domjobabort {}", vm));
  }

  Environment& environment_;
  const HostRegistration& host_;
  const KnownItems& known_;
  std::vector<Diagnosis>& diagnoses_;
  const std::string name_;
};

void LookAtFrozenNotes(Environment& environment, std::vector<Diagnosis>& diagnoses) {
  const auto notes = environment.fs.List(JoinPath(environment.state_directory, "frozen"));
  for (const DirectoryEntry& note : notes.value_or(std::vector<DirectoryEntry>())) {
    diagnoses.push_back({"Frozen guest", Diagnosis::State::kWarning,
                         fmt::format("a cycle of {} was cut while its guest was frozen", note.name),
                         "replicate it: the next cycle thaws it; or virsh domfsthaw VM"});
  }
}

}  // namespace

void DiagnoseHosts(Environment& environment, const KnownItems& known,
                   std::vector<Diagnosis>& diagnoses) {
  const auto hosts = environment.state.ListHosts();
  if (!hosts) {
    diagnoses.push_back({"Hosts", State::kBroken, hosts.error().Line(), hosts.error().action});
    return;
  }
  for (const HostRegistration& host : *hosts) {
    HostDoctor(environment, host, known, diagnoses).Run();
  }
  if (hosts->empty()) {
    diagnoses.push_back({"Hosts", State::kWarning, "none is registered",
                         "asr host add NAME --kind folder --path DIR"});
  }
  LookAtFrozenNotes(environment, diagnoses);
}

}  // namespace asr
