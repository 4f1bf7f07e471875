#include "storage/blob/azure_store.h"

#include <algorithm>
#include <map>
#include <mutex>

#include <fmt/format.h>

#include "storage/base/checksum.h"
#include "storage/base/guid.h"
#include "storage/blob/azure_blob_version.h"
#include "storage/blob/azure_lists.h"
#include "storage/blob/azure_page_blob.h"
#include "storage/blob/azure_view.h"
#include "storage/blob/blob_name.h"
#include "storage/blob/document_metadata.h"

namespace asr {
namespace {

constexpr std::string_view kEtag = "etag";

// The store's own, and what others put there under such names.
bool IsReserved(std::string_view name) {
  while (true) {
    const std::size_t slash = name.find('/');
    if (IsReservedSegment(name.substr(0, slash))) return true;
    if (slash == std::string_view::npos) return false;
    name.remove_prefix(slash + 1);
  }
}

bool IsDocument(std::string_view name) { return name.ends_with(".json"); }

class AzureStore : public BlobStore {
 public:
  AzureStore(AzureStoreOptions options, Clock& clock)
      : transport_(std::move(options.transport)),
        authorizer_(std::move(options.authorizer)),
        leases_(std::move(options.leases)),
        clock_(clock),
        http_(*transport_, clock),
        client_(http_, *authorizer_, std::move(options.container_url), std::move(options.stop)),
        cache_(leases_.fs, options.vault_id.empty() ? "" : std::move(options.cache_path),
               options.vault_id) {}

  [[nodiscard]] Status Prepare(bool create);

  [[nodiscard]] std::string Description() const override { return client_.container_url(); }
  [[nodiscard]] std::optional<Timestamp> ServerTime() const override {
    return client_.server_time();
  }
  [[nodiscard]] bool ShowsOnlyDurable() const override { return true; }

  [[nodiscard]] Result<std::string> Get(const std::string& name) override;
  [[nodiscard]] Status Put(const std::string& name, ByteSpan bytes,
                           PutCondition condition) override;
  [[nodiscard]] Status Delete(const std::string& name) override;
  [[nodiscard]] Result<std::vector<BlobInfo>> List(const std::string& prefix) override;
  [[nodiscard]] Result<std::vector<std::string>> ListNames(const std::string& prefix) override;
  [[nodiscard]] Result<std::unique_ptr<BlobView>> View(const std::string& prefix,
                                                       ViewDepth depth) override {
    return MakeAzureView(client_, cache_, prefix, depth);
  }

  [[nodiscard]] Result<std::unique_ptr<PageBlob>> CreatePageBlob(
      const std::string& name, std::uint64_t size_bytes) override {
    ASR_CHECK(CheckBlobName(name));
    ASR_CHECK(CheckPageBlobSize(name, size_bytes));
    return CreateAzurePageBlob(client_, clock_, name, size_bytes, FenceOf(name));
  }
  [[nodiscard]] Result<std::unique_ptr<PageBlob>> OpenPageBlob(const std::string& name) override {
    ASR_CHECK(CheckBlobName(name));
    return OpenAzurePageBlob(client_, clock_, name, FenceOf(name));
  }
  [[nodiscard]] Result<std::unique_ptr<PageBlobReader>> OpenPageBlobReader(
      const std::string& name, const std::optional<SnapshotId>& snapshot) override;
  [[nodiscard]] Result<std::vector<SnapshotId>> ListSnapshots(const std::string& name) override;
  [[nodiscard]] Result<std::unique_ptr<Lease>> AcquireLease(const std::string& name) override;
  // A request is done whole or not at all, and what is done is seen: nothing is left behind.
  [[nodiscard]] Status RemoveUnfinished(const std::string&, std::size_t) override { return {}; }
  [[nodiscard]] Status RemovePlace() override;

 private:
  [[nodiscard]] std::shared_ptr<const LeaseFence> FenceOf(const std::string& name);
  [[nodiscard]] Result<std::string> EtagNow(const std::string& name);
  [[nodiscard]] Result<bool> PutIf(const std::string& name, ByteSpan bytes,
                                   const std::string& etag);
  void Remember(const std::string& name, const HttpResponse& reply);
  void Keep(const std::string& name, const HttpResponse& reply, std::string_view text);

  const std::unique_ptr<HttpTransport> transport_;
  const std::unique_ptr<Authorizer> authorizer_;
  const LeaseKeeping leases_;
  Clock& clock_;
  HttpClient http_;
  AzureClient client_;
  DocumentCache cache_;
  std::mutex mutex_;  // guards what follows
  // Of leases that were taken: "items/web-1a2b3c4d/" of "items/web-1a2b3c4d/lease".
  std::map<std::string, std::weak_ptr<const LeaseFence>> fences_;
  std::map<std::string, std::string> etags_;  // of documents, as they were read or written last
};

Status AzureStore::Prepare(bool create) {
  AzureRequest request{.query = {{"restype", "container"}},
                       .what = "cannot open the container " + client_.container_url(),
                       .expected = {403, 404}};
  if (create) {
    request.method = HttpMethod::kPut;
    request.expected = {409};
  }
  ASR_TRY(HttpResponse reply, client_.Send(request));
  if (reply.status == 403) {
    // A shared access signature of one container may list it, but not look at the container itself.
    request.query = {{"restype", "container"}, {"comp", "list"}, {"maxresults", "1"}};
    request.expected = {404};
    ASR_TRY(reply, client_.Send(request));
  }
  if (reply.status == 404) return Fail(BlobNotFound(client_.container_url()));
  if (reply.IsSuccess() || AzureCode(reply) == "ContainerAlreadyExists") return {};
  return Fail(MakeError(ErrorKind::kBusy, ErrorCode::kServerBusy,
                        fmt::format("the container {} is being deleted", client_.container_url()))
                  .WithAction("wait half a minute, or give another container")
                  .Retryable());
}

void AzureStore::Remember(const std::string& name, const HttpResponse& reply) {
  const std::lock_guard lock(mutex_);
  etags_[name] = reply.headers.Get(kEtag);
}

// So that the next list need not read it.
void AzureStore::Keep(const std::string& name, const HttpResponse& reply, std::string_view text) {
  if (!IsDocument(name)) return;
  CachedDocument document{
      .name = name, .etag = WithoutQuotes(reply.headers.Get(kEtag)), .text = std::string(text)};
  if (cache_.Find({document}).front() != text) cache_.Put({std::move(document)});
}

Result<std::string> AzureStore::Get(const std::string& name) {
  ASR_CHECK(CheckBlobName(name));
  ASR_TRY(HttpResponse reply,
          client_.Send({.blob = name, .what = "cannot read " + name, .expected = {404}}));
  if (reply.status == 404) return Fail(BlobNotFound(name));
  Remember(name, reply);
  Keep(name, reply, reply.body);
  return std::move(reply.body);
}

// Empty: there is none. kBusy (kBlobCondition) for a page blob that a later holder of its lease has
// taken over.
Result<std::string> AzureStore::EtagNow(const std::string& name) {
  ASR_TRY(const HttpResponse reply, client_.Send({.method = HttpMethod::kHead,
                                                  .blob = name,
                                                  .what = "cannot look at " + name,
                                                  .expected = {404}}));
  if (reply.status == 404) return std::string();
  const auto fence = FenceOf(name);
  if (fence != nullptr && SequenceNumberOf(reply) > fence->last()) return Fail(BlobChanged(name));
  return std::string(reply.headers.Get(kEtag));
}

// False if another than `etag` is there; empty: if one is there. Every try carries the condition:
// one that arrives late finds another ETag.
Result<bool> AzureStore::PutIf(const std::string& name, ByteSpan bytes, const std::string& etag) {
  bool may_be_done = false;
  AzureRequest request{.method = HttpMethod::kPut,
                       .blob = name,
                       .body = bytes,
                       .what = "cannot write " + name,
                       .expected = {409, 412}};
  request.headers.Set("x-ms-blob-type", "BlockBlob");
  request.headers.Set("Content-Type", "application/octet-stream");
  request.headers.Set(etag.empty() ? "If-None-Match" : "If-Match", etag.empty() ? "*" : etag);
  const std::string made_by = GuidText(RandomBits());
  request.headers.Set(kMadeBy, made_by);
  const std::string packed = IsDocument(name) ? PackDocument(AsText(bytes)) : std::string();
  if (!packed.empty()) request.headers.Set(kDocumentHeader, packed);
  request.before_repeat = [&](HttpRequest&, bool may_still_come) {
    may_be_done |= may_still_come;
    return Status();
  };
  ASR_TRY(const HttpResponse reply, client_.Send(request));
  if (reply.IsSuccess()) {
    Remember(name, reply);
    Keep(name, reply, AsText(bytes));
    return true;
  }
  if (!may_be_done) return false;
  // It may have been the first try, whose reply was lost. The same bytes may be another's, whose
  // ETag must not be taken for ours.
  ASR_TRY(const HttpResponse now, client_.Send({.method = HttpMethod::kHead,
                                                .blob = name,
                                                .what = "cannot look at " + name,
                                                .expected = {404}}));
  if (now.IsSuccess() && now.headers.Get(kMadeBy) == made_by) {
    Remember(name, now);
    Keep(name, now, AsText(bytes));
    return true;
  }
  const std::lock_guard lock(mutex_);
  etags_.erase(name);
  return false;
}

Status AzureStore::Put(const std::string& name, ByteSpan bytes, PutCondition condition) {
  ASR_CHECK(CheckBlobName(name));
  std::string etag;
  if (condition == PutCondition::kIfUnchanged) {
    const std::lock_guard lock(mutex_);
    etag = etags_[name];
  }
  constexpr int kRaces = 10;
  for (int i = 0; i < kRaces; ++i) {
    if (condition == PutCondition::kAlways) {
      ASR_TRY(etag, EtagNow(name));
    }
    ASR_TRY(const bool written, PutIf(name, bytes, etag));
    if (written) return {};
    if (condition == PutCondition::kIfAbsent) return Fail(BlobExists(name));
    if (condition == PutCondition::kIfUnchanged) return Fail(BlobChanged(name));
  }
  return Fail(BlobChanged(name));
}

// Always of one state: a try that comes late would else take a newer blob of that name with it.
Status AzureStore::Delete(const std::string& name) {
  ASR_CHECK(CheckBlobName(name));
  if (IsDocument(name)) cache_.Remove(name);
  std::string etag;
  {
    const std::lock_guard lock(mutex_);
    const auto known = etags_.extract(name);
    if (!known.empty()) etag = known.mapped();
  }
  constexpr int kRaces = 10;
  for (int i = 0; i < kRaces; ++i) {
    if (etag.empty()) {
      ASR_TRY(etag, EtagNow(name));
    }
    if (etag.empty()) return {};
    AzureRequest request{.method = HttpMethod::kDelete,
                         .blob = name,
                         .what = "cannot delete " + name,
                         .expected = {404, 412}};
    request.headers.Set("x-ms-delete-snapshots", "include");
    request.headers.Set("If-Match", etag);
    ASR_TRY(const HttpResponse reply, client_.Send(request));
    if (reply.status != 412) return {};
    etag.clear();
  }
  return Fail(BlobChanged(name));
}

Result<std::vector<BlobInfo>> AzureStore::List(const std::string& prefix) {
  ASR_CHECK(CheckBlobPrefix(prefix));
  ASR_TRY(const BlobListing listing, ListBlobs(client_, {.prefix = prefix}));
  std::vector<BlobInfo> blobs;
  for (const ListedBlob& blob : listing.blobs) {
    if (IsReserved(blob.name)) continue;
    blobs.push_back({.name = blob.name, .size_bytes = blob.size_bytes});
  }
  return blobs;
}

Result<std::vector<std::string>> AzureStore::ListNames(const std::string& prefix) {
  ASR_CHECK(CheckBlobPrefix(prefix));
  ASR_TRY(const BlobListing listing, ListBlobs(client_, {.prefix = prefix, .one_level = true}));
  std::vector<std::string> names;
  for (const ListedBlob& blob : listing.blobs) names.push_back(blob.name.substr(prefix.size()));
  for (std::string name : listing.prefixes) {
    name.pop_back();
    names.push_back(name.substr(prefix.size()));
  }
  std::erase_if(names, IsReserved);
  std::ranges::sort(names);
  return names;
}

Result<std::unique_ptr<PageBlobReader>> AzureStore::OpenPageBlobReader(
    const std::string& name, const std::optional<SnapshotId>& snapshot) {
  ASR_CHECK(CheckBlobName(name));
  if (!snapshot) return OpenAzureReader(client_, name, {});
  ASR_CHECK(CheckSnapshotId(*snapshot));
  ASR_TRY(const auto snapshots, ListAzureSnapshots(client_, name));
  const auto found = std::ranges::find(snapshots, *snapshot, &AzureSnapshot::id);
  if (found == snapshots.end()) return Fail(SnapshotNotFound(name, *snapshot));
  return OpenAzureReader(client_, name, *found);
}

Result<std::vector<SnapshotId>> AzureStore::ListSnapshots(const std::string& name) {
  ASR_CHECK(CheckBlobName(name));
  ASR_TRY(const auto snapshots, ListAzureSnapshots(client_, name));
  std::vector<SnapshotId> ids;
  for (const AzureSnapshot& snapshot : snapshots) ids.push_back(snapshot.id);
  return ids;
}

Result<std::unique_ptr<Lease>> AzureStore::AcquireLease(const std::string& name) {
  ASR_CHECK(CheckBlobName(name));
  ASR_TRY(auto lease, AzureLease::Acquire(client_, clock_, leases_, name));
  const std::lock_guard lock(mutex_);
  fences_[name.substr(0, name.rfind('/') + 1)] = lease->fence();
  return lease;
}

// Of the lease that was taken of the nearest directory above `name`.
std::shared_ptr<const LeaseFence> AzureStore::FenceOf(const std::string& name) {
  const std::lock_guard lock(mutex_);
  for (std::size_t end = name.rfind('/'); end != std::string::npos;
       end = end == 0 ? std::string::npos : name.rfind('/', end - 1)) {
    const auto found = fences_.find(name.substr(0, end + 1));
    if (found == fences_.end()) continue;
    if (auto fence = found->second.lock()) return fence;
  }
  return nullptr;
}

// The container goes if it holds nothing but our leases: what others put there stays.
Status AzureStore::RemovePlace() {
  ASR_TRY(const BlobListing listing, ListBlobs(client_, {}));
  const auto is_ours = [](const ListedBlob& blob) { return blob.name.starts_with(LeaseBlob("")); };
  if (!std::ranges::all_of(listing.blobs, is_ours)) return {};
  for (const ListedBlob& blob : listing.blobs) {
    ASR_TRY(const HttpResponse reply, client_.Send({.method = HttpMethod::kDelete,
                                                    .blob = blob.name,
                                                    .what = "cannot delete " + blob.name,
                                                    .expected = {404, 412}}));
    // Another machine has just taken it.
    if (reply.status == 412) return {};
  }
  // A credential that is for this container alone may not do that.
  const auto removed = client_.Send({.method = HttpMethod::kDelete,
                                     .query = {{"restype", "container"}},
                                     .what = "cannot delete " + client_.container_url(),
                                     .expected = {403, 404, 409}});
  return removed ? Status() : Fail(removed.error());
}

}  // namespace

Result<std::unique_ptr<BlobStore>> OpenAzureStore(AzureStoreOptions options, bool create,
                                                  Clock& clock) {
  auto store = std::make_unique<AzureStore>(std::move(options), clock);
  ASR_CHECK(store->Prepare(create));
  return store;
}

}  // namespace asr
