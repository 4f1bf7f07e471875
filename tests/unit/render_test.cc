#include "cli/render.h"

#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include "cli/text_format.h"
#include "storage/base/bytes.h"

namespace asr {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

View TestView() {
  View view;
  view.columns = {{.header = "Name", .pointer = "/name"},
                  {.header = "Size", .pointer = "/size", .kind = Column::Kind::kBytes},
                  {.header = "State", .pointer = "/state", .kind = Column::Kind::kState},
                  {.header = "Note", .pointer = "/note/text", .elastic = true},
                  {.header = "Extra", .pointer = "/extra", .optional = true}};
  view.fields = {{.header = "Name", .pointer = "/name"},
                 {.header = "Note", .pointer = "/note/text"},
                 {.header = "Never", .pointer = "/error/message"}};
  view.sections = {{"Parts", "/parts", {{.header = "Part", .pointer = "/name"}}}};
  return view;
}

Json Row(const std::string& name, std::uint64_t size, const std::string& note) {
  Json row;
  row["name"] = name;
  row["size"] = size;
  row["state"] = "Protected";
  row["note"]["text"] = note;
  row["extra"] = "something else";
  row["parts"] = Json::array();
  return row;
}

std::string RenderAs(const Json& value, OutputFormat format, std::size_t width = 80,
                     bool colour = false) {
  return Render(value, TestView(),
                {.format = format, .width = width, .colour = colour, .now = Timestamp{}});
}

TEST(RenderTest, EmptyLists) {
  EXPECT_EQ(RenderAs(Json::array(), OutputFormat::kJson), "[]\n");
  EXPECT_EQ(RenderAs(Json::array(), OutputFormat::kYaml), "[]\n");
  EXPECT_EQ(RenderAs(Json::array(), OutputFormat::kTsv), "");
  EXPECT_EQ(RenderAs(Json::array(), OutputFormat::kTable), "");
  EXPECT_EQ(RenderAs(Json::array(), OutputFormat::kNone), "");
}

TEST(RenderTest, TableAlignsAndShowsSizesForPeople) {
  const Json rows = Json::array({Row("web", 1536 * kMiB, "n"), Row("database", 0, "m")});
  EXPECT_EQ(RenderAs(rows, OutputFormat::kTable),
            "Name         Size  State      Note  Extra\n"
            "web       1.5 GiB  Protected  n     something else\n"
            "database      0 B  Protected  m     something else\n");
}

TEST(RenderTest, TableFitsEveryWidth) {
  const Json rows =
      Json::array({Row("web", 1, std::string(200, 'x')), Row("数据库数据库", 2, "короткий")});
  for (std::size_t width = 20; width <= 200; ++width) {
    std::istringstream lines(RenderAs(rows, OutputFormat::kTable, width));
    for (std::string line; std::getline(lines, line);) {
      EXPECT_LE(DisplayWidth(line), width) << line;
    }
  }
}

TEST(RenderTest, NarrowTableCutsElasticColumnsBeforeItDropsOptionalOnes) {
  const Json rows = Json::array({Row("web", 1, std::string(60, 'x'))});
  EXPECT_THAT(RenderAs(rows, OutputFormat::kTable, 80), HasSubstr("something else"));
  EXPECT_THAT(RenderAs(rows, OutputFormat::kTable, 40), Not(HasSubstr("something")));
  EXPECT_THAT(RenderAs(rows, OutputFormat::kTable, 40), HasSubstr("web"));
}

TEST(RenderTest, ColoursOnlyWhereAsked) {
  const Json rows = Json::array({Row("web", 1, "n")});
  EXPECT_THAT(RenderAs(rows, OutputFormat::kTable), Not(HasSubstr("\x1b")));
  EXPECT_THAT(RenderAs(rows, OutputFormat::kTable, 80, true), HasSubstr("\x1b[32mProtected"));
}

TEST(RenderTest, ForeignTextCannotSteerTheTerminal) {
  const Json rows = Json::array({Row("we\x1b]0;b\n\x9b", 1, "n\xFF")});
  const std::string table = RenderAs(rows, OutputFormat::kTable);
  EXPECT_THAT(table, Not(HasSubstr("\x1b")));
  EXPECT_THAT(table, HasSubstr("we?]0;b??"));
}

TEST(RenderTest, ObjectsAreFieldsAndSections) {
  Json object = Row("web", 1, "");
  object["note"]["text"] = nullptr;
  object["parts"].push_back({{"name", "p1"}});
  // A null is shown as missing; what the object does not have at all gets no line.
  EXPECT_EQ(RenderAs(object, OutputFormat::kTable), "Name  web\nNote  -\n\nParts\n  Part\n  p1\n");
}

TEST(RenderTest, TsvIsRawAndKeepsRowsWhole) {
  const Json rows = Json::array({Row("a\tb", 1073741824, "x\ny\\")});
  EXPECT_EQ(RenderAs(rows, OutputFormat::kTsv),
            "a\\tb\t1073741824\tProtected\tx\\ny\\\\\tsomething else\n");
}

TEST(RenderTest, JsonKeepsTheOrderOfKeysAndSurvivesBadUtf8) {
  Json object;
  object["z"] = 1;
  object["a"] = "\xFF";
  EXPECT_EQ(RenderAs(object, OutputFormat::kJson),
            "{\n  \"z\": 1,\n  \"a\": \"\xEF\xBF\xBD\"\n}\n");
}

TEST(RenderTest, YamlReadsBackAsTheSameStrings) {
  for (const std::string text : {"plain",       "",          "true",
                                 "no",          "null",      "~",
                                 "1e3",         "0x10",      "2026-11-23T06:30:00.123Z",
                                 "a: b",        "- x",       "#c",
                                 "'",           "\"",        "back\\slash",
                                 "line\nbreak", "*x",        "{a}",
                                 "[b]",         "  blanks ", "20261123T063000.123Z",
                                 "Grüße"}) {
    Json object;
    object["text"] = text;
    object["list"] = Json::array({text, nullptr, 7, true});
    const YAML::Node node = YAML::Load(RenderAs(object, OutputFormat::kYaml));
    EXPECT_EQ(node["text"].as<std::string>(), text);
    EXPECT_EQ(node["list"][0].as<std::string>(), text);
    EXPECT_TRUE(node["list"][1].IsNull());
    EXPECT_EQ(node["list"][2].as<int>(), 7);
    EXPECT_TRUE(node["list"][3].as<bool>());
  }
}

TEST(RenderTest, YamlLeavesNullBooleansAndNumbersPlain) {
  EXPECT_EQ(RenderAs(Json::array({nullptr, true, false, -7, 0.5}), OutputFormat::kYaml),
            "- ~\n- true\n- false\n- -7\n- 0.5\n");
}

TEST(RenderTest, YamlQuotesWhatReadersTakeForSomethingElse) {
  for (const std::string text : {"true", "No", "off", "y", "2026-11-23", "1e3", "007", "null"}) {
    EXPECT_THAT(RenderAs(Json::array({text}), OutputFormat::kYaml), HasSubstr("\"" + text + "\""));
  }
}

TEST(TextFormatTest, Bytes) {
  EXPECT_EQ(HumanBytes(0), "0 B");
  EXPECT_EQ(HumanBytes(1023), "1023 B");
  EXPECT_EQ(HumanBytes(1024), "1.0 KiB");
  EXPECT_EQ(HumanBytes(kMiB - 1), "1.0 MiB");
  EXPECT_EQ(HumanBytes(1536 * kMiB), "1.5 GiB");
  EXPECT_EQ(HumanBytes(~std::uint64_t{0}), "16.0 EiB");
}

TEST(TextFormatTest, SecondsAndAges) {
  EXPECT_EQ(HumanSeconds(0.25), "0.2 s");
  EXPECT_EQ(HumanSeconds(0), "0 s");
  EXPECT_EQ(HumanSeconds(59), "59 s");
  EXPECT_EQ(HumanSeconds(300), "5 min");
  EXPECT_EQ(HumanSeconds(125), "2 min 5 s");
  EXPECT_EQ(HumanSeconds(7800), "2 h 10 min");
  EXPECT_EQ(HumanAge(0.2), "now");
  EXPECT_EQ(HumanAge(180), "3 min ago");
  EXPECT_EQ(HumanAge(-180), "in 3 min");
  EXPECT_EQ(HumanAge(4 * 86400), "4 d ago");
}

TEST(TextFormatTest, CutsAtCharacters) {
  EXPECT_EQ(CutToWidth("abcdef", 6), "abcdef");
  EXPECT_EQ(CutToWidth("abcdef", 5), "abc..");
  EXPECT_EQ(CutToWidth("数据库", 5), "数..");
  EXPECT_EQ(CutToWidth("abc", 1), ".");
}

}  // namespace
}  // namespace asr
