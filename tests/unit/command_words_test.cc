#include "cli/command_words.h"

#include <gtest/gtest.h>

namespace asr {
namespace {

TEST(CommandWordsTest, WordsComeBackAsTheyWere) {
  const std::vector<std::string> words = {"restore", "web \"1\"", "--to", "\xC3\xA4/b\n", ""};
  EXPECT_EQ(DecodeWords(EncodeWords(words)), words);
}

TEST(CommandWordsTest, WhatJsonCannotCarryIsNotKept) {
  EXPECT_EQ(EncodeWords({"restore", "--to", "/srv/\xFF"}), "");
}

TEST(CommandWordsTest, OtherTextHasNoWords) {
  for (const char* text : {"", "[]", "{}", "[1]", "[\"a\", null]", "[\"a\"", "\"a\""}) {
    EXPECT_EQ(DecodeWords(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace asr
