// The executable, run by a person at a terminal.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <string>
#include <thread>
#include <vector>

namespace asr::testing {

// The executable on a terminal of its own.
class OnTerminal {
 public:
  explicit OnTerminal(std::vector<std::string> words) {
    words.insert(words.begin(), ASR_BINARY);
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    pid_ = ::forkpty(&terminal_, nullptr, nullptr, nullptr);
    if (pid_ == 0) {
      ::execv(ASR_BINARY, arguments.data());
      ::_exit(127);
    }
  }
  ~OnTerminal() {
    if (pid_ > 0 && !has_ended_) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    ::close(terminal_);
  }
  OnTerminal(const OnTerminal&) = delete;
  OnTerminal& operator=(const OnTerminal&) = delete;

  // Collects what is shown, until `text` is. False after 30 s, or at the end.
  bool WaitFor(const std::string& text) {
    while (shown_.find(text) == std::string::npos) {
      if (!ReadMore()) return false;
    }
    return true;
  }
  void Type(const std::string& keys) const {
    ASSERT_EQ(::write(terminal_, keys.data(), keys.size()), static_cast<ssize_t>(keys.size()));
  }
  // False if there is an echo still after 30 s.
  [[nodiscard]] bool WaitForSilence() const {
    for (int turn = 0; turn < 6000 && echoes(); ++turn) {
      std::this_thread::sleep_for(std::chrono::milliseconds{5});
    }
    return !echoes();
  }
  [[nodiscard]] bool echoes() const {
    termios settings{};
    EXPECT_EQ(::tcgetattr(terminal_, &settings), 0);
    return (settings.c_lflag & ECHO) != 0;
  }
  int Wait() {
    while (ReadMore()) {
    }
    int status = 0;
    EXPECT_EQ(::waitpid(pid_, &status, 0), pid_);
    has_ended_ = true;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  [[nodiscard]] const std::string& shown() const { return shown_; }

 private:
  bool ReadMore() {
    pollfd ready{.fd = terminal_, .events = POLLIN, .revents = 0};
    if (::poll(&ready, 1, 30'000) <= 0) return false;
    std::array<char, 512> block{};
    const ssize_t count = ::read(terminal_, block.data(), block.size());
    if (count <= 0) return false;
    shown_.append(block.data(), static_cast<std::size_t>(count));
    return true;
  }

  int terminal_ = -1;
  pid_t pid_ = -1;
  bool has_ended_ = false;
  std::string shown_;
};

}  // namespace asr::testing
