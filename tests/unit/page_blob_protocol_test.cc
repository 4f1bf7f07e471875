// The parts of the tests' page-blob server that can be compared with what is known from elsewhere,
// or with something plainer.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "tests/support/page_blob_server/authorization.h"
#include "tests/support/page_blob_server/encoding.h"
#include "tests/support/page_blob_server/page_content.h"
#include "tests/support/page_blob_server/service_error.h"

namespace asr::testing::page_blob {
namespace {

TEST(PageBlobProtocolTest, Crc64IsThatOfNvme) {
  EXPECT_EQ(Crc64(AsBytes("123456789")), 0xAE8B14860A799888U);
  EXPECT_EQ(Crc64Header(Crc64(AsBytes(std::string(4 << 20, 'A')))), "2pvtD7sl2wo=");
  EXPECT_EQ(Crc64Header(Crc64(AsBytes(std::string(512, '\3')))), "nkvlwPnUKHo=");
  EXPECT_EQ(Crc64(AsBytes("56789"), Crc64(AsBytes("1234"))), 0xAE8B14860A799888U);
}

TEST(PageBlobProtocolTest, HeadersAreSortedAsTheServiceSortsThem) {
  // What Azure's own client for JavaScript makes of these names.
  const std::vector<std::string> sorted = {"x-ms-blob-content-length",
                                           "x-ms-blob-type",
                                           "x-ms-client-request-id",
                                           "x-ms-date",
                                           "x-ms-meta",
                                           "x-ms-meta-_a",
                                           "x-ms-metaa",
                                           "x-ms-meta-a",
                                           "x-ms-meta-a_",
                                           "x-ms-meta-a_1",
                                           "x-ms-meta-a0",
                                           "x-ms-meta-a1",
                                           "x-ms-meta-a-1",
                                           "x-ms-metaab",
                                           "x-ms-meta-ab",
                                           "x-ms-meta-a-b",
                                           "x-ms-meta-az",
                                           "x-ms-version"};
  std::vector<std::string> names = sorted;
  std::ranges::reverse(names);
  std::ranges::sort(names, HeaderNameLess);
  EXPECT_EQ(names, sorted);
}

TEST(PageBlobProtocolTest, SignsWhatTheDocumentationSays) {
  // An example of the documentation of Shared Key, with its path as Azurite has it.
  const auto request = ParseRequestHead(
      "GET /myaccount/mycontainer?restype=container&comp=metadata&timeout=20 HTTP/1.1\r\n"
      "x-ms-date:  Fri, 26 Jun 2015 23:39:12 GMT\r\n"
      "X-Ms-Version: 2015-02-21\r\n"
      "Content-Length: 0");
  ASSERT_TRUE(request.has_value());
  EXPECT_EQ(SharedKeyStringToSign(*request, "myaccount"),
            "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\n"
            "x-ms-version:2015-02-21\n/myaccount/myaccount/mycontainer\ncomp:metadata\n"
            "restype:container\ntimeout:20");
}

TEST(PageBlobProtocolTest, ReadsTheTimesOfSignatures) {
  const auto time = ParseIsoTime("2026-11-23T06:36:41.0300000Z");
  ASSERT_TRUE(time.has_value());
  EXPECT_EQ(FormatSnapshotTime(*time), "2026-11-23T06:36:41.0300000Z");
  EXPECT_EQ(FormatHttpDate(*time), "Mon, 23 Nov 2026 06:36:41 GMT");
  EXPECT_EQ(ParseHttpDate("Mon, 23 Nov 2026 06:36:41 GMT"),
            std::chrono::floor<std::chrono::seconds>(*time));
  EXPECT_TRUE(ParseIsoTime("2026-11-23"));
  EXPECT_TRUE(ParseIsoTime("2026-11-23T06:36Z"));
  EXPECT_FALSE(ParseIsoTime("2026-11-23T06:36:41"));
  EXPECT_FALSE(ParseIsoTime("2026-11-23T06:36:41+01:00"));
}

// Pages one by one, each with what is known of it.
class PlainPages {
 public:
  struct Page {
    std::array<std::byte, kPage> bytes{};
    std::uint32_t written_in = 0;
  };

  void Write(std::uint64_t offset, ByteSpan bytes, std::uint32_t generation) {
    for (; !bytes.empty(); bytes = bytes.subspan(kPage), offset += kPage) {
      Page& page = pages_[offset / kPage];
      std::ranges::copy(bytes.first(kPage), page.bytes.begin());
      page.written_in = generation;
    }
  }
  void Clear(Extent range) {
    pages_.erase(pages_.lower_bound(range.offset_bytes / kPage),
                 pages_.lower_bound(range.end_bytes() / kPage));
  }
  [[nodiscard]] std::vector<std::byte> Read(Extent range) const {
    std::vector<std::byte> bytes(range.length_bytes);
    for (const auto& [index, page] : pages_) {
      if (index * kPage < range.offset_bytes || index * kPage >= range.end_bytes()) continue;
      std::ranges::copy(page.bytes, bytes.begin() + static_cast<std::ptrdiff_t>(
                                                        index * kPage - range.offset_bytes));
    }
    return bytes;
  }
  [[nodiscard]] std::map<std::uint64_t, bool> Allocated() const {
    std::map<std::uint64_t, bool> allocated;
    for (const auto& [index, page] : pages_) allocated[index] = false;
    return allocated;
  }
  // For each page that differs: true if it was cleared.
  [[nodiscard]] std::map<std::uint64_t, bool> ChangedSince(const PlainPages& previous,
                                                           std::uint32_t generation) const {
    std::map<std::uint64_t, bool> changed;
    for (const auto& [index, page] : pages_) {
      if (page.written_in > generation) changed[index] = false;
    }
    for (const auto& [index, page] : previous.pages_) {
      if (!pages_.contains(index)) changed[index] = true;
    }
    return changed;
  }

 private:
  std::map<std::uint64_t, Page> pages_;
};

std::map<std::uint64_t, bool> PagesOf(const std::vector<PageRun>& runs) {
  std::map<std::uint64_t, bool> pages;
  std::uint64_t end = 0;
  for (const PageRun& run : runs) {
    EXPECT_GE(run.range.offset_bytes, end);
    end = run.range.end_bytes();
    for (std::uint64_t at = run.range.offset_bytes; at < end; at += kPage) {
      pages[at / kPage] = run.is_cleared;
    }
  }
  return pages;
}

TEST(PageContentTest, IsWhatPagesOneByOneAre) {
  constexpr Extent kAll{0, 8 * kChunk};
  constexpr std::uint64_t kPages = kAll.length_bytes / kPage;
  std::mt19937_64 random(11);
  struct Version {
    PageContent content;
    PlainPages plain;
    std::uint32_t generation = 0;
  };
  Version base;
  std::vector<Version> snapshots;
  for (int i = 0; i < 600; ++i) {
    const std::uint64_t first = random() % kPages;
    const std::uint64_t most = random() % 3 == 0 ? kPages : 20;
    const std::uint64_t count = std::min(1 + random() % most, kPages - first);
    const Extent range{first * kPage, count * kPage};
    if (random() % 3 == 0) {
      base.content.Clear(range);
      base.plain.Clear(range);
    } else {
      const std::vector<std::byte> bytes(range.length_bytes, static_cast<std::byte>(random()));
      base.content.Write(range.offset_bytes, bytes, base.generation);
      base.plain.Write(range.offset_bytes, bytes, base.generation);
    }
    if (random() % 40 != 0) continue;
    snapshots.push_back(base);
    ++base.generation;
  }
  snapshots.push_back(base);
  for (std::size_t i = 0; i < snapshots.size(); ++i) {
    const Version& version = snapshots[i];
    std::vector<std::byte> bytes(kAll.length_bytes);
    version.content.View(kAll).Read(0, bytes);
    EXPECT_EQ(bytes, version.plain.Read(kAll));
    EXPECT_EQ(PagesOf(version.content.Allocated(kAll)), version.plain.Allocated());
    for (std::size_t j = 0; j < i; ++j) {
      EXPECT_EQ(PagesOf(version.content.ChangedSince(snapshots[j].content, snapshots[j].generation,
                                                     kAll)),
                version.plain.ChangedSince(snapshots[j].plain, snapshots[j].generation));
    }
  }
}

TEST(ServiceErrorTest, CodesHaveTheirStatus) {
  EXPECT_EQ(StatusOf({"LeaseIdMissing", {}, {}}), 412);
  EXPECT_EQ(StatusOf({"SnapshotsPresent", {}, {}}), 409);
  EXPECT_EQ(StatusOf({"RequestBodyTooLarge", {}, {}}), 413);
  EXPECT_FALSE(IsKnownCode("NoSuchCode"));
}

}  // namespace
}  // namespace asr::testing::page_blob
