#include "storage/base/subprocess.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <optional>

#include <fmt/format.h>

#include "storage/base/file_descriptor.h"

namespace asr {
namespace {

// What the children tell us through the socket.
struct Report {
  int pid = 0;          // of the program, or 0
  int errno_value = 0;  // of the step that failed, or 0
  char step[24] = {};   // its name
};

bool IsExecutableFile(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
         ::access(path.c_str(), X_OK) == 0;
}

// Everything from here to the exec runs between fork and exec of a process that may have had many
// threads: only async-signal-safe calls, no memory from the heap.
class DetachedProgram {
 public:
  DetachedProgram(std::vector<char*> arguments, const SpawnOptions& options, int report_descriptor,
                  int parents_descriptor)
      : arguments_(std::move(arguments)),
        options_(options),
        report_descriptor_(report_descriptor),
        parents_descriptor_(parents_descriptor),
        descriptor_limit_(DescriptorLimit()) {}

  [[noreturn]] void Run() const {
    // With a copy of that end, we would never hear that our parent has died.
    ::close(parents_descriptor_);
    if (::setsid() < 0) Give("setsid");
    // The session's leader could get a terminal again, its child cannot; and with its parent gone
    // the program belongs to init, which collects it.
    const pid_t program = ::fork();
    if (program < 0) Give("fork");
    if (program > 0) ::_exit(0);
    Report report;
    report.pid = ::getpid();
    Send(report);
    WaitUntilKnown();
    Prepare();
    ::execv(arguments_[0], arguments_.data());
    Give("execv");
  }

 private:
  static int DescriptorLimit() {
    struct rlimit limit {};
    constexpr rlim_t kMost = 65536;
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > kMost) return kMost;
    return static_cast<int>(limit.rlim_cur);
  }

  void Prepare() const {
    ::umask(077);
    if (::chdir(options_.directory.c_str()) != 0) Give("chdir");
    const int null = ::open("/dev/null", O_RDWR);
    const int opened =
        ::open(options_.stderr_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
    if (null < 0 || opened < 0) Give("open");
    // Out of the way, should we have been started without standard descriptors.
    const int errors = ::fcntl(opened, F_DUPFD, 3);
    const int input = ::fcntl(options_.input < 0 ? null : options_.input, F_DUPFD, 3);
    const int output = ::fcntl(options_.output < 0 ? null : options_.output, F_DUPFD, 3);
    if (errors < 0 || input < 0 || output < 0) Give("fcntl");
    if (::dup2(input, 0) < 0 || ::dup2(output, 1) < 0 || ::dup2(errors, 2) < 0) Give("dup2");
    CloseAtExec();
    ResetSignals();
  }

  // Until our parent has noted who we are. If it died before that, nobody would ever find us.
  void WaitUntilKnown() const {
    char known = 0;
    ssize_t count = -1;
    do {
      count = ::read(report_descriptor_, &known, 1);
    } while (count < 0 && errno == EINTR);
    if (count != 1) ::_exit(127);
  }

  // The report's socket has to stay open until the exec: its end is the news that all went well.
  void CloseAtExec() const {
    if (::syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC) == 0) return;
    for (int descriptor = 3; descriptor < descriptor_limit_; ++descriptor) {  // Linux before 5.11
      const int flags = ::fcntl(descriptor, F_GETFD);
      if (flags >= 0) ::fcntl(descriptor, F_SETFD, flags | FD_CLOEXEC);
    }
  }

  // Ignored signals and the mask are inherited across an exec.
  static void ResetSignals() {
    for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
  }

  void Send(const Report& report) const {
    [[maybe_unused]] const ssize_t sent =
        ::send(report_descriptor_, &report, sizeof(report), MSG_NOSIGNAL);
  }

  [[noreturn]] void Give(const char* step) const {
    Report report;
    report.errno_value = errno;
    for (std::size_t i = 0; i + 1 < sizeof(report.step) && step[i] != '\0'; ++i) {
      report.step[i] = step[i];
    }
    Send(report);
    ::_exit(127);
  }

  std::vector<char*> arguments_;  // ends with a null pointer
  const SpawnOptions& options_;
  int report_descriptor_;
  int parents_descriptor_;
  int descriptor_limit_;
};

std::optional<Report> ReadReport(int descriptor) {
  Report report;
  ssize_t count = -1;
  do {
    count = ::read(descriptor, &report, sizeof(report));
  } while (count < 0 && errno == EINTR);
  if (count != static_cast<ssize_t>(sizeof(report))) return std::nullopt;
  return report;
}

}  // namespace

std::string FindProgram(std::string_view name) {
  if (name.find('/') != std::string_view::npos) {
    return IsExecutableFile(std::string(name)) ? std::string(name) : std::string();
  }
  const char* variable = std::getenv("PATH");
  std::string_view rest = variable != nullptr ? variable : "/usr/bin:/bin";
  while (!rest.empty()) {
    const std::size_t end = rest.find(':');
    std::string path = fmt::format("{}/{}", rest.substr(0, end), name);
    // An empty or relative part of $PATH is whatever directory we happen to be in.
    if (path.front() == '/' && IsExecutableFile(path)) return path;
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
  }
  return {};
}

Result<ProcessIdentity> SpawnDetached(const std::vector<std::string>& arguments,
                                      const SpawnOptions& options) {
  const std::string& program = arguments.front();
  std::vector<char*> pointers;
  for (const std::string& argument : arguments) {
    pointers.push_back(const_cast<char*>(argument.c_str()));
  }
  pointers.push_back(nullptr);
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return Fail(ErrnoError(errno, fmt::format("cannot start {}", program)));
  }
  const FileDescriptor ours(ends[0]);
  FileDescriptor theirs(ends[1]);
  FileDescriptor theirs_aside(::fcntl(theirs.get(), F_DUPFD_CLOEXEC, 3));
  const DetachedProgram child(std::move(pointers), options, theirs_aside.get(), ours.get());
  const pid_t pid = theirs_aside.valid() ? ::fork() : -1;
  if (pid < 0) return Fail(ErrnoError(errno, fmt::format("cannot start {}", program)));
  if (pid == 0) child.Run();
  theirs = FileDescriptor();
  theirs_aside = FileDescriptor();
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  ProcessIdentity process;
  while (const auto report = ReadReport(ours.get())) {
    if (report->errno_value != 0) {
      return Fail(ErrnoError(report->errno_value,
                             fmt::format("cannot start {} in {} ({})", program, options.directory,
                                         static_cast<const char*>(report->step))));
    }
    process = ProcessWithId(report->pid).value_or(ProcessIdentity{});
    if (::send(ours.get(), "k", 1, MSG_NOSIGNAL) != 1) break;
  }
  if (process.pid == 0) {
    return Fail(ErrorKind::kIo, ErrorCode::kIo,
                fmt::format("cannot start {}: it ended at once", program));
  }
  return process;
}

Status SignalProcess(const ProcessIdentity& process, int signal_number) {
  // First the handle, then the look: whatever has the pid when the handle is taken is what gets
  // the signal, and only if it is the process asked for.
  const FileDescriptor handle(static_cast<int>(::syscall(SYS_pidfd_open, process.pid, 0U)));
  const int problem = errno;
  if (!IsAlive(process)) return {};
  if (!handle.valid() && problem == ENOSYS) {  // Linux before 5.3
    if (::kill(process.pid, signal_number) == 0 || errno == ESRCH) return {};
    return Fail(ErrnoError(errno, fmt::format("cannot signal process {}", process.pid)));
  }
  if (!handle.valid()) {
    return Fail(ErrnoError(problem, fmt::format("cannot get hold of process {}", process.pid)));
  }
  if (::syscall(SYS_pidfd_send_signal, handle.get(), signal_number, nullptr, 0U) != 0 &&
      errno != ESRCH) {
    return Fail(ErrnoError(
        errno, fmt::format("cannot send signal {} to process {}", signal_number, process.pid)));
  }
  return {};
}

}  // namespace asr
