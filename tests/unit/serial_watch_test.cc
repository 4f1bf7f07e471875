#include "core/failover/serial_watch.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/temp_dir.h"

namespace asr {
namespace {

using Found = std::optional<std::string>;

class SerialWatchTest : public ::testing::Test {
 protected:
  void Append(std::string_view text) { std::ofstream(path_, std::ios::app) << text; }
  static Found Look(SerialWatch& watch) {
    auto found = watch.Look();
    EXPECT_TRUE(found);
    return found ? *found : Found();
  }

  testing::TempDir directory_;
  std::string path_ = directory_ / "serial.log";
  SerialWatch watch_{PosixFileSystem(), path_, "login:"};
};

TEST_F(SerialWatchTest, FindsTheWholeLineAcrossLooks) {
  EXPECT_EQ(Look(watch_), Found());  // no file yet
  Append("booting\r\nweb lo");
  EXPECT_EQ(Look(watch_), Found());
  Append("gin: on tty");
  EXPECT_EQ(Look(watch_), Found());  // the line may go on
  Append("S0\r\nmore\r\n");
  EXPECT_EQ(Look(watch_), "web login: on ttyS0");
}

TEST_F(SerialWatchTest, PromptWithoutAnEndIsALineOnceNothingFollows) {
  Append("web login: ");
  EXPECT_EQ(Look(watch_), Found());
  EXPECT_EQ(Look(watch_), "web login: ");
}

TEST_F(SerialWatchTest, FindsTheTextAcrossReadBorders) {
  constexpr std::size_t kBorder = 64 * kKiB;
  for (std::size_t before = kBorder - 8; before <= kBorder + 1; ++before) {
    std::ofstream(path_, std::ios::trunc) << std::string(before - 1, 'x') << "\nlogin: here\n";
    SerialWatch watch(PosixFileSystem(), path_, "login:");
    EXPECT_EQ(Look(watch), "login: here") << before;
  }
}

TEST_F(SerialWatchTest, EndlessLineDoesNotHideTheText) {
  Append(std::string(1'000'000, 'x') + "login:" + std::string(1'000'000, 'y'));
  const Found line = Look(watch_);
  ASSERT_TRUE(line);
  EXPECT_LT(line->size(), 10'000U);
  EXPECT_NE(line->find("login:y"), std::string::npos);
}

TEST_F(SerialWatchTest, LastLinesAreTheLastOnesThatSaySomething) {
  EXPECT_TRUE(LastLines(PosixFileSystem(), path_, 2).empty());
  Append("one\r\ntwo\r\n\r\n  \r\n\x1B[1;31mthree\x1B[0m\r\nfour");
  EXPECT_EQ(LastLines(PosixFileSystem(), path_, 3),
            (std::vector<std::string>{"two", "three", "four"}));
}

TEST(PrintableTextTest, TakesOutWhatCouldTrickATerminalOrBreakJson) {
  EXPECT_EQ(PrintableText("plain"), "plain");
  EXPECT_EQ(PrintableText("f\xC3\xBCr \xE2\x82\xAC \xF0\x9F\x98\x80"),
            "f\xC3\xBCr \xE2\x82\xAC \xF0\x9F\x98\x80");
  EXPECT_EQ(PrintableText("\x1B[2J\x1B[1;31mred\x1B[0m\a\b\x7F"), "red");
  EXPECT_EQ(PrintableText("\x1B]0;title\a"), "0;title");
  EXPECT_EQ(PrintableText("a\xFF\xC0\xAF\xED\xA0\x80z"), "a??????z");
  EXPECT_EQ(PrintableText("\xC2\x9B"
                          "31m"),
            "??31m");  // a control character of two bytes
  EXPECT_EQ(PrintableText("cut \xE2\x82"), "cut ??");
  EXPECT_EQ(PrintableText("\x1B["), "");
  EXPECT_EQ(PrintableText("\x1B"), "");
}

}  // namespace
}  // namespace asr
