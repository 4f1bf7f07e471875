#include "storage/base/text.h"

#include <gtest/gtest.h>

namespace asr {
namespace {

TEST(NearestNameTest, FindsWhatWasMeant) {
  EXPECT_EQ(NearestName("replciate", {"restore", "replicate", "resync"}), "replicate");
  EXPECT_EQ(NearestName("wbe", {"db", "web", "mail"}), "web");  // a swap is one mistake
  EXPECT_EQ(NearestName("Web-01", {"web-02", "web-01"}), "web-01");
  EXPECT_EQ(NearestName("quick", {"quiet", "quickstart-linux"}), "quickstart-linux");
  EXPECT_EQ(NearestName("test", {"restore", "test-failover"}), "test-failover");
}

TEST(NearestNameTest, PrefersFewerMistakes) {
  EXPECT_EQ(NearestName("server3", {"server12", "server2x", "server33"}), "server33");
  EXPECT_EQ(NearestName("abc", {"abc", "abd"}), "abc");
}

TEST(NearestNameTest, SaysNothingRatherThanNonsense) {
  EXPECT_EQ(NearestName("web", {"database", "mail", "x"}), "");
  EXPECT_EQ(NearestName("ab", {"abcdef"}), "");
  EXPECT_EQ(NearestName("web", {}), "");
  EXPECT_EQ(NearestName("", {"a", "web"}), "");
}

TEST(ShellQuoteTest, QuotesOnlyWhatNeedsIt) {
  EXPECT_EQ(ShellQuote("web-01.example/x"), "web-01.example/x");
  EXPECT_EQ(ShellQuote("web server"), "'web server'");
  EXPECT_EQ(ShellQuote("it's"), "'it'\\''s'");
  EXPECT_EQ(ShellQuote("$HOME"), "'$HOME'");
  EXPECT_EQ(ShellQuote(""), "''");
}

}  // namespace
}  // namespace asr
