#include "storage/blob/azure_blob_version.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <utility>

#include <fmt/format.h>

#include "storage/blob/blob_name.h"
#include "storage/blob/block_cache.h"

namespace asr {
namespace {

std::uint64_t NumberOf(std::string_view text) {
  std::uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

Error Gone(const AzureVersion& version) {
  return version.snapshot_time.empty() ? BlobNotFound(version.name)
                                       : SnapshotNotFound(version.name, version.snapshot);
}

}  // namespace

Result<HttpResponse> HeadOf(const AzureVersion& version) {
  AzureRequest request{.method = HttpMethod::kHead,
                       .blob = version.name,
                       .what = "cannot look at " + version.name,
                       .expected = {404}};
  if (!version.snapshot_time.empty()) {
    request.query.emplace_back("snapshot", version.snapshot_time);
  }
  ASR_TRY(HttpResponse reply, version.client->Send(request));
  if (reply.status == 404) return Fail(Gone(version));
  if (reply.headers.Get("x-ms-blob-type") == "PageBlob") return reply;
  return Fail(MakeError(ErrorKind::kCorrupt, ErrorCode::kBlobCorrupt,
                        fmt::format("{} is no page blob", version.name))
                  .WithCause("somebody uploaded a file in its place")
                  .WithAction("delete it there, then resync the VM"));
}

std::uint64_t SizeOf(const HttpResponse& head) {
  return NumberOf(head.headers.Get("content-length"));
}

Status Fetch(const AzureVersion& version, std::uint64_t offset_bytes, MutableByteSpan out) {
  while (!out.empty()) {
    const std::uint64_t most =
        std::min(version.client->http().downloads().suggested_body_bytes(), kMostBytesOfAPut);
    const MutableByteSpan piece = out.first(std::min<std::uint64_t>(most, out.size()));
    AzureRequest request{
        .blob = version.name,
        .into = piece,
        .what = fmt::format("cannot read {} at offset {}", version.name, offset_bytes),
        .expected = {404}};
    if (!version.snapshot_time.empty()) {
      request.query.emplace_back("snapshot", version.snapshot_time);
    }
    request.headers.Set("x-ms-range", RangeHeader({offset_bytes, piece.size()}));
    ASR_TRY(const HttpResponse reply, version.client->Send(request));
    if (reply.status == 404) return Fail(Gone(version));
    if (reply.body_bytes != piece.size()) {
      return Fail(MakeError(ErrorKind::kIo, ErrorCode::kBadReply,
                            fmt::format("{}: {} bytes came, {} were asked for", request.what,
                                        reply.body_bytes, piece.size()))
                      .Retryable());
    }
    offset_bytes += piece.size();
    out = out.subspan(piece.size());
  }
  return {};
}

namespace {

class AzureReader : public PageBlobReader {
 public:
  AzureReader(AzureVersion version, std::uint64_t size_bytes)
      : version_(std::move(version)), size_bytes_(size_bytes), cache_(size_bytes) {}

  [[nodiscard]] std::uint64_t size_bytes() const override {
    // The live blob has another writer, who tells us nothing.
    if (version_.snapshot_time.empty()) {
      if (const auto head = HeadOf(version_)) size_bytes_ = SizeOf(*head);
    }
    return size_bytes_;
  }

  [[nodiscard]] Status Read(std::uint64_t offset_bytes, MutableByteSpan out) override {
    const Extent range{offset_bytes, out.size()};
    if (range.end_bytes() > size_bytes_) {
      ASR_CHECK(CheckInside(version_.name, range, size_bytes()));
    }
    if (version_.snapshot_time.empty() || out.size() > kLargestCachedRead) {
      return Fetch(version_, offset_bytes, out);
    }
    return cache_.Read(offset_bytes, out, [this](std::uint64_t offset, MutableByteSpan block) {
      return Fetch(version_, offset, block);
    });
  }

  [[nodiscard]] Result<std::vector<Extent>> DataExtents(Extent range) override {
    return ListPageRanges(*version_.client, version_.name, version_.snapshot_time, range);
  }

 private:
  const AzureVersion version_;
  mutable std::atomic<std::uint64_t> size_bytes_;
  BlockCache cache_;
};

}  // namespace

Result<std::unique_ptr<PageBlobReader>> OpenAzureReader(AzureClient& client,
                                                        const std::string& name,
                                                        const AzureSnapshot& snapshot) {
  AzureVersion version{&client, name, snapshot.time, snapshot.id};
  ASR_TRY(const HttpResponse head, HeadOf(version));
  return std::make_unique<AzureReader>(std::move(version), SizeOf(head));
}

}  // namespace asr
