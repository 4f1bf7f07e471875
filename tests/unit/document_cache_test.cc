#include "storage/blob/document_cache.h"

#include <gtest/gtest.h>

#include "tests/support/temp_dir.h"

namespace asr {
namespace {

class DocumentCacheTest : public ::testing::Test {
 protected:
  std::optional<std::string> Find(DocumentCache& cache, const std::string& name,
                                  const std::string& etag) {
    return cache.Find({{.name = name, .etag = etag, .text = ""}}).front();
  }
  DocumentCache Open(const std::string& vault = "v") { return {PosixFileSystem(), Path(), vault}; }
  [[nodiscard]] std::string Path() const { return directory_ / "lists.db"; }

  testing::TempDir directory_;
};

TEST_F(DocumentCacheTest, KnowsATextUnderItsEtagOnly) {
  {
    DocumentCache cache = Open();
    cache.Put({{"items/a.json", "0x1", "one"}, {"items/b.json", "0x2", ""}});
    EXPECT_EQ(Find(cache, "items/a.json", "0x1"), "one");
    cache.Put({{"items/a.json", "0x3", "three"}});
  }
  DocumentCache again = Open();
  EXPECT_EQ(Find(again, "items/a.json", "0x1"), std::nullopt);
  EXPECT_EQ(Find(again, "items/a.json", "0x3"), "three");
  EXPECT_EQ(Find(again, "items/b.json", "0x2"), "");
  DocumentCache other = Open("another vault at the same place");
  EXPECT_EQ(Find(other, "items/a.json", "0x3"), std::nullopt);
}

TEST_F(DocumentCacheTest, ForgetsWhatIsGone) {
  DocumentCache cache = Open();
  DocumentCache other = Open("w");
  for (DocumentCache* each : {&cache, &other}) {
    each->Put({{"items/a.json", "0x1", "a"}, {"items/b.json", "0x1", "b"}, {"jobs/c", "0x1", "c"}});
  }
  cache.Retain("items/", [](const std::string& name) { return name == "items/b.json"; });
  EXPECT_EQ(Find(cache, "items/a.json", "0x1"), std::nullopt);
  EXPECT_EQ(Find(cache, "items/b.json", "0x1"), "b");
  EXPECT_EQ(Find(cache, "jobs/c", "0x1"), "c");
  EXPECT_EQ(Find(other, "items/a.json", "0x1"), "a");
  cache.Remove("items/b.json");
  EXPECT_EQ(Find(cache, "items/b.json", "0x1"), std::nullopt);
  ForgetCachedDocuments(PosixFileSystem(), Path(), "w");
  EXPECT_EQ(Find(other, "items/b.json", "0x1"), std::nullopt);
  EXPECT_EQ(Find(cache, "jobs/c", "0x1"), "c");
}

TEST_F(DocumentCacheTest, ADamagedRowIsNotKnown) {
  DocumentCache cache = Open();
  cache.Put({{"a", "0x1", "one"}, {"b", "0x1", "two"}});
  auto database = SqlDatabase::Open(Path(), {});
  ASSERT_TRUE(database);
  ASSERT_TRUE(database->Run("UPDATE documents SET text = 'ome' WHERE name = 'a'", {}));
  ASSERT_TRUE(database->Run("UPDATE documents SET etag = '0x2' WHERE name = 'b'", {}));
  EXPECT_EQ(Find(cache, "a", "0x1"), std::nullopt);
  EXPECT_EQ(Find(cache, "b", "0x2"), std::nullopt);
  const auto known = ReadCachedDocuments(Path(), "v");
  ASSERT_TRUE(known);
  EXPECT_TRUE(known->empty());
}

TEST_F(DocumentCacheTest, ADamagedFileIsBegunAnew) {
  ASSERT_TRUE(WriteFileAtomic(PosixFileSystem(), Path(), AsBytes(std::string(9000, 'x'))));
  DocumentCache cache = Open();
  cache.Put({{"a", "0x1", "one"}});
  EXPECT_EQ(Find(cache, "a", "0x1"), "one");
}

TEST_F(DocumentCacheTest, WithoutAPlaceItKeepsNothing) {
  DocumentCache nowhere(PosixFileSystem(), "", "v");
  nowhere.Put({{"a", "0x1", "one"}});
  EXPECT_EQ(Find(nowhere, "a", "0x1"), std::nullopt);
  DocumentCache missing(PosixFileSystem(), directory_ / "no/such/lists.db", "v");
  missing.Put({{"a", "0x1", "one"}});
  EXPECT_EQ(Find(missing, "a", "0x1"), std::nullopt);
  EXPECT_FALSE(ReadCachedDocuments(directory_ / "no/such/lists.db", "v"));
}

}  // namespace
}  // namespace asr
