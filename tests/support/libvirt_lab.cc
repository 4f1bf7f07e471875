#include "tests/support/libvirt_lab.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <utility>

#include "storage/base/file_descriptor.h"
#include "storage/base/process.h"
#include "storage/base/text.h"

namespace asr::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr auto kPoll = milliseconds(20);
constexpr char kMarker[] = "synced ";

std::string Environment(const char* name) {
  const char* const value = std::getenv(name);
  if (value == nullptr) throw std::runtime_error("not in a lab: run it by libvirt_lab.sh");
  return value;
}

std::string Content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

// 0 if there is no such file, or nothing in it.
int PidIn(const std::string& path) { return std::atoi(Content(path).c_str()); }

// Kills the process, if it is there, and waits for its end.
void KillNow(int pid) {
  const auto process = pid > 0 ? ProcessWithId(pid) : std::nullopt;
  if (!process) return;
  ::kill(pid, SIGKILL);
  while (IsAlive(*process)) std::this_thread::sleep_for(milliseconds(2));
}

std::string DiskName(std::size_t index) {
  return std::string("vd") + static_cast<char>('a' + static_cast<int>(index));
}

// The program that starts the guest, and its parts; made at the first call.
std::string Kit() {
  std::string said =
      MustRunShell(ShellQuote(std::string(ASR_SOURCE_DIR) + "/tests/support/build_lab_guest.sh"));
  said.pop_back();
  return said.substr(said.rfind('\n') + 1);
}

std::string DiskXml(const std::string& path, const LabDisk& disk, std::size_t index) {
  std::string target = DiskName(index);
  if (disk.bus == "scsi") target.front() = 's';
  return fmt::format(R"(
    <disk type='{}' device='disk'>
      <driver name='qemu' type='{}' discard='unmap'/>
      <source {}='{}'/>
      <target dev='{}' bus='{}'/>
    </disk>)",
                     disk.is_device ? "block" : "file", disk.format,
                     disk.is_device ? "dev" : "file", path, target, disk.bus);
}

std::string ReadLine(int fd, steady_clock::time_point deadline) {
  std::string line;
  char byte = 0;
  for (;;) {
    const auto left = std::chrono::duration_cast<milliseconds>(deadline - steady_clock::now());
    pollfd request{fd, POLLIN, 0};
    if (left.count() <= 0 || ::poll(&request, 1, static_cast<int>(left.count())) <= 0) {
      throw std::runtime_error("the guest does not answer");
    }
    if (::read(fd, &byte, 1) != 1) throw std::runtime_error("the guest ended before its answer");
    if (byte == '\n') return line;
    line += byte;
  }
}

std::string DecodeBase64(const std::string& text) {
  std::string bytes(text.size(), '\0');
  const int length = ::EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                                       reinterpret_cast<const unsigned char*>(text.data()),
                                       static_cast<int>(text.size()));
  if (length < 0) throw std::runtime_error("not in base64: " + text);
  const auto padding = std::count(text.begin(), text.end(), '=');
  bytes.resize(static_cast<std::size_t>(length - padding));
  return bytes;
}

FileDescriptor Connect(const std::string& path) {
  FileDescriptor connection(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) throw std::runtime_error("too long: " + path);
  path.copy(address.sun_path, path.size());
  if (::connect(connection.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    throw std::runtime_error("cannot connect to " + path + ": the guest does not run");
  }
  return connection;
}

}  // namespace

CommandOutput TryVirsh(const std::vector<std::string>& words) {
  std::string command = "timeout 120 virsh -q -c qemu:///system";
  for (const std::string& word : words) command += " " + ShellQuote(word);
  return RunShell(command);
}

std::string Virsh(const std::vector<std::string>& words) {
  CommandOutput output = TryVirsh(words);
  if (output.exit_code == 0) return output.text;
  throw std::runtime_error(fmt::format("virsh {}: {}", fmt::join(words, " "), output.text));
}

int LibvirtdPid() { return PidIn(Environment("ASR_LAB_LIBVIRTD_PID_FILE")); }

void KillLibvirtd() { KillNow(LibvirtdPid()); }

void RestartLibvirtd() {
  KillLibvirtd();
  const std::string start = Environment("ASR_LAB_START_LIBVIRTD");
  // What it had started in that moment keeps its pid file locked for another one.
  for (int i = 0; i < 50 && RunShell(start).exit_code != 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  if (LibvirtdPid() == 0) MustRunShell(start);
}

void RunQemuAs(const std::string& user) {
  MustRunShell(
      fmt::format("sed -i -e 's/^user = .*/user = \"{0}\"/' "
                  "-e \"s/^group = .*/group = \\\"$(id -gn {0})\\\"/\" "
                  "/etc/libvirt/qemu.conf",
                  user));
  RestartLibvirtd();
}

void ReachLabBySsh() {
  MustRunShell(ShellQuote(std::string(ASR_SOURCE_DIR) + "/tests/support/lab_ssh.sh"));
}

LibvirtGuest::LibvirtGuest(LabGuestSpec spec) : spec_(std::move(spec)) {
  static_cast<void>(Environment("ASR_LAB_START_LIBVIRTD"));
  // QEMU's user has to pass.
  ::chmod(directory().c_str(), 0755);
  const std::string kit = Kit();
  for (std::size_t i = 0; i < spec_.disks.size(); ++i) MakeDisk(i, kit);
  // Copies: libvirt gives what it starts a guest with to QEMU's user.
  MustRunShell(
      fmt::format("cp {0}/vmlinuz {0}/initrd.img {1}", ShellQuote(kit), ShellQuote(directory())));
  const std::string xml = directory_ / "domain.xml";
  std::ofstream(xml) << DomainXml();
  Virsh({"define", xml});
}

LibvirtGuest::~LibvirtGuest() {
  KillNow(PidIn(fmt::format("/run/libvirt/qemu/{}.pid", name())));
  static_cast<void>(TryVirsh({"destroy", name()}));
  static_cast<void>(TryVirsh({"undefine", name(), "--nvram", "--managed-save",
                              "--snapshots-metadata", "--checkpoints-metadata"}));
}

void LibvirtGuest::MakeDisk(std::size_t index, const std::string& kit) {
  const LabDisk& disk = spec_.disks[index];
  const std::string path = directory_ / (DiskName(index) + "." + disk.format);
  const std::string raw = disk.format == "raw" ? path : path + ".making";
  if (index == 0 && spec_.starts_from_disk) {
    MustRunShell(fmt::format("cp --sparse=always {}/{} {}", ShellQuote(kit),
                             spec_.is_uefi ? "boot-uefi.raw" : "boot.raw", ShellQuote(raw)));
    MustRunShell(fmt::format("truncate -s '>{}' {}", disk.size_bytes, ShellQuote(raw)));
  } else {
    // Without tables left to be made later: an idle guest writes nothing.
    MustRunShell(
        fmt::format("truncate -s {0} {1} && PATH=$PATH:/sbin:/usr/sbin mkfs.ext4 -q -F "
                    "-b 4096 -m 0 -L asr-data{2} "
                    "-E lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0 {1}",
                    disk.size_bytes, ShellQuote(raw), index == 0 ? "" : std::to_string(index)));
  }
  if (raw != path) {
    MustRunShell(fmt::format("qemu-img convert -f raw -O {} {} {} && rm {}", disk.format,
                             ShellQuote(raw), ShellQuote(path), ShellQuote(raw)));
  }
  disks_.push_back(path);
  if (!disk.is_device) return;
  const std::uint64_t room_bytes = disk.format == "raw" ? 0 : 16 * kMiB;
  MustRunShell(fmt::format("truncate -s {} {}", disk.size_bytes + room_bytes, ShellQuote(path)));
  disks_.back() = devices_.emplace_back(path).path();
}

std::string LibvirtGuest::DomainXml() const {
  std::string boot = "<boot dev='hd'/>";
  if (!spec_.starts_from_disk) {
    boot = fmt::format(
        "<kernel>{0}/vmlinuz</kernel><initrd>{0}/initrd.img</initrd>"
        "<cmdline>console=ttyS0,115200 quiet panic=-1 mitigations=off lab.disks={1} "
        "lab.interval_ms={2}</cmdline>",
        directory(), spec_.disks.size(), spec_.interval_ms);
  }
  std::string firmware;
  if (spec_.is_uefi) {
    boot += "<firmware><feature enabled='no' name='secure-boot'/></firmware>";
    firmware = " firmware='efi'";
  }
  std::string devices = spec_.devices_xml;
  for (std::size_t i = 0; i < disks_.size(); ++i) devices += DiskXml(disks_[i], spec_.disks[i], i);
  return fmt::format(R"(
<domain type='qemu'>
  <name>{}</name>
  <memory unit='b'>{}</memory>
  <vcpu>1</vcpu>
  <os{}><type arch='x86_64' machine='{}'>hvm</type>{}</os>
  <features><acpi/></features>
  <devices>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    <serial type='file'><source path='{}' append='on'/><target port='0'/></serial>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <channel type='unix'>
      <source mode='bind' path='{}'/><target type='virtio' name='org.asr.lab'/>
    </channel>{}
  </devices>
</domain>
)",
                     name(), spec_.memory_bytes, firmware, spec_.machine, boot,
                     directory_ / "console", directory_ / "commands", devices);
}

void LibvirtGuest::Start() { Virsh({"start", name()}); }

void LibvirtGuest::Destroy() { Virsh({"destroy", name()}); }

void LibvirtGuest::Shutdown() {
  Virsh({"shutdown", name(), "--mode", "acpi"});
  const auto deadline = steady_clock::now() + seconds(60);
  while (State() != "shut off") {
    if (steady_clock::now() > deadline) throw std::runtime_error(name() + " does not shut down");
    std::this_thread::sleep_for(kPoll);
  }
}

void LibvirtGuest::KillQemu() {
  KillNow(QemuPid());
  if (!ProcessWithId(LibvirtdPid())) return;
  while (State() != "shut off") std::this_thread::sleep_for(kPoll);
}

std::string LibvirtGuest::State() const {
  const std::string said = Virsh({"domstate", name()});
  return said.substr(0, said.find('\n'));
}

int LibvirtGuest::QemuPid() const {
  const int pid = PidIn(fmt::format("/run/libvirt/qemu/{}.pid", name()));
  if (pid <= 0) throw std::runtime_error(name() + " does not run");
  return pid;
}

std::string LibvirtGuest::Console() const { return Content(directory_ / "console"); }

std::int64_t LibvirtGuest::LastSynced() const {
  const std::string console = Console();
  for (std::size_t end = console.size(); end > 0;) {
    const std::size_t start = console.rfind(kMarker, end - 1);
    if (start == std::string::npos) return 0;
    // A line that is still being written does not count.
    if (console.find('\n', start) != std::string::npos) {
      return std::atoll(console.c_str() + start + sizeof(kMarker) - 1);
    }
    end = start;
  }
  return 0;
}

std::int64_t LibvirtGuest::WaitForSynced(std::int64_t number, seconds limit) const {
  const auto deadline = steady_clock::now() + limit;
  for (;;) {
    const std::int64_t last = LastSynced();
    if (last >= number) return last;
    if (steady_clock::now() > deadline) {
      const std::string console = Console();
      throw std::runtime_error(fmt::format(
          "{} has synced {}, not {}, after {} s; the end of its console: {}", name(), last, number,
          limit.count(),
          console.substr(console.size() - std::min<std::size_t>(console.size(), 2000))));
    }
    std::this_thread::sleep_for(kPoll);
  }
}

void LibvirtGuest::WaitForAgent() const {
  const auto deadline = steady_clock::now() + seconds(90);
  for (;;) {
    const CommandOutput ping =
        TryVirsh({"qemu-agent-command", name(), R"({"execute":"guest-ping"})"});
    if (ping.exit_code == 0) return;
    if (steady_clock::now() > deadline) throw std::runtime_error(ping.text);
    std::this_thread::sleep_for(milliseconds(50));
  }
}

std::string LibvirtGuest::LineOf(int connection, steady_clock::time_point deadline) const {
  try {
    return ReadLine(connection, deadline);
  } catch (const std::exception& error) {
    const std::string console = Console();
    const std::string facts =
        TryVirsh({"domstate", "--reason", name()}).text + TryVirsh({"domjobinfo", name()}).text +
        TryVirsh({"backup-dumpxml", name()}).text + RunShell("df -h; ps -ef | grep asr").text +
        console.substr(console.size() - std::min<std::size_t>(console.size(), 1000));
    throw std::runtime_error(std::string(error.what()) + ": " + facts);
  }
}

CommandOutput LibvirtGuest::TryInGuest(const std::string& command, seconds limit) const {
  static std::atomic<int> count = 0;
  const auto deadline = steady_clock::now() + limit;
  const std::string id = fmt::format("{}.{}", ::getpid(), ++count);
  const FileDescriptor connection = Connect(directory_ / "commands");
  const std::string line = id + " " + command + "\n";
  if (::send(connection.get(), line.data(), line.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(line.size())) {
    throw std::runtime_error("cannot send to " + name());
  }
  // An answer to one that was given up may come first.
  for (;;) {
    std::istringstream answer(LineOf(connection.get(), deadline));
    std::string whose;
    std::string text;
    CommandOutput output;
    answer >> whose >> output.exit_code >> text;
    if (whose != id) continue;
    output.text = DecodeBase64(text);
    return output;
  }
}

std::string LibvirtGuest::RunInGuest(const std::string& command, seconds limit) const {
  CommandOutput output = TryInGuest(command, limit);
  if (output.exit_code == 0) return output.text;
  throw std::runtime_error(
      fmt::format("{} ended with {} in {}: {}", command, output.exit_code, name(), output.text));
}

void LibvirtGuest::StopWriting() const {
  // The kernel would write times and sizes of the files some 30 s later.
  RunInGuest("touch /run/pause; while [ ! -e /run/paused ]; do usleep 5000; done; sync");
}

std::uint64_t LibvirtGuest::WrittenBytes() const {
  std::istringstream lines(Virsh({"domstats", name(), "--block"}));
  std::uint64_t sum = 0;
  for (std::string line; std::getline(lines, line);) {
    const std::size_t at = line.find(".wr.bytes=");
    if (at != std::string::npos) sum += std::stoull(line.substr(line.find('=') + 1));
  }
  return sum;
}

void LibvirtGuest::StartWriting() const {
  RunInGuest("rm -f /run/pause; while [ -e /run/paused ]; do usleep 5000; done");
}

void LibvirtGuest::GrowDevice(std::size_t index, std::uint64_t size_bytes) const {
  for (const LoopDevice& device : devices_) {
    if (device.path() != disks_[index]) continue;
    const std::string file = directory_ / (DiskName(index) + ".raw");
    MustRunShell(fmt::format("truncate -s {} {}", size_bytes, ShellQuote(file)));
    device.Grow();
  }
  Virsh({"blockresize", name(), disks_[index], std::to_string(size_bytes) + "B"});
}

void LibvirtGuest::WriteRandomFile(const std::string& path, std::uint64_t size_bytes) const {
  // Emulated, it makes some MiB of them a second.
  RunInGuest(fmt::format("head -c {} /dev/urandom | dd of={} bs=64k conv=fsync", size_bytes, path),
             seconds(90 + size_bytes / (2 * kMiB)));
}

}  // namespace asr::testing
