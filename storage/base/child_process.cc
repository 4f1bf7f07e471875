#include "storage/base/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <functional>
#include <mutex>
#include <string_view>
#include <thread>
#include <utility>

#include <fmt/format.h>

namespace asr {
namespace {

constexpr int kFirstDescriptor = 3;
constexpr int kCouldNotStart = 127;  // as a shell says it
constexpr std::string_view kPidVariable = "LISTEN_PID=";

std::vector<char*> Pointers(const std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (const std::string& word : words) pointers.push_back(const_cast<char*>(word.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// Ours, with what sd_listen_fds(3) wants; the digits of the pid are the last of it, and are for the
// program itself to fill in.
std::vector<std::string> ProgramVariables(bool is_activated) {
  std::vector<std::string> variables;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (!std::string_view(*variable).starts_with("LISTEN_")) variables.emplace_back(*variable);
  }
  constexpr std::size_t kMostDigits = 20;
  if (is_activated) {
    variables.emplace_back("LISTEN_FDS=1");
    variables.push_back(std::string(kPidVariable) + std::string(kMostDigits, '\0'));
  }
  return variables;
}

// What the program gets, out of the way of the numbers that it has in the program.
struct ChildCopies {
  std::vector<FileDescriptor> descriptors;
  FileDescriptor input;
  FileDescriptor output;
  FileDescriptor errors;
};

Result<ChildCopies> CopiesFor(const ChildOptions& options, const FileDescriptor& errors) {
  ChildCopies copies;
  const int aside = kFirstDescriptor + static_cast<int>(options.descriptors.size());
  int problem = 0;
  const auto copy = [&](int descriptor) {
    FileDescriptor made(::fcntl(descriptor, F_DUPFD_CLOEXEC, aside));
    if (!made.valid()) problem = errno;
    return made;
  };
  for (const int descriptor : options.descriptors) copies.descriptors.push_back(copy(descriptor));
  if (options.input >= 0) copies.input = copy(options.input);
  if (options.output >= 0) copies.output = copy(options.output);
  copies.errors = copy(errors.get());
  if (problem != 0) return Fail(ErrnoError(problem, "cannot copy a descriptor"));
  return copies;
}

// Everything here runs between fork and exec of a process that may have many threads: only
// async-signal-safe calls, no memory from the heap.
class Child {
 public:
  Child(std::vector<char*> arguments, std::vector<char*> variables, char* pid_digits)
      : arguments_(std::move(arguments)),
        variables_(std::move(variables)),
        pid_digits_(pid_digits),
        parent_(::getpid()) {}

  // Those of `copies` are above all numbers that they get in the program.
  [[noreturn]] void Run(const ChildCopies& copies) const {
    // The parent may have died before it was asked for.
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || ::getppid() != parent_) End();
    if (::setsid() < 0) End();
    ResetSignals();
    const int null = ::open("/dev/null", O_RDWR);
    const auto or_null = [null](const FileDescriptor& copy) {
      return copy.valid() ? copy.get() : null;
    };
    if (null < 0 || ::dup2(or_null(copies.input), 0) < 0 || ::dup2(or_null(copies.output), 1) < 0 ||
        ::dup2(copies.errors.get(), 2) < 0) {
      End();
    }
    if (null > 2) ::close(null);
    for (std::size_t i = 0; i < copies.descriptors.size(); ++i) {
      if (::dup2(copies.descriptors[i].get(), kFirstDescriptor + static_cast<int>(i)) < 0) End();
    }
    if (pid_digits_ != nullptr) WritePid();
    ::execve(arguments_[0], arguments_.data(), variables_.data());
    constexpr std::string_view kProblem = "it cannot be executed\n";
    [[maybe_unused]] const ssize_t said = ::write(2, kProblem.data(), kProblem.size());
    End();
  }

 private:
  [[noreturn]] static void End() { ::_exit(kCouldNotStart); }

  // Ignored signals and the mask are inherited across an exec.
  static void ResetSignals() {
    for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
  }

  void WritePid() const {
    std::array<char, 20> reversed{};
    std::size_t count = 0;
    for (pid_t rest = ::getpid(); rest > 0; rest /= 10) {
      reversed[count++] = static_cast<char>('0' + rest % 10);
    }
    for (std::size_t i = 0; i < count; ++i) pid_digits_[i] = reversed[count - 1 - i];
  }

  std::vector<char*> arguments_;  // end with a null pointer
  std::vector<char*> variables_;  // the same
  char* pid_digits_;              // null: the program need not know
  pid_t parent_;
};

// The kernel takes the thread that forked for the parent: when that ends, the child is killed. So
// this one forks for all, and ends with the process.
class ForkingThread {
 public:
  static ForkingThread& Get() {
    static std::mutex mutex;
    static pid_t owner = 0;  // a process that was forked from ours has none of its threads
    static ForkingThread* thread = nullptr;  // never destroyed, it is in use to the end
    const std::lock_guard lock(mutex);
    if (owner != ::getpid()) thread = new ForkingThread;
    owner = ::getpid();
    return *thread;
  }

  // Runs `child`, which must not return, in a new process. Its pid, or a negative errno.
  pid_t Fork(const std::function<void()>& child) {
    const std::lock_guard one_caller(callers_);
    std::unique_lock lock(mutex_);
    child_ = &child;
    changed_.notify_all();
    changed_.wait(lock, [this] { return child_ == nullptr; });
    return result_;
  }

 private:
  ForkingThread() { std::thread(&ForkingThread::Run, this).detach(); }

  void Run() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return child_ != nullptr; });
      result_ = ::fork();
      if (result_ == 0) (*child_)();
      if (result_ < 0) result_ = -errno;
      child_ = nullptr;
      changed_.notify_all();
    }
  }

  std::mutex callers_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  const std::function<void()>* child_ = nullptr;
  pid_t result_ = 0;
};

}  // namespace

Result<ChildProcess> ChildProcess::Start(const std::vector<std::string>& arguments,
                                         const ChildOptions& options) {
  const auto fail = [&](int problem) {
    return Fail(ErrnoError(problem, fmt::format("cannot start {}", arguments.front())));
  };
  FileDescriptor errors(::memfd_create("stderr", MFD_CLOEXEC));
  if (!errors.valid()) return fail(errno);
  ASR_TRY(const ChildCopies copies, CopiesFor(options, errors));
  std::vector<std::string> variables = ProgramVariables(options.is_activated);
  char* const pid_digits =
      options.is_activated ? variables.back().data() + kPidVariable.size() : nullptr;
  const Child child(Pointers(arguments), Pointers(variables), pid_digits);
  const pid_t pid = ForkingThread::Get().Fork([&] { child.Run(copies); });
  if (pid < 0) return fail(-pid);
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

bool ChildProcess::HasEnded() const {
  if (exit_code_ >= 0) return true;
  siginfo_t ended{};
  // It stays to be waited for.
  return ::waitid(P_PID, static_cast<id_t>(pid_), &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         ended.si_pid == pid_;
}

std::string ChildProcess::ErrorText() const {
  constexpr std::size_t kMostBytes = 4096;
  std::string text(kMostBytes, '\0');
  const ssize_t count = ::pread(errors_.get(), text.data(), text.size(), 0);
  text.resize(count < 0 ? 0 : static_cast<std::size_t>(count));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

}  // namespace asr
