#include "storage/base/subprocess.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>

#include "storage/base/clock.h"
#include "tests/support/temp_dir.h"

namespace asr {
namespace {

std::string ReadText(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

bool EndsSoon(const ProcessIdentity& process) {
  for (int i = 0; i < 500 && IsAlive(process); ++i) SystemClock().SleepSeconds(0.02);
  return !IsAlive(process);
}

// Ends what a test started, whatever became of the test.
struct Ended {
  ProcessIdentity process;
  ~Ended() { static_cast<void>(SignalProcess(process, SIGKILL)); }
};

TEST(SubprocessTest, RunsInItsOwnSessionWithNothingOfOurs) {
  const testing::TempDir directory;
  // The test's own descriptor, inheritable by mistake.
  const int leaked = ::open("/dev/null", O_RDONLY);
  ASSERT_GE(leaked, 3);
  const auto process = SpawnDetached(
      {FindProgram("sh"), "-c",
       "ls -l /proc/$$/fd >fds; umask >umask; cat /proc/$$/stat >stat; pwd >pwd; echo bad >&2"},
      {directory.path(), "errors.log"});
  ::close(leaked);
  ASSERT_TRUE(process) << process.error().Line();
  ASSERT_TRUE(EndsSoon(*process));
  EXPECT_EQ(ReadText(directory / "errors.log"), "bad\n");
  EXPECT_EQ(ReadText(directory / "pwd"), directory.path() + "\n");
  EXPECT_EQ(ReadText(directory / "umask"), "0077\n");
  const std::string descriptors = ReadText(directory / "fds");
  EXPECT_NE(descriptors.find("errors.log"), std::string::npos);
  EXPECT_EQ(descriptors.find("socket:"), std::string::npos) << descriptors;
  EXPECT_EQ(descriptors.find(" 3 -> "), std::string::npos) << descriptors;
  // Fields 4 to 7 of stat: parent, group, session, terminal.
  std::istringstream stat(ReadText(directory / "stat"));
  std::string pid, name, state, parent, group, session, terminal;
  stat >> pid >> name >> state >> parent >> group >> session >> terminal;
  EXPECT_EQ(pid, std::to_string(process->pid));
  EXPECT_NE(parent, std::to_string(::getpid()));
  EXPECT_NE(session, std::to_string(::getsid(0)));
  EXPECT_EQ(terminal, "0");
}

TEST(SubprocessTest, WhyItCouldNotStartIsSaidAtOnce) {
  const testing::TempDir directory;
  const auto missing = SpawnDetached({directory / "nothing"}, {directory.path(), "errors.log"});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().kind, ErrorKind::kNotFound);
  EXPECT_NE(missing.error().message.find("nothing"), std::string::npos);
  const auto nowhere =
      SpawnDetached({FindProgram("sh"), "-c", "true"}, {directory / "gone", "errors.log"});
  ASSERT_FALSE(nowhere);
  EXPECT_NE(nowhere.error().message.find("chdir"), std::string::npos);
}

TEST(SubprocessTest, SignalReachesTheProcessAndNoLaterOneOfThatPid) {
  const testing::TempDir directory;
  const auto process =
      SpawnDetached({FindProgram("sleep"), "60"}, {directory.path(), "errors.log"});
  ASSERT_TRUE(process) << process.error().Line();
  const Ended ended{*process};
  EXPECT_TRUE(IsAlive(*process));

  // As if that pid had belonged to an older process: it is left alone.
  ProcessIdentity older = *process;
  older.start_ticks -= 1;
  EXPECT_TRUE(SignalProcess(older, SIGKILL));
  ProcessIdentity of_last_boot = *process;
  of_last_boot.boot_id = "00000000-0000-0000-0000-000000000000";
  EXPECT_TRUE(SignalProcess(of_last_boot, SIGKILL));
  SystemClock().SleepSeconds(0.1);
  EXPECT_TRUE(IsAlive(*process));

  EXPECT_TRUE(SignalProcess(*process, SIGTERM));
  EXPECT_TRUE(EndsSoon(*process));
  EXPECT_TRUE(SignalProcess(*process, SIGTERM));  // gone: fine
}

TEST(SubprocessTest, AnotherUsersProcessIsSaidToBe) {
  const ProcessIdentity of_ours = CurrentProcess();
  const ProcessIdentity of_root = ProcessWithId(1).value_or(ProcessIdentity{});
  const bool is_root = ::geteuid() == 0;
  if (!is_root && of_root.pid == 0) GTEST_SKIP() << "no process of another user can be seen";
  const pid_t child = ::fork();
  if (child == 0) {
    if (is_root && ::setuid(65534) != 0) ::_exit(1);
    const Status status = SignalProcess(is_root ? of_ours : of_root, 0);  // only asks
    ::_exit(!status && status.error().code == ErrorCode::kPermission ? 0 : 2);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(SubprocessTest, ProgramsAreFoundByPath) {
  EXPECT_EQ(FindProgram("sh").substr(0, 1), "/");
  EXPECT_EQ(FindProgram("no-such-program"), "");
  EXPECT_EQ(FindProgram("/bin/sh"), "/bin/sh");
  EXPECT_EQ(FindProgram("/etc/passwd"), "");
}

}  // namespace
}  // namespace asr
