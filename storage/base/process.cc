#include "storage/base/process.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <string_view>

#include <fmt/format.h>

namespace asr {
namespace {

// The first bytes of a file of /proc, which is all there is to the files read here.
std::optional<std::string> ReadProcFile(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return std::nullopt;
  std::string text(4096, '\0');
  const ssize_t count = ::read(descriptor, text.data(), text.size());
  ::close(descriptor);
  if (count < 0) return std::nullopt;
  text.resize(static_cast<std::size_t>(count));
  return text;
}

struct ProcessStat {
  char state = '?';
  std::uint64_t start_ticks = 0;
};

std::optional<ProcessStat> ReadStat(int pid) {
  const auto text = ReadProcFile(fmt::format("/proc/{}/stat", pid));
  if (!text) return std::nullopt;
  // Field 2, the command's name, stands in parentheses and may hold spaces and parentheses itself.
  const auto name_end = text->rfind(')');
  if (name_end == std::string::npos || name_end + 2 >= text->size()) return std::nullopt;
  std::string_view rest = std::string_view(*text).substr(name_end + 2);
  ProcessStat stat;
  stat.state = rest.front();
  constexpr int kFieldsFromStateToStart = 22 - 3;
  for (int i = 0; i < kFieldsFromStateToStart; ++i) {
    const auto space = rest.find(' ');
    if (space == std::string_view::npos) return std::nullopt;
    rest.remove_prefix(space + 1);
  }
  const auto parsed = std::from_chars(rest.data(), rest.data() + rest.size(), stat.start_ticks);
  if (parsed.ec != std::errc{}) return std::nullopt;
  return stat;
}

}  // namespace

std::string CurrentBootId() {
  std::string id = ReadProcFile("/proc/sys/kernel/random/boot_id").value_or("");
  while (!id.empty() && id.back() == '\n') id.pop_back();
  return id;
}

ProcessIdentity CurrentProcess() {
  ProcessIdentity process;
  process.pid = ::getpid();
  process.start_ticks = ReadStat(process.pid).value_or(ProcessStat{}).start_ticks;
  process.boot_id = CurrentBootId();
  return process;
}

std::optional<ProcessIdentity> ProcessWithId(int pid) {
  const auto stat = ReadStat(pid);
  if (!stat || stat->state == 'Z' || stat->state == 'X') return std::nullopt;
  return ProcessIdentity{pid, stat->start_ticks, CurrentBootId()};
}

bool IsAlive(const ProcessIdentity& process) {
  if (process.pid <= 0 || process.boot_id != CurrentBootId()) return false;
  if (const auto stat = ReadStat(process.pid)) {
    return stat->start_ticks == process.start_ticks && stat->state != 'Z' && stat->state != 'X';
  }
  return ::kill(process.pid, 0) == 0 || errno == EPERM;
}

}  // namespace asr
