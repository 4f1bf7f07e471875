#include "storage/auth/az_cli.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <optional>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "storage/auth/token_reply.h"
#include "storage/base/file_descriptor.h"
#include "storage/base/stop.h"
#include "storage/base/subprocess.h"

namespace asr {
namespace {

constexpr auto kLimit = std::chrono::seconds(13);
constexpr std::size_t kMostOutputBytes = std::size_t{64} * 1024;

struct Output {
  Secret out;
  std::string errors;
  int exit_code = -1;  // negative: killed, it took too long
};

// A program in a process group of its own, so that what it starts ends with it.
class Program {
 public:
  [[nodiscard]] static Result<Program> Start(const std::vector<std::string>& arguments) {
    Program program;
    ASR_TRY(const FileDescriptor out, program.MakePipe(program.out_));
    ASR_TRY(const FileDescriptor errors, program.MakePipe(program.errors_));
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&actions, out.get(), 1);
    ::posix_spawn_file_actions_adddup2(&actions, errors.get(), 2);
    posix_spawnattr_t attributes;
    ::posix_spawnattr_init(&attributes);
    sigset_t none;
    ::sigemptyset(&none);
    ::posix_spawnattr_setsigmask(&attributes, &none);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    std::vector<char*> pointers;
    for (const auto& word : arguments) pointers.push_back(const_cast<char*>(word.c_str()));
    pointers.push_back(nullptr);
    const int problem =
        ::posix_spawn(&program.pid_, pointers[0], &actions, &attributes, pointers.data(), environ);
    ::posix_spawnattr_destroy(&attributes);
    ::posix_spawn_file_actions_destroy(&actions);
    if (problem != 0) {
      program.pid_ = 0;
      return Fail(ErrnoError(problem, "cannot start " + arguments[0]));
    }
    return program;
  }
  ~Program() {
    if (pid_ > 0) static_cast<void>(End());
  }
  Program(Program&& other) noexcept
      : pid_(std::exchange(other.pid_, 0)),
        out_(std::move(other.out_)),
        errors_(std::move(other.errors_)) {}
  Program& operator=(Program&&) = delete;
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  [[nodiscard]] Result<Output> Wait(const std::stop_token& stop) {
    const auto deadline = std::chrono::steady_clock::now() + kLimit;
    std::string out;
    std::string errors;
    while (out_.valid() || errors_.valid()) {
      if (stop.stop_requested()) return Fail(Stopped());
      if (std::chrono::steady_clock::now() >= deadline) return Output{{}, errors, -1};
      pollfd ends[2] = {{out_.get(), POLLIN, 0}, {errors_.get(), POLLIN, 0}};
      if (::poll(ends, 2, 100) <= 0) continue;
      if (ends[0].revents != 0) Read(out_, out);
      if (ends[1].revents != 0) Read(errors_, errors);
    }
    // Both are closed, so it is about to end; what it left running is not waited for.
    const int exit_code = End();
    Output output{Secret(out), errors, exit_code};
    OPENSSL_cleanse(out.data(), out.size());
    return output;
  }

 private:
  Program() = default;

  // Keeps the end that is read; returns the one that is written to.
  [[nodiscard]] static Result<FileDescriptor> MakePipe(FileDescriptor& read_end) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return Fail(ErrnoError(errno, "cannot make a pipe"));
    read_end = FileDescriptor(ends[0]);
    return FileDescriptor(ends[1]);
  }

  static void Read(FileDescriptor& from, std::string& text) {
    char buffer[4096];
    const ssize_t count = ::read(from.get(), buffer, sizeof(buffer));
    if (count < 0 && errno == EINTR) return;
    if (count <= 0 || text.size() > kMostOutputBytes) {
      from = FileDescriptor();
    } else {
      text.append(buffer, static_cast<std::size_t>(count));
    }
    OPENSSL_cleanse(buffer, sizeof(buffer));
  }

  int End() {
    int status = 0;
    // A moment to end by itself: it has closed its output already, or is to be killed.
    for (int i = 0; i < 50 && ::waitpid(pid_, &status, WNOHANG) == 0; ++i) {
      if (out_.valid() || i == 49) {
        ::kill(-pid_, SIGKILL);
        while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
        }
        break;
      }
      ::usleep(10'000);
    }
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  pid_t pid_ = 0;
  FileDescriptor out_;
  FileDescriptor errors_;
};

// Neither reaches a shell of ours, but az is a script.
bool IsPlain(std::string_view word) {
  return std::all_of(word.begin(), word.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view(":/.-_").find(c) != std::string_view::npos;
  });
}

Error NotSignedIn(std::string message) {
  return MakeError(ErrorKind::kNotFound, ErrorCode::kCredentialNotFound, std::move(message))
      .WithAction("az login");
}

Error Failure(const Output& output) {
  if (output.exit_code < 0) {
    return MakeError(ErrorKind::kBusy, ErrorCode::kSignInFailed,
                     fmt::format("az gave no token within {} seconds", kLimit.count()))
        .WithCause("it has no network, or waits for something")
        .WithAction("see what it does: az account get-access-token")
        .Retryable();
  }
  const std::string_view errors = output.errors;
  if (errors.find("az login") != std::string_view::npos ||
      errors.find("az account set") != std::string_view::npos) {
    return NotSignedIn("nobody is signed in with az");
  }
  const std::size_t start = std::min(errors.find_first_not_of(" \r\n"), errors.size());
  const std::string_view line = errors.substr(start, errors.find('\n', start) - start);
  return MakeError(ErrorKind::kState, ErrorCode::kSignInFailed,
                   fmt::format("az gave no token: {}", line.substr(0, 300)))
      .WithAction("see what it says: az account get-access-token");
}

class AzCli : public TokenSource {
 public:
  explicit AzCli(const Clock& clock) : clock_(clock) {}
  std::string name() const override { return "sign-in of az"; }

  Result<AccessToken> Fetch(const TokenRequest& asked, const std::stop_token& stop) override {
    if (!IsPlain(asked.scope) || !IsPlain(asked.tenant)) {
      return Fail(MakeError(ErrorKind::kUsage, ErrorCode::kCredentialInvalid,
                            "scope or tenant have characters that az must not see"));
    }
    const std::string path = FindProgram("az");
    if (path.empty()) {
      return Fail(MakeError(ErrorKind::kNotFound, ErrorCode::kCredentialNotFound,
                            "az, the Azure CLI, is not installed"));
    }
    std::vector<std::string> arguments = {path,   "account", "get-access-token", "--output",
                                          "json", "--scope", asked.scope};
    if (!asked.tenant.empty()) {
      arguments.emplace_back("--tenant");
      arguments.push_back(asked.tenant);
    }
    ASR_TRY(Program program, Program::Start(arguments));
    ASR_TRY(const Output output, program.Wait(stop));
    if (output.exit_code != 0) return Fail(Failure(output));
    return ReadToken(output.out.Reveal(), clock_.Now());
  }

 private:
  const Clock& clock_;
};

}  // namespace

std::unique_ptr<TokenSource> MakeAzCliSource(const Clock& clock) {
  return std::make_unique<AzCli>(clock);
}

}  // namespace asr
