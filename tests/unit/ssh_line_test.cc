// A line to another machine, with a program in ssh's place that has its shell here.
#include "core/source/ssh_line.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <thread>

#include <fmt/format.h>

#include "core/source/ssh_program.h"
#include "storage/base/bytes.h"
#include "storage/base/text.h"
#include "tests/support/shell_command.h"
#include "tests/support/temp_dir.h"

namespace asr {
namespace {

using ::testing::HasSubstr;

class SshLineTest : public ::testing::Test {
 protected:
  SshLineTest() : path_(std::getenv("PATH")) {}
  ~SshLineTest() override { ::setenv("PATH", path_.c_str(), 1); }

  // What `ssh` does from now on. Its arguments are in the file `words`, one a line.
  void MakeSsh(const std::string& script) {
    const std::string program = directory_ / "ssh";
    std::ofstream(program) << "#!/bin/sh\nprintf '%s\\n' \"$@\" >" << directory_ / "words"
                           << "\n"
                           << script << "\n";
    ::chmod(program.c_str(), 0700);
    ::setenv("PATH", (directory_.path() + ":" + path_).c_str(), 1);
  }
  std::string Words() { return testing::MustRunShell("cat " + directory_ / "words"); }
  std::unique_ptr<SshLine> Start(const std::string& remote_socket = "") {
    auto line = SshLine::Start({.host = "kvm1", .user = "root"}, remote_socket);
    EXPECT_TRUE(line) << line.error().Line();
    return *std::move(line);
  }

  testing::TempDir directory_;
  const std::string path_;
};

TEST_F(SshLineTest, AnswersAreWhatCommandsSayToTheByte) {
  MakeSsh("echo Welcome to this machine; exec sh");
  const auto line = Start();
  ASSERT_TRUE(line->WaitUntilReady());
  EXPECT_EQ(line->Run("true")->output, "");
  EXPECT_EQ(line->Run("exit_with() { return 7; }; exit_with")->exit_code, 7);
  EXPECT_EQ(line->Run("printf 'a\\n\\nb'")->output, "a\n\nb");
  EXPECT_EQ(line->Run("printf '\\0\\377\\n'")->output, std::string("\0\xff\n", 3));
  // A command has no input: what comes next is not its own.
  EXPECT_EQ(line->Run("cat")->output, "");
  const std::string path = directory_ / "odd '$name\" \n;x";
  std::ofstream(path) << "content";
  EXPECT_EQ(line->Run("cat -- " + ShellQuote(path))->output, "content");
  const auto large = line->Run("head -c 3000000 /dev/zero");
  ASSERT_TRUE(large);
  EXPECT_EQ(large->output, std::string(3'000'000, '\0'));
  EXPECT_TRUE(line->Check());
}

TEST_F(SshLineTest, ALineThatEndsSaysWhy) {
  MakeSsh("echo 'Host key verification failed.' >&2; exit 255");
  const auto refused = Start();
  const Status ready = refused->WaitUntilReady();
  ASSERT_FALSE(ready);
  EXPECT_EQ(ready.error().code, ErrorCode::kHostUnreachable);
  EXPECT_FALSE(ready.error().retryable);
  EXPECT_THAT(ready.error().Line(), HasSubstr("cannot be made: Host key verification failed."));

  MakeSsh("exec sh");
  const auto lost = Start();
  ASSERT_TRUE(lost->WaitUntilReady());
  EXPECT_FALSE(lost->Run("kill -9 $$"));
  const Status check = lost->Check();
  ASSERT_FALSE(check);
  EXPECT_TRUE(check.error().retryable);
  EXPECT_THAT(check.error().Line(), HasSubstr("the ssh connection to root@kvm1 is lost"));
}

TEST_F(SshLineTest, TheSocketLiesWhereNobodyElseCanGo) {
  MakeSsh("exec sh");
  auto line = Start("/run/domain-1-50%: a\\b/nbd");
  ASSERT_TRUE(line->WaitUntilReady());
  const std::string place = line->socket_path().substr(0, line->socket_path().rfind('/'));
  struct stat status {};
  ASSERT_EQ(::stat(place.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0700U);
  const std::string words = Words();
  EXPECT_THAT(words, HasSubstr("-L\n" + line->socket_path() +
                               ":/run/domain-1-50%%\\: a\\\\b/nbd\n--\nkvm1\nexec sh\n"));
  EXPECT_THAT(words, HasSubstr("\nExitOnForwardFailure=yes\n"));
  EXPECT_THAT(words, HasSubstr("\nBatchMode=yes\n"));
  line->HideSocket();
  EXPECT_NE(::stat(place.c_str(), &status), 0);
}

TEST_F(SshLineTest, WhatRunsOverThereEndsWithTheLine) {
  MakeSsh("exec sh");
  auto line = Start();
  ASSERT_TRUE(line->WaitUntilReady());
  const auto pid = line->Run("echo $$");
  line.reset();
  // ssh itself is killed, here with the shell in its place.
  EXPECT_NE(testing::RunShell("kill -0 " + pid->output).exit_code, 0);
}

// What another thread forks in the moment of writing holds the program open, for a while.
TEST_F(SshLineTest, AProgramRunsAtOnceHoweverManyForkMeanwhile) {
  MakeSsh("exit 0");
  const auto fork_again_and_again = [](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      const pid_t child = ::fork();
      if (child == 0) {
        ::usleep(5000);
        ::_exit(0);
      }
      if (child > 0) ::waitpid(child, nullptr, 0);
    }
  };
  std::array<std::jthread, 4> others;
  for (std::jthread& other : others) other = std::jthread(fork_again_and_again);
  for (int i = 0; i < 300; ++i) {
    const auto program = SshProgram::Write({.host = "kvm1"});
    ASSERT_TRUE(program);
    std::array<char*, 2> words = {const_cast<char*>(program->path().c_str()), nullptr};
    pid_t pid = 0;
    ASSERT_EQ(::posix_spawn(&pid, words[0], nullptr, nullptr, words.data(), environ), 0) << i;
    ::waitpid(pid, nullptr, 0);
  }
}

TEST_F(SshLineTest, PlacesOfWhoWasKilledAreRemovedByTheNext) {
  const auto make_old = [](const std::string& file) {
    const std::string place = file.substr(0, file.rfind('/'));
    const std::array<struct timespec, 2> times = {{{.tv_sec = 1, .tv_nsec = 0}, {1, 0}}};
    ASSERT_EQ(::utimensat(AT_FDCWD, place.c_str(), times.data(), 0), 0);
  };
  const pid_t killed = ::fork();
  if (killed == 0) {
    const auto place = SshPlace::Make(directory_.path());
    std::ofstream(place->path()) << "x";
    ::raise(SIGKILL);
  }
  ::waitpid(killed, nullptr, 0);
  const std::string left = testing::MustRunShell("ls " + directory_ / "asr-ssh-*/ssh");
  auto mine = SshPlace::Make(directory_.path());
  ASSERT_TRUE(mine);
  make_old(mine->path());
  auto other = SshPlace::Make(directory_.path());
  EXPECT_THAT(testing::RunShell("ls " + left).text, HasSubstr("asr-ssh-"));  // it is too young
  make_old(left);
  other = SshPlace::Make(directory_.path());
  EXPECT_EQ(testing::RunShell("ls -d " + directory_ / "asr-ssh-*").text,
            testing::MustRunShell(
                fmt::format("ls -d $(dirname {}) $(dirname {})", mine->path(), other->path())));
}

}  // namespace
}  // namespace asr
