#include "storage/base/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

#include <fmt/format.h>

namespace asr {
namespace {

constexpr int kFirstDescriptor = 3;

// A program learns its own pid from the environment, which only the program itself can fill in
// after the fork: the shell that becomes it does.
constexpr const char* kPlainScript = R"(exec "$0" "$@")";
constexpr const char* kActivatedScript = R"(LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@")";

class SpawnActions {
 public:
  SpawnActions() { ::posix_spawn_file_actions_init(&actions_); }
  ~SpawnActions() { ::posix_spawn_file_actions_destroy(&actions_); }
  SpawnActions(const SpawnActions&) = delete;
  SpawnActions& operator=(const SpawnActions&) = delete;

  int OpenNull(int descriptor) {
    return ::posix_spawn_file_actions_addopen(&actions_, descriptor, "/dev/null", O_RDWR, 0);
  }
  int Give(int ours, int theirs) {
    return ::posix_spawn_file_actions_adddup2(&actions_, ours, theirs);
  }
  [[nodiscard]] const posix_spawn_file_actions_t* get() const { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_{};
};

class SpawnAttributes {
 public:
  SpawnAttributes() {
    ::posix_spawnattr_init(&attributes_);
    sigset_t signals;
    ::sigfillset(&signals);
    ::posix_spawnattr_setsigdefault(&attributes_, &signals);
    ::sigemptyset(&signals);
    ::posix_spawnattr_setsigmask(&attributes_, &signals);
    ::posix_spawnattr_setflags(&attributes_,
                               POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);
  }
  ~SpawnAttributes() { ::posix_spawnattr_destroy(&attributes_); }
  SpawnAttributes(const SpawnAttributes&) = delete;
  SpawnAttributes& operator=(const SpawnAttributes&) = delete;

  [[nodiscard]] const posix_spawnattr_t* get() const { return &attributes_; }

 private:
  posix_spawnattr_t attributes_{};
};

std::vector<char*> ShellArguments(const std::vector<std::string>& arguments, bool is_activated) {
  std::vector<char*> pointers = {const_cast<char*>("sh"), const_cast<char*>("-c"),
                                 const_cast<char*>(is_activated ? kActivatedScript : kPlainScript)};
  for (const std::string& argument : arguments) {
    pointers.push_back(const_cast<char*>(argument.c_str()));
  }
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

Result<ChildProcess> ChildProcess::Start(const std::vector<std::string>& arguments,
                                         const ChildOptions& options) {
  const auto fail = [&](int problem) {
    return Fail(ErrnoError(problem, fmt::format("cannot start {}", arguments.front())));
  };
  FileDescriptor errors(::memfd_create("stderr", MFD_CLOEXEC));
  if (!errors.valid()) return fail(errno);
  // Out of the way of the numbers that they get in the program.
  const int aside = kFirstDescriptor + static_cast<int>(options.descriptors.size());
  std::vector<FileDescriptor> copies;
  SpawnActions actions;
  int problem = actions.OpenNull(0);
  if (problem == 0) problem = actions.OpenNull(1);
  for (const int descriptor : options.descriptors) {
    const int theirs = kFirstDescriptor + static_cast<int>(copies.size());
    copies.emplace_back(::fcntl(descriptor, F_DUPFD_CLOEXEC, aside));
    if (!copies.back().valid()) return fail(errno);
    if (problem == 0) problem = actions.Give(copies.back().get(), theirs);
  }
  copies.emplace_back(::fcntl(errors.get(), F_DUPFD_CLOEXEC, aside));
  if (!copies.back().valid()) return fail(errno);
  if (problem == 0) problem = actions.Give(copies.back().get(), 2);
  const SpawnAttributes attributes;
  const std::vector<char*> pointers = ShellArguments(arguments, options.is_activated);
  pid_t pid = 0;
  if (problem == 0) {
    problem =
        ::posix_spawn(&pid, "/bin/sh", actions.get(), attributes.get(), pointers.data(), environ);
  }
  if (problem != 0) return fail(problem);
  return ChildProcess(pid, std::move(errors));
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)),
      exit_code_(other.exit_code_),
      errors_(std::move(other.errors_)) {}

ChildProcess::~ChildProcess() {
  if (pid_ > 0) static_cast<void>(Wait(std::chrono::milliseconds(0)));
}

int ChildProcess::Wait(std::chrono::milliseconds limit) {
  if (exit_code_ >= 0) return exit_code_;
  // Our child until it is waited for, so the pid cannot mean another process.
  const FileDescriptor handle(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0U)));
  const auto deadline = std::chrono::steady_clock::now() + limit;
  int ready = 0;
  do {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    struct pollfd ended {};
    ended.fd = handle.get();
    ended.events = POLLIN;
    ready = handle.valid() ? ::poll(&ended, 1, static_cast<int>(std::max(left.count(), 0L))) : 0;
  } while (ready < 0 && errno == EINTR);
  if (ready <= 0) ::kill(pid_, SIGKILL);
  int status = 0;
  pid_t waited = -1;
  do {
    waited = ::waitpid(pid_, &status, 0);
  } while (waited < 0 && errno == EINTR);
  exit_code_ = waited == pid_ && WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return exit_code_;
}

std::string ChildProcess::ErrorText() const {
  std::string text(4 * 1024, '\0');
  const ssize_t count = ::pread(errors_.get(), text.data(), text.size(), 0);
  text.resize(count < 0 ? 0 : static_cast<std::size_t>(count));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

}  // namespace asr
