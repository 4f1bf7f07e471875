#include "storage/blob/memory_store.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <set>
#include <utility>
#include <variant>

#include "storage/blob/blob_name.h"

namespace asr {
namespace {

constexpr std::uint64_t kMemoryChunkBytes = 64 * kKiB;

// Chunks that are not there are zeros. Copies share their chunks until one of them is written.
class SparseBytes {
 public:
  explicit SparseBytes(std::uint64_t size_bytes) : size_bytes_(size_bytes) {}

  [[nodiscard]] std::uint64_t size_bytes() const { return size_bytes_; }

  void Read(std::uint64_t offset_bytes, MutableByteSpan out) const {
    ForEachPiece({offset_bytes, out.size()},
                 [&](std::uint64_t chunk, std::size_t start, std::size_t count) {
                   const auto found = chunks_.find(chunk);
                   const MutableByteSpan piece = out.first(count);
                   if (found == chunks_.end()) {
                     std::fill(piece.begin(), piece.end(), std::byte{0});
                   } else {
                     std::memcpy(piece.data(), found->second->data() + start, count);
                   }
                   out = out.subspan(count);
                 });
  }

  void Write(std::uint64_t offset_bytes, ByteSpan bytes) {
    ForEachPiece({offset_bytes, bytes.size()},
                 [&](std::uint64_t chunk, std::size_t start, std::size_t count) {
                   std::memcpy(Own(chunk).data() + start, bytes.data(), count);
                   bytes = bytes.subspan(count);
                 });
  }

  void Clear(Extent range) {
    ForEachPiece(range, [&](std::uint64_t chunk, std::size_t start, std::size_t count) {
      if (count == kMemoryChunkBytes) {
        chunks_.erase(chunk);
      } else if (chunks_.contains(chunk)) {
        std::memset(Own(chunk).data() + start, 0, count);
      }
    });
  }

  void Resize(std::uint64_t size_bytes) {
    if (size_bytes < size_bytes_) {
      // Up to the end of the last chunk, so that a later growth finds zeros.
      const std::uint64_t end = AlignUp(size_bytes_, kMemoryChunkBytes);
      Clear({size_bytes, end - size_bytes});
    }
    size_bytes_ = size_bytes;
  }

 private:
  using Chunk = std::vector<std::byte>;

  template <class Visit>
  static void ForEachPiece(Extent range, Visit visit) {
    for (std::uint64_t offset = range.offset_bytes; offset < range.end_bytes();) {
      const std::uint64_t start = offset % kMemoryChunkBytes;
      const std::uint64_t count = std::min(kMemoryChunkBytes - start, range.end_bytes() - offset);
      visit(offset / kMemoryChunkBytes, start, count);
      offset += count;
    }
  }

  Chunk& Own(std::uint64_t chunk) {
    std::shared_ptr<Chunk>& slot = chunks_[chunk];
    if (slot == nullptr) {
      slot = std::make_shared<Chunk>(kMemoryChunkBytes);
    } else if (slot.use_count() > 1) {
      slot = std::make_shared<Chunk>(*slot);
    }
    return *slot;
  }

  std::uint64_t size_bytes_;
  std::map<std::uint64_t, std::shared_ptr<Chunk>> chunks_;
};

struct PageBlobState {
  PageBlobState(std::string blob_name, std::uint64_t size_bytes)
      : name(std::move(blob_name)), live(size_bytes) {}

  const std::string name;
  std::mutex mutex;
  SparseBytes live;
  std::map<SnapshotId, SparseBytes> snapshots;
};

class MemoryPageBlob : public PageBlob {
 public:
  explicit MemoryPageBlob(std::shared_ptr<PageBlobState> state) : state_(std::move(state)) {}

  [[nodiscard]] std::uint64_t size_bytes() const override {
    const std::lock_guard lock(state_->mutex);
    return state_->live.size_bytes();
  }

  [[nodiscard]] Status Read(std::uint64_t offset_bytes, MutableByteSpan out) override {
    const std::lock_guard lock(state_->mutex);
    ASR_CHECK(CheckInside(state_->name, {offset_bytes, out.size()}, state_->live.size_bytes()));
    state_->live.Read(offset_bytes, out);
    return {};
  }

  [[nodiscard]] Status Write(std::uint64_t offset_bytes, ByteSpan bytes) override {
    const std::lock_guard lock(state_->mutex);
    ASR_CHECK(CheckPages(state_->name, {offset_bytes, bytes.size()}, state_->live.size_bytes()));
    state_->live.Write(offset_bytes, bytes);
    return {};
  }

  [[nodiscard]] Status Clear(Extent range) override {
    const std::lock_guard lock(state_->mutex);
    ASR_CHECK(CheckPages(state_->name, range, state_->live.size_bytes()));
    state_->live.Clear(range);
    return {};
  }

  [[nodiscard]] Status Preserve(const std::vector<Extent>& ranges) override {
    const std::lock_guard lock(state_->mutex);
    for (const Extent& range : ranges) {
      ASR_CHECK(CheckInside(state_->name, range, state_->live.size_bytes()));
    }
    return {};
  }

  [[nodiscard]] Status Resize(std::uint64_t size_bytes) override {
    ASR_CHECK(CheckPageBlobSize(state_->name, size_bytes));
    const std::lock_guard lock(state_->mutex);
    state_->live.Resize(size_bytes);
    return {};
  }

  [[nodiscard]] Status Flush() override { return {}; }

  [[nodiscard]] Status CreateSnapshot(const SnapshotId& id) override {
    ASR_CHECK(CheckSnapshotId(id));
    const std::lock_guard lock(state_->mutex);
    if (!state_->snapshots.empty() && id <= state_->snapshots.rbegin()->first) {
      return Fail(SnapshotOutOfOrder(state_->name, id, state_->snapshots.rbegin()->first));
    }
    state_->snapshots.emplace(id, state_->live);
    return {};
  }

  [[nodiscard]] Result<std::vector<SnapshotId>> ListSnapshots() override {
    const std::lock_guard lock(state_->mutex);
    std::vector<SnapshotId> ids;
    for (const auto& [id, bytes] : state_->snapshots) ids.push_back(id);
    return ids;
  }

  [[nodiscard]] Status DeleteSnapshot(const SnapshotId& id) override {
    const std::lock_guard lock(state_->mutex);
    if (state_->snapshots.erase(id) == 0) return Fail(SnapshotNotFound(state_->name, id));
    return {};
  }

 private:
  std::shared_ptr<PageBlobState> state_;
};

class MemorySnapshotReader : public PageBlobReader {
 public:
  MemorySnapshotReader(std::shared_ptr<PageBlobState> state, SnapshotId id,
                       std::uint64_t size_bytes)
      : state_(std::move(state)), id_(std::move(id)), size_bytes_(size_bytes) {}

  [[nodiscard]] std::uint64_t size_bytes() const override { return size_bytes_; }

  [[nodiscard]] Status Read(std::uint64_t offset_bytes, MutableByteSpan out) override {
    const std::lock_guard lock(state_->mutex);
    const auto found = state_->snapshots.find(id_);
    if (found == state_->snapshots.end()) return Fail(SnapshotNotFound(state_->name, id_));
    ASR_CHECK(CheckInside(state_->name, {offset_bytes, out.size()}, size_bytes_));
    found->second.Read(offset_bytes, out);
    return {};
  }

 private:
  std::shared_ptr<PageBlobState> state_;
  SnapshotId id_;
  std::uint64_t size_bytes_;
};

// Shared with the leases, which may outlive the store.
struct LeaseTable {
  std::mutex mutex;
  std::set<std::string> held;
};

class MemoryLease : public Lease {
 public:
  MemoryLease(std::shared_ptr<LeaseTable> table, std::string name)
      : table_(std::move(table)), name_(std::move(name)) {}
  ~MemoryLease() override {
    const std::lock_guard lock(table_->mutex);
    table_->held.erase(name_);
  }
  Status Check() override { return {}; }

 private:
  std::shared_ptr<LeaseTable> table_;
  std::string name_;
};

class MemoryStore : public BlobStore {
 public:
  [[nodiscard]] std::string Description() const override { return "memory"; }

  [[nodiscard]] Result<std::string> Get(const std::string& name) override {
    ASR_CHECK(CheckBlobName(name));
    const std::lock_guard lock(mutex_);
    const auto found = blobs_.find(name);
    if (found == blobs_.end()) return Fail(BlobNotFound(name));
    if (const auto* text = std::get_if<std::string>(&found->second)) return *text;
    const auto& state = std::get<std::shared_ptr<PageBlobState>>(found->second);
    const std::lock_guard state_lock(state->mutex);
    std::string text(state->live.size_bytes(), '\0');
    state->live.Read(0, std::as_writable_bytes(std::span(text.data(), text.size())));
    return text;
  }

  [[nodiscard]] Status Put(const std::string& name, ByteSpan bytes,
                           PutCondition condition) override {
    ASR_CHECK(CheckBlobName(name));
    const std::lock_guard lock(mutex_);
    if (condition == PutCondition::kIfAbsent && blobs_.contains(name)) {
      return Fail(BlobExists(name));
    }
    blobs_[name] = std::string(AsText(bytes));
    return {};
  }

  [[nodiscard]] Status Delete(const std::string& name) override {
    ASR_CHECK(CheckBlobName(name));
    const std::lock_guard lock(mutex_);
    const auto found = blobs_.find(name);
    if (found == blobs_.end()) return {};
    if (const auto* state = std::get_if<std::shared_ptr<PageBlobState>>(&found->second)) {
      const std::lock_guard state_lock((*state)->mutex);
      (*state)->snapshots.clear();
    }
    blobs_.erase(found);
    return {};
  }

  [[nodiscard]] Result<std::vector<BlobInfo>> List(const std::string& prefix) override {
    ASR_CHECK(CheckBlobPrefix(prefix));
    const std::lock_guard lock(mutex_);
    std::vector<BlobInfo> list;
    for (auto blob = blobs_.lower_bound(prefix);
         blob != blobs_.end() && blob->first.starts_with(prefix); ++blob) {
      list.push_back({blob->first, SizeOf(blob->second)});
    }
    return list;
  }

  [[nodiscard]] Result<std::vector<std::string>> ListNames(const std::string& prefix) override {
    ASR_CHECK(CheckBlobPrefix(prefix));
    const std::lock_guard lock(mutex_);
    const std::size_t start = prefix.rfind('/') + 1;  // npos + 1 is 0
    std::set<std::string> names;
    for (auto blob = blobs_.lower_bound(prefix);
         blob != blobs_.end() && blob->first.starts_with(prefix); ++blob) {
      names.insert(blob->first.substr(start, blob->first.find('/', start) - start));
    }
    return std::vector<std::string>(names.begin(), names.end());
  }

  [[nodiscard]] Result<std::unique_ptr<PageBlob>> CreatePageBlob(
      const std::string& name, std::uint64_t size_bytes) override {
    ASR_CHECK(CheckBlobName(name));
    ASR_CHECK(CheckPageBlobSize(name, size_bytes));
    const std::lock_guard lock(mutex_);
    if (blobs_.contains(name)) return Fail(BlobExists(name));
    auto state = std::make_shared<PageBlobState>(name, size_bytes);
    blobs_[name] = state;
    return std::unique_ptr<PageBlob>(std::make_unique<MemoryPageBlob>(std::move(state)));
  }

  [[nodiscard]] Result<std::unique_ptr<PageBlob>> OpenPageBlob(const std::string& name) override {
    ASR_TRY(auto state, FindPageBlob(name));
    return std::unique_ptr<PageBlob>(std::make_unique<MemoryPageBlob>(std::move(state)));
  }

  [[nodiscard]] Result<std::unique_ptr<PageBlobReader>> OpenPageBlobReader(
      const std::string& name, const std::optional<SnapshotId>& snapshot) override {
    ASR_TRY(auto state, FindPageBlob(name));
    if (!snapshot) {
      return std::unique_ptr<PageBlobReader>(std::make_unique<MemoryPageBlob>(std::move(state)));
    }
    ASR_CHECK(CheckSnapshotId(*snapshot));
    const std::lock_guard lock(state->mutex);
    const auto found = state->snapshots.find(*snapshot);
    if (found == state->snapshots.end()) return Fail(SnapshotNotFound(name, *snapshot));
    return std::unique_ptr<PageBlobReader>(
        std::make_unique<MemorySnapshotReader>(state, *snapshot, found->second.size_bytes()));
  }

  [[nodiscard]] Result<std::vector<SnapshotId>> ListSnapshots(const std::string& name) override {
    ASR_TRY(auto state, FindPageBlob(name));
    return MemoryPageBlob(std::move(state)).ListSnapshots();
  }

  // Its writes are whole, or not at all.
  [[nodiscard]] Status RemoveUnfinished(const std::string& /*prefix*/,
                                        std::size_t /*levels*/) override {
    return {};
  }

  [[nodiscard]] Result<std::unique_ptr<Lease>> AcquireLease(const std::string& name) override {
    ASR_CHECK(CheckBlobName(name));
    const std::lock_guard lock(leases_->mutex);
    if (!leases_->held.insert(name).second) {
      return Fail(
          MakeError(ErrorKind::kBusy, ErrorCode::kLocked, name + " is being written by another job")
              .Retryable());
    }
    return std::unique_ptr<Lease>(std::make_unique<MemoryLease>(leases_, name));
  }

 private:
  using Blob = std::variant<std::string, std::shared_ptr<PageBlobState>>;

  static std::uint64_t SizeOf(const Blob& blob) {
    if (const auto* text = std::get_if<std::string>(&blob)) return text->size();
    const auto& state = std::get<std::shared_ptr<PageBlobState>>(blob);
    const std::lock_guard lock(state->mutex);
    return state->live.size_bytes();
  }

  // A document is none.
  Result<std::shared_ptr<PageBlobState>> FindPageBlob(const std::string& name) {
    ASR_CHECK(CheckBlobName(name));
    const std::lock_guard lock(mutex_);
    const auto found = blobs_.find(name);
    if (found == blobs_.end() || found->second.index() == 0) return Fail(BlobNotFound(name));
    return std::get<std::shared_ptr<PageBlobState>>(found->second);
  }

  std::mutex mutex_;
  std::map<std::string, Blob> blobs_;
  std::shared_ptr<LeaseTable> leases_ = std::make_shared<LeaseTable>();
};

}  // namespace

std::unique_ptr<BlobStore> MakeMemoryStore() { return std::make_unique<MemoryStore>(); }

}  // namespace asr
