// The executable itself, running beside the test, for tests that kill it. Of suites that are given
// ASR_BINARY.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>
#include <utility>
#include <vector>

namespace asr::testing {

class AsrProcess {
 public:
  // Starts `asr WORDS`; stdin is /dev/null, what it says on stdout and stderr goes to `output`.
  AsrProcess(const std::vector<std::string>& words, const std::string& output) {
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_addopen(&actions, 1, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                                       0600);
    ::posix_spawn_file_actions_adddup2(&actions, 1, 2);
    std::vector<char*> arguments = {const_cast<char*>(ASR_BINARY)};
    for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    EXPECT_EQ(::posix_spawn(&pid_, ASR_BINARY, &actions, nullptr, arguments.data(), environ), 0);
    ::posix_spawn_file_actions_destroy(&actions);
  }
  ~AsrProcess() { Kill(); }
  AsrProcess(const AsrProcess&) = delete;
  AsrProcess& operator=(const AsrProcess&) = delete;

  [[nodiscard]] int pid() const { return pid_; }
  void Signal(int number) const { ::kill(pid_, number); }
  [[nodiscard]] bool HasEnded() const {
    siginfo_t ended{};
    // It stays to be waited for.
    return exit_code_ >= 0 ||
           (::waitid(P_PID, static_cast<id_t>(pid_), &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
            ended.si_pid == pid_);
  }
  // Its exit code, or 128 and the signal that ended it. The same again when called again.
  int Wait() {
    int status = 0;
    while (exit_code_ < 0 && ::waitpid(pid_, &status, 0) < 0) {
      if (errno != EINTR) return exit_code_ = 127;
    }
    if (exit_code_ < 0)
      exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return exit_code_;
  }
  // True if it was running still: it is dead now, by kill -9.
  bool Kill() {
    if (exit_code_ < 0) Signal(SIGKILL);
    return Wait() == 128 + SIGKILL;
  }

 private:
  pid_t pid_ = 0;
  int exit_code_ = -1;  // negative: it has not been waited for
};

}  // namespace asr::testing
