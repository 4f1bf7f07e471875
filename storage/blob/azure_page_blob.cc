#include "storage/blob/azure_page_blob.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <optional>

#include <fmt/format.h>

#include "storage/base/checksum.h"
#include "storage/base/guid.h"
#include "storage/blob/azure_lists.h"
#include "storage/blob/blob_name.h"

namespace asr {
namespace {

// "Put Page": more is RequestBodyTooLarge.
constexpr std::uint64_t kMostBytesOfAPut = 4 * kMiB;
// Scalability targets of Blob Storage: requests a second to one page blob.
constexpr double kMostRequestsASecond = 500;
// Smaller reads are of digests, which stand beside those that are read next.
constexpr std::uint64_t kLargestCachedRead = 32 * kKiB;

std::uint64_t NumberOf(std::string_view text) {
  std::uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

// Where the pages of one version come from.
struct Version {
  AzureClient* client;
  std::string name;
  std::string snapshot_time = {};  // empty: the live blob
  SnapshotId snapshot = {};
};

Error Gone(const Version& version) {
  return version.snapshot_time.empty() ? BlobNotFound(version.name)
                                       : SnapshotNotFound(version.name, version.snapshot);
}

Result<HttpResponse> Head(const Version& version) {
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

Status Fetch(const Version& version, std::uint64_t offset_bytes, MutableByteSpan out) {
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

class AzureReader : public PageBlobReader {
 public:
  AzureReader(Version version, std::uint64_t size_bytes)
      : version_(std::move(version)), size_bytes_(size_bytes), cache_(size_bytes) {}

  [[nodiscard]] std::uint64_t size_bytes() const override {
    // The live blob has another writer, who tells us nothing.
    if (version_.snapshot_time.empty()) {
      if (const auto head = Head(version_)) size_bytes_ = SizeOf(*head);
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
  const Version version_;
  mutable std::atomic<std::uint64_t> size_bytes_;
  BlockCache cache_;
};

class AzurePageBlob : public PageBlob {
 public:
  AzurePageBlob(AzureClient& client, Clock& clock, const std::string& name,
                std::uint64_t size_bytes, std::uint64_t sequence_number,
                std::shared_ptr<const LeaseFence> lease)
      : live_{&client, name},
        fence_(client, name, sequence_number, std::move(lease)),
        rate_(clock, kMostRequestsASecond),
        size_bytes_(size_bytes),
        cache_(size_bytes) {}

  BlobFence& fence() { return fence_; }

  [[nodiscard]] std::uint64_t size_bytes() const override { return size_bytes_; }

  [[nodiscard]] Status Read(std::uint64_t offset_bytes, MutableByteSpan out) override {
    ASR_CHECK(CheckInside(live_.name, {offset_bytes, out.size()}, size_bytes_));
    if (out.size() > kLargestCachedRead) return Fetch(live_, offset_bytes, out);
    return cache_.Read(offset_bytes, out, [this](std::uint64_t offset, MutableByteSpan block) {
      return Fetch(live_, offset, block);
    });
  }

  [[nodiscard]] Result<std::vector<Extent>> DataExtents(Extent range) override {
    return ListPageRanges(*live_.client, live_.name, "", range);
  }

  [[nodiscard]] Status Write(std::uint64_t offset_bytes, ByteSpan bytes) override {
    ASR_CHECK(CheckPages(live_.name, {offset_bytes, bytes.size()}, size_bytes_));
    while (!bytes.empty()) {
      const std::uint64_t most =
          std::min(live_.client->http().uploads().suggested_body_bytes(), kMostBytesOfAPut);
      const ByteSpan piece = bytes.first(std::min<std::uint64_t>(most, bytes.size()));
      ASR_CHECK(PutPage({offset_bytes, piece.size()}, piece));
      offset_bytes += piece.size();
      bytes = bytes.subspan(piece.size());
    }
    return {};
  }

  [[nodiscard]] Status Clear(Extent range) override {
    ASR_CHECK(CheckPages(live_.name, range, size_bytes_));
    return range.length_bytes == 0 ? Status() : PutPage(range, {});
  }

  // The service keeps what snapshots share, and what it has acknowledged is durable.
  [[nodiscard]] Status Preserve(const std::vector<Extent>& ranges) override {
    for (const Extent& range : ranges) ASR_CHECK(CheckInside(live_.name, range, size_bytes_));
    return {};
  }
  [[nodiscard]] Status Flush() override {
    return has_failed_ ? Status(Fail(FailedBefore())) : Status();
  }

  [[nodiscard]] Status Resize(std::uint64_t size_bytes) override;
  [[nodiscard]] Status CreateSnapshot(const SnapshotId& id) override;
  [[nodiscard]] Result<std::vector<SnapshotId>> ListSnapshots() override;
  [[nodiscard]] Status DeleteSnapshot(const SnapshotId& id) override;

 private:
  [[nodiscard]] Status PutPage(Extent range, ByteSpan bytes);
  [[nodiscard]] Status SendPage(Extent range, ByteSpan bytes);
  [[nodiscard]] Result<std::string> EtagOfOurs();
  [[nodiscard]] Error FailedBefore() const;

  const Version live_;
  BlobFence fence_;
  RequestRate rate_;
  std::uint64_t size_bytes_;
  BlockCache cache_;
  // As it was listed or taken last by this handle. Where a lease keeps late writers out, nobody
  // else takes any.
  std::optional<SnapshotId> newest_snapshot_;
  // The last try of a write that failed for good may still arrive: nothing may be built on this
  // handle any more. Opening the blob again raises its number.
  std::atomic<bool> has_failed_ = false;
};

Error AzurePageBlob::FailedBefore() const {
  return MakeError(ErrorKind::kIo, ErrorCode::kIo,
                   fmt::format("an earlier write to {} failed", live_.name))
      .WithAction("run the same command again; it goes on where it was")
      .Retryable();
}

// `bytes` of the range, or none to clear it.
Status AzurePageBlob::PutPage(Extent range, ByteSpan bytes) {
  if (has_failed_) return Fail(FailedBefore());
  cache_.ExpectChange();
  Status sent = SendPage(range, bytes);
  if (!sent) has_failed_ = true;
  if (sent && !bytes.empty()) {
    cache_.Update(range.offset_bytes, bytes);
  } else {
    cache_.Forget(range);
  }
  return sent;
}

Status AzurePageBlob::SendPage(Extent range, ByteSpan bytes) {
  while (true) {
    std::uint64_t number = fence_.number();
    AzureRequest request{
        .method = HttpMethod::kPut,
        .blob = live_.name,
        .query = {{"comp", "page"}},
        .body = bytes,
        .what = fmt::format("cannot write to {} at offset {}", live_.name, range.offset_bytes),
        .expected = {404, 412}};
    request.headers.Set("x-ms-page-write", bytes.empty() ? "clear" : "update");
    request.headers.Set("x-ms-range", RangeHeader(range));
    request.headers.Set("x-ms-if-sequence-number-eq", std::to_string(number));
    request.before_repeat = [&](HttpRequest& repeated, bool may_still_come) -> Status {
      if (may_still_come) ASR_CHECK(fence_.RaiseAbove(number));
      number = fence_.number();
      repeated.headers.Set("x-ms-if-sequence-number-eq", std::to_string(number));
      return rate_.Take(live_.client->stop());
    };
    ASR_CHECK(rate_.Take(live_.client->stop()));
    ASR_TRY(const HttpResponse reply, live_.client->Send(request));
    if (reply.status == 404) return Fail(BlobNotFound(live_.name));
    if (reply.status != 412) return {};
    ASR_CHECK(fence_.TakeUp(number));
  }
}

Status AzurePageBlob::Resize(std::uint64_t size_bytes) {
  ASR_CHECK(CheckPageBlobSize(live_.name, size_bytes));
  AzureRequest request{.method = HttpMethod::kPut,
                       .blob = live_.name,
                       .query = {{"comp", "properties"}},
                       .what = "cannot resize " + live_.name,
                       .expected = {404}};
  request.headers.Set("x-ms-blob-content-length", std::to_string(size_bytes));
  ASR_TRY(const HttpResponse reply, live_.client->Send(request));
  if (reply.status == 404) return Fail(BlobNotFound(live_.name));
  size_bytes_ = size_bytes;
  cache_.ForgetAll(size_bytes);
  return {};
}

Result<std::vector<SnapshotId>> AzurePageBlob::ListSnapshots() {
  ASR_TRY(const auto snapshots, ListAzureSnapshots(*live_.client, live_.name));
  std::vector<SnapshotId> ids;
  for (const AzureSnapshot& snapshot : snapshots) ids.push_back(snapshot.id);
  newest_snapshot_ = ids.empty() ? SnapshotId{} : ids.back();
  return ids;
}

Status AzurePageBlob::CreateSnapshot(const SnapshotId& id) {
  ASR_CHECK(CheckSnapshotId(id));
  if (!newest_snapshot_ || !fence_.has_lease()) ASR_CHECK(ListSnapshots());
  if (*newest_snapshot_ >= id) return Fail(SnapshotOutOfOrder(live_.name, id, *newest_snapshot_));
  newest_snapshot_.reset();  // until it is known how this ends
  bool is_there = false;
  AzureRequest request{.method = HttpMethod::kPut,
                       .blob = live_.name,
                       .query = {{"comp", "snapshot"}},
                       .what = fmt::format("cannot take snapshot {} of {}", id.value, live_.name),
                       .expected = {404, 412}};
  request.headers.Set("x-ms-meta-point", id.value);
  request.before_repeat = [&](HttpRequest&, bool) -> Status {
    ASR_TRY(const auto now, ListSnapshots());
    is_there = std::ranges::find(now, id) != now.end();
    return is_there ? Status(Fail(SnapshotOutOfOrder(live_.name, id, id))) : Status();
  };
  constexpr int kRaces = 10;
  for (int i = 0; i < kRaces; ++i) {
    ASR_TRY(const std::string etag, EtagOfOurs());
    request.headers.Set("If-Match", etag);
    const auto reply = live_.client->Send(request);
    const bool is_taken = is_there || (reply && reply->IsSuccess());
    if (is_taken) newest_snapshot_ = id;
    if (is_taken) return {};
    if (!reply) return Fail(reply.error());
    if (reply->status == 404) return Fail(BlobNotFound(live_.name));
  }
  return Fail(fence_.Lost());
}

// Snapshots know no sequence number as their condition. Whoever takes the blob over raises its
// number, and so changes its ETag: with this one a snapshot is refused from then on.
Result<std::string> AzurePageBlob::EtagOfOurs() {
  while (true) {
    const std::uint64_t number = fence_.number();
    ASR_TRY(const HttpResponse head, Head(live_));
    if (NumberOf(head.headers.Get("x-ms-blob-sequence-number")) == number) {
      return std::string(head.headers.Get("etag"));
    }
    ASR_CHECK(fence_.TakeUp(number));
  }
}

Status AzurePageBlob::DeleteSnapshot(const SnapshotId& id) {
  newest_snapshot_.reset();
  ASR_TRY(const auto snapshots, ListAllAzureSnapshots(*live_.client, live_.name));
  bool found = false;
  for (const AzureSnapshot& snapshot : snapshots) {
    if (snapshot.id != id) continue;
    found = true;
    ASR_CHECK(live_.client->Send(
        {.method = HttpMethod::kDelete,
         .blob = live_.name,
         .query = {{"snapshot", snapshot.time}},
         .what = fmt::format("cannot delete snapshot {} of {}", id.value, live_.name),
         .expected = {404}}));
  }
  if (!found) return Fail(SnapshotNotFound(live_.name, id));
  return {};
}

Result<std::unique_ptr<AzurePageBlob>> OpenWriter(AzureClient& client, Clock& clock,
                                                  const std::string& name,
                                                  const std::shared_ptr<const LeaseFence>& fence) {
  ASR_TRY(const HttpResponse head, Head({&client, name}));
  auto blob = std::make_unique<AzurePageBlob>(
      client, clock, name, SizeOf(head), NumberOf(head.headers.Get("x-ms-blob-sequence-number")),
      fence);
  const std::uint64_t number = blob->fence().number();
  if (fence == nullptr) return blob;
  if (number > fence->last()) return Fail(blob->fence().Lost());
  // What the holders of the lease before this one sent is refused from here on.
  // A write of an earlier handle that failed may still come: its number is not used again.
  if (number == fence->last()) return Fail(blob->fence().Lost());
  ASR_CHECK(blob->fence().RaiseTo(std::max(number + 1, fence->first())));
  return blob;
}

}  // namespace

Result<std::unique_ptr<PageBlobReader>> OpenAzureReader(AzureClient& client,
                                                        const std::string& name,
                                                        const AzureSnapshot& snapshot) {
  Version version{&client, name, snapshot.time, snapshot.id};
  ASR_TRY(const HttpResponse head, Head(version));
  return std::make_unique<AzureReader>(std::move(version), SizeOf(head));
}

Result<std::unique_ptr<PageBlob>> CreateAzurePageBlob(
    AzureClient& client, Clock& clock, const std::string& name, std::uint64_t size_bytes,
    const std::shared_ptr<const LeaseFence>& fence) {
  const std::string made_by = GuidText(RandomBits());
  AzureRequest request{.method = HttpMethod::kPut,
                       .blob = name,
                       .what = "cannot create " + name,
                       .expected = {409, 412}};
  request.headers.Set("x-ms-blob-type", "PageBlob");
  request.headers.Set("x-ms-blob-content-length", std::to_string(size_bytes));
  request.headers.Set("If-None-Match", "*");
  request.headers.Set(kMadeBy, made_by);
  ASR_TRY(const HttpResponse reply, client.Send(request));
  if (!reply.IsSuccess()) {
    // The reply to the first try may have been lost.
    ASR_TRY(const HttpResponse head, Head({&client, name}));
    if (head.headers.Get(kMadeBy) != made_by) return Fail(BlobExists(name));
  }
  return OpenWriter(client, clock, name, fence);
}

Result<std::unique_ptr<PageBlob>> OpenAzurePageBlob(
    AzureClient& client, Clock& clock, const std::string& name,
    const std::shared_ptr<const LeaseFence>& fence) {
  return OpenWriter(client, clock, name, fence);
}

}  // namespace asr
