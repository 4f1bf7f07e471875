#include "storage/blob/azure_page_blob.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>

#include <fmt/format.h>

#include "storage/base/checksum.h"
#include "storage/base/guid.h"
#include "storage/blob/azure_blob_version.h"
#include "storage/blob/azure_lists.h"
#include "storage/blob/blob_name.h"
#include "storage/blob/block_cache.h"
#include "storage/http/request_rate.h"

namespace asr {
namespace {

// Scalability targets of Blob Storage: requests a second to one page blob.
// 500 a second, with some left for the lease and for what is repeated.
constexpr std::size_t kMostRequests = 490;
constexpr double kRequestWindowSeconds = 1;

class AzurePageBlob : public PageBlob {
 public:
  AzurePageBlob(AzureClient& client, Clock& clock, const std::string& name,
                std::uint64_t size_bytes, std::uint64_t sequence_number,
                std::shared_ptr<const LeaseFence> lease)
      : live_{&client, name},
        fence_(client, name, sequence_number, std::move(lease)),
        rate_(clock, kMostRequests, kRequestWindowSeconds),
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

  [[nodiscard]] std::string opened_content_name() const override { return opened_etag_; }
  [[nodiscard]] Result<std::string> ContentName() override {
    const std::lock_guard lock(etag_mutex_);
    if (etag_.empty()) {
      ASR_TRY(etag_, fence_.EtagOfOurs());
    }
    return etag_;
  }
  // Keeps earlier writers out. `etag`: what the blob was told to have last.
  [[nodiscard]] Status RaiseFrom(const std::string& etag, std::uint64_t number);

  [[nodiscard]] Result<bool> CopyFrom(const SnapshotId& source, Extent range,
                                      std::uint64_t crc64) override;
  [[nodiscard]] Result<bool> CopyFromOrigin(CopyOrigin& origin, Extent range,
                                            std::uint64_t crc64) override;
  [[nodiscard]] Status Resize(std::uint64_t size_bytes) override;
  [[nodiscard]] Status CreateSnapshot(const SnapshotId& id) override;
  [[nodiscard]] Result<std::vector<SnapshotId>> ListSnapshots() override;
  [[nodiscard]] Status DeleteSnapshot(const SnapshotId& id) override;

 private:
  [[nodiscard]] Status PutPage(Extent range, ByteSpan bytes);
  [[nodiscard]] Status SendPage(Extent range, ByteSpan bytes);
  [[nodiscard]] Result<bool> Copy(AzureRequest request, Extent range, std::uint64_t crc64,
                                  std::atomic<bool>& can_copy);
  [[nodiscard]] Result<bool> SendCopy(AzureRequest request, Extent range, std::uint64_t crc64,
                                      std::atomic<bool>& can_copy);
  // With the fence's number as its condition: a reply that is not the fence's refusal.
  [[nodiscard]] Result<HttpResponse> SendFenced(AzureRequest request, Extent range);
  // Empty: there is none of that id.
  [[nodiscard]] Result<std::string> TimeOf(const SnapshotId& id);
  [[nodiscard]] Error FailedBefore() const;
  void SetEtag(std::string etag) {
    const std::lock_guard lock(etag_mutex_);
    etag_ = std::move(etag);
  }

  const AzureVersion live_;
  BlobFence fence_;
  RequestRate rate_;
  std::uint64_t size_bytes_;
  BlockCache cache_;
  // As it was listed or taken last by this handle. Where a lease keeps late writers out, nobody
  // else takes any.
  std::optional<SnapshotId> newest_snapshot_;
  std::string opened_etag_;
  std::mutex etag_mutex_;  // guards what follows
  std::string etag_;       // empty: not known, for there were writes
  // The last try of a write that failed for good may still arrive: nothing may be built on this
  // handle any more. Opening the blob again raises its number.
  std::atomic<bool> has_failed_ = false;
  std::atomic<bool> can_copy_ = true;         // until the server says that it cannot
  std::atomic<bool> can_copy_origin_ = true;  // the same of other blobs
  std::mutex mutex_;                          // guards what follows
  AzureSnapshot last_source_;
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
  SetEtag("");
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
  AzureRequest request{
      .body = bytes,
      .what = fmt::format("cannot write to {} at offset {}", live_.name, range.offset_bytes),
      .expected = {404, 412}};
  request.headers.Set("x-ms-page-write", bytes.empty() ? "clear" : "update");
  ASR_TRY(const HttpResponse reply, SendFenced(std::move(request), range));
  return reply.status == 404 ? Status(Fail(BlobNotFound(live_.name))) : Status();
}

Result<HttpResponse> AzurePageBlob::SendFenced(AzureRequest request, Extent range) {
  request.method = HttpMethod::kPut;
  request.blob = live_.name;
  request.query = {{"comp", "page"}};
  request.headers.Set("x-ms-range", RangeHeader(range));
  while (true) {
    std::uint64_t number = fence_.number();
    request.headers.Set("x-ms-if-sequence-number-eq", std::to_string(number));
    request.before_repeat = [&](HttpRequest& repeated, bool may_still_come) -> Status {
      if (may_still_come) ASR_CHECK(fence_.RaiseAbove(number));
      number = fence_.number();
      repeated.headers.Set("x-ms-if-sequence-number-eq", std::to_string(number));
      return rate_.Take(live_.client->stop());
    };
    ASR_CHECK(rate_.Take(live_.client->stop()));
    ASR_TRY(HttpResponse reply, live_.client->Send(request));
    if (reply.status != 412 || AzureCode(reply) == kSourceRefused) return reply;
    ASR_CHECK(fence_.TakeUp(number));
  }
}

// Nobody has written between the two ETags, so both name one content. Where the first is not the
// blob's any more, an earlier writer's request came late: what there was is not known.
Status AzurePageBlob::RaiseFrom(const std::string& etag, std::uint64_t number) {
  ASR_TRY(std::string raised, fence_.RaiseIf(etag, number));
  if (raised.empty()) return fence_.RaiseTo(number);
  opened_etag_ = etag;
  SetEtag(std::move(raised));
  return {};
}

Result<bool> AzurePageBlob::CopyFrom(const SnapshotId& source, Extent range, std::uint64_t crc64) {
  ASR_CHECK(CheckInside(live_.name, range, size_bytes_));
  if (!can_copy_ || range.length_bytes == 0 || range.length_bytes > kMostBytesOfAPut) return false;
  ASR_TRY(const std::string time, TimeOf(source));
  if (time.empty()) return false;
  AzureRequest request{
      .what = fmt::format("cannot copy within {} at offset {}", live_.name, range.offset_bytes)};
  ASR_CHECK(live_.client->SetCopySource(request, live_.name, time));
  return Copy(std::move(request), range, crc64, can_copy_);
}

Result<bool> AzurePageBlob::CopyFromOrigin(CopyOrigin& origin, Extent range, std::uint64_t crc64) {
  ASR_CHECK(CheckInside(live_.name, range, size_bytes_));
  if (!can_copy_origin_ || range.length_bytes == 0 || range.length_bytes > kMostBytesOfAPut) {
    return false;
  }
  AzureRequest request{
      .what = fmt::format("cannot copy into {} at offset {}", live_.name, range.offset_bytes)};
  ASR_TRY(const auto headers, origin.NameAsSource());
  for (const auto& [name, value] : headers) request.headers.Set(name, value);
  return Copy(std::move(request), range, crc64, can_copy_origin_);
}

Result<bool> AzurePageBlob::Copy(AzureRequest request, Extent range, std::uint64_t crc64,
                                 std::atomic<bool>& can_copy) {
  if (has_failed_) return Fail(FailedBefore());
  cache_.ExpectChange();
  SetEtag("");
  auto copied = SendCopy(std::move(request), range, crc64, can_copy);
  if (!copied) has_failed_ = true;
  cache_.Forget(range);
  return copied;
}

// False after a clear refusal: no try of it can arrive any more.
Result<bool> AzurePageBlob::SendCopy(AzureRequest request, Extent range, std::uint64_t crc64,
                                     std::atomic<bool>& can_copy) {
  request.expected = {400, 401, 403, 404, 409, 412, 501};
  request.headers.Set("x-ms-page-write", "update");
  request.headers.Set("x-ms-source-range", RangeHeader(range));
  request.headers.Set("x-ms-source-content-crc64", CrcHeader(crc64));
  ASR_TRY(const HttpResponse reply, SendFenced(std::move(request), range));
  if (reply.IsSuccess()) return true;
  // What it read is not what we did: whoever reads again finds out which of them is right.
  if (AzureCode(reply) != "Crc64Mismatch") can_copy = false;
  return false;
}

Result<std::string> AzurePageBlob::TimeOf(const SnapshotId& id) {
  const std::lock_guard lock(mutex_);
  if (last_source_.id == id) return last_source_.time;
  ASR_TRY(const auto snapshots, ListAzureSnapshots(*live_.client, live_.name));
  const auto found = std::ranges::find(snapshots, id, &AzureSnapshot::id);
  if (found == snapshots.end()) return std::string();
  last_source_ = *found;
  return last_source_.time;
}

Status AzurePageBlob::Resize(std::uint64_t size_bytes) {
  ASR_CHECK(CheckPageBlobSize(live_.name, size_bytes));
  if (has_failed_) return Fail(FailedBefore());
  SetEtag("");
  ASR_CHECK(fence_.Resize(size_bytes));
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
  for (int i = 0; i < BlobFence::kMostRaces; ++i) {
    ASR_TRY(const std::string etag, fence_.EtagOfOurs());
    request.headers.Set("If-Match", etag);
    const auto reply = live_.client->Send(request);
    if (is_there || (reply && reply->IsSuccess())) {
      newest_snapshot_ = id;
      SetEtag(etag);
      return {};
    }
    if (!reply) return Fail(reply.error());
    if (reply->status == 404) return Fail(BlobNotFound(live_.name));
  }
  return Fail(fence_.Lost());
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
  ASR_TRY(const HttpResponse head, HeadOf({&client, name}));
  auto blob = std::make_unique<AzurePageBlob>(client, clock, name, SizeOf(head),
                                              SequenceNumberOf(head), fence);
  const std::uint64_t number = blob->fence().number();
  if (fence == nullptr) return blob;
  if (number > fence->last()) return Fail(blob->fence().Lost());
  // What the holders of the lease before this one sent is refused from here on.
  // A write of an earlier handle that failed may still come: its number is not used again.
  if (number == fence->last()) return Fail(blob->fence().Lost());
  ASR_CHECK(
      blob->RaiseFrom(std::string(head.headers.Get("etag")), std::max(number + 1, fence->first())));
  return blob;
}

}  // namespace

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
    ASR_TRY(const HttpResponse head, HeadOf({&client, name}));
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
