// What the reader of guests' journals finds wrong.
#include "tests/support/guest_journal.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/shell_command.h"
#include "tests/support/temp_dir.h"

namespace asr::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class GuestJournalTest : public ::testing::Test {
 protected:
  std::string Image(const std::string& name, const std::string& journal) {
    std::ofstream(directory_ / "journal") << journal;
    std::string path = directory_ / name;
    MustRunShell(fmt::format("truncate -s 16M {} && {}mkfs.ext4 -q {}", path, kPath, path));
    Change(path, fmt::format("write {} journal", directory_ / "journal"));
    return path;
  }
  void Change(const std::string& image, const std::string& request) {
    MustRunShell(fmt::format("{}debugfs -w -R '{}' {}", kPath, request, image));
  }
  static std::string Problem(const std::string& image) {
    return ReadGuestJournal({image}, JournalState::kCrash).problem;
  }

  static constexpr char kPath[] = "PATH=$PATH:/sbin:/usr/sbin ";
  TempDir directory_;
};

TEST_F(GuestJournalTest, DisksOfOneInstantDifferByOneNumberAtMostAndInTheirOrder) {
  const std::string two = Image("two", "1\n2\n");
  const std::string three = Image("three", "1\n2\n3\n");
  const std::string four = Image("four", "1\n2\n3\n4\n5");
  const GuestJournal journal = ReadGuestJournal({four, three, three}, JournalState::kFrozen);
  EXPECT_EQ(journal.problem, "");
  EXPECT_THAT(journal.last_numbers, ElementsAre(4, 3, 3));
  EXPECT_EQ(journal.SyncedNumber(), 3);
  EXPECT_THAT(ReadGuestJournal({four, two}, JournalState::kFrozen).problem, HasSubstr("4, 2"));
  EXPECT_THAT(ReadGuestJournal({three, four}, JournalState::kFrozen).problem, HasSubstr("3, 4"));
}

TEST_F(GuestJournalTest, GapsAndDamageAreFoundAndNotRepairedOnTheWay) {
  EXPECT_EQ(Problem(Image("good", "1\n2\n")), "");
  EXPECT_THAT(Problem(Image("gap", "1\n3\n")), HasSubstr("'3' after 1"));
  EXPECT_THAT(Problem(Image("late", "2\n")), HasSubstr("'2' after 0"));
  const std::string freed = Image("freed", "1\n");
  Change(freed, "freei /journal");
  EXPECT_THAT(Problem(freed), HasSubstr("e2fsck -fn"));
  EXPECT_THAT(Problem(freed), HasSubstr("bitmap differences"));
  EXPECT_THAT(Problem(directory_ / "journal"), HasSubstr("no ext4"));
}

}  // namespace
}  // namespace asr::testing
