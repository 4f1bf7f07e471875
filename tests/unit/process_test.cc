#include "storage/base/process.h"

#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace asr {
namespace {

TEST(ProcessTest, ThisProcessIsAlive) {
  const ProcessIdentity self = CurrentProcess();
  EXPECT_EQ(self.pid, ::getpid());
  EXPECT_GT(self.start_ticks, 0U);
  EXPECT_FALSE(self.boot_id.empty());
  EXPECT_TRUE(IsAlive(self));
}

TEST(ProcessTest, SamePidOfAnotherStartOrBootIsDead) {
  ProcessIdentity other = CurrentProcess();
  ++other.start_ticks;
  EXPECT_FALSE(IsAlive(other));
  other = CurrentProcess();
  other.boot_id = "00000000-0000-0000-0000-000000000000";
  EXPECT_FALSE(IsAlive(other));
  EXPECT_FALSE(IsAlive(ProcessIdentity{}));
}

TEST(ProcessTest, ChildIsDeadOnceItEndedEvenIfNobodyCollectedIt) {
  int identity_pipe[2];
  int stay_pipe[2];
  ASSERT_EQ(::pipe(identity_pipe), 0);
  ASSERT_EQ(::pipe(stay_pipe), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::close(stay_pipe[1]);
    const ProcessIdentity self = CurrentProcess();
    char byte = 0;
    const bool told = ::write(identity_pipe[1], &self.start_ticks, sizeof(self.start_ticks)) ==
                      static_cast<ssize_t>(sizeof(self.start_ticks));
    static_cast<void>(::read(stay_pipe[0], &byte, 1) == 0);  // until the parent closes its end
    ::_exit(told ? 0 : 1);
  }
  ProcessIdentity identity = CurrentProcess();
  identity.pid = child;
  ASSERT_EQ(::read(identity_pipe[0], &identity.start_ticks, sizeof(identity.start_ticks)),
            static_cast<ssize_t>(sizeof(identity.start_ticks)));
  EXPECT_TRUE(IsAlive(identity));

  ::close(stay_pipe[1]);
  siginfo_t ended{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOWAIT), 0);
  EXPECT_FALSE(IsAlive(identity));  // a zombie still
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_FALSE(IsAlive(identity));
  for (const int descriptor : {identity_pipe[0], identity_pipe[1], stay_pipe[0]}) {
    ::close(descriptor);
  }
}

}  // namespace
}  // namespace asr
