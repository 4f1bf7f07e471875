// A container of blobs: small ones that are replaced whole, and page blobs with snapshots. Azure
// Blob Storage has both natively; a directory and memory offer the same here. Names are relative
// paths with '/' ("items/web-1a2b3c4d/item.json"): segments of [A-Za-z0-9._-], at most 200 long;
// those that begin with '.', end in ".undo" or hold ".tmp-" are the stores' own (blob_name.h).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/base/bytes.h"
#include "storage/base/clock.h"
#include "storage/base/result.h"

namespace asr {

// Pages are the unit of a page blob: offsets and lengths of Write and Clear are multiples of it.
inline constexpr std::uint64_t kPageBytes = 512;

// Name of a snapshot; sorts by age. Chosen by the caller (the id of the recovery point).
struct SnapshotId {
  std::string value;
  auto operator<=>(const SnapshotId&) const = default;
};

// One version of a page blob for reading: the live blob or a snapshot. Thread-safe.
// A reader of a snapshot stays right beside a writer that writes, seals, folds and prunes others.
class PageBlobReader {
 public:
  virtual ~PageBlobReader() = default;
  [[nodiscard]] virtual std::uint64_t size_bytes() const = 0;
  // Any offset and length inside; pages never written read as zeros. Large reads aligned to
  // kDirectAlignment go round the page cache.
  [[nodiscard]] virtual Status Read(std::uint64_t offset_bytes, MutableByteSpan out) = 0;
  // Parts of `range` whose bytes this version may not share with the next newer one: who has read
  // that one whole need read no more than these of it. Ascending.
  [[nodiscard]] virtual Result<std::vector<Extent>> OwnExtents(Extent range) {
    return std::vector<Extent>{range};
  }
  // Parts of `range` that may hold bytes other than zeros. Ascending.
  [[nodiscard]] virtual Result<std::vector<Extent>> DataExtents(Extent range) {
    return std::vector<Extent>{range};
  }
};

// A page blob that may lie elsewhere, as a service is told to read it by itself.
class CopyOrigin {
 public:
  virtual ~CopyOrigin() = default;
  // Headers of a request that name it, with what lets the service read it: for requests to a
  // service that may know that. Thread-safe.
  [[nodiscard]] virtual Result<std::vector<std::pair<std::string, std::string>>> NameAsSource() = 0;
};

// The live blob, for its one writer (who holds the item's lease). Read, Write and Clear may be
// called from several threads at once for ranges that do not overlap within a 64 KiB chunk; the
// other methods not beside them.
class PageBlob : public PageBlobReader {
 public:
  // Multiples of kPageBytes, inside the blob. Before bytes that the newest snapshot still shares
  // are overwritten, they are durably kept for it. Durable itself only after Flush.
  [[nodiscard]] virtual Status Write(std::uint64_t offset_bytes, ByteSpan bytes) = 0;
  // Write with bytes that the store itself takes from the same range of a snapshot of this blob, at
  // most 4 MiB. `crc64` is of what the caller has read there and knows to be right; other bytes are
  // not written. False: nothing was done, and the caller is to Write them.
  [[nodiscard]] virtual Result<bool> CopyFrom(const SnapshotId& /*source*/, Extent /*range*/,
                                              std::uint64_t /*crc64*/) {
    return false;
  }
  // The same from the same range of another blob.
  [[nodiscard]] virtual Result<bool> CopyFromOrigin(CopyOrigin& /*origin*/, Extent /*range*/,
                                                    std::uint64_t /*crc64*/) {
    return false;
  }
  // The range reads as zeros afterwards, and takes no space.
  [[nodiscard]] virtual Status Clear(Extent range) = 0;
  // Keeps the old bytes of all these ranges for the newest snapshot at once: one round of syncs in
  // place of one for each Write. An optimisation only; Write and Clear do it themselves.
  [[nodiscard]] virtual Status Preserve(const std::vector<Extent>& ranges) = 0;
  // For a 64 KiB chunk whose bytes cannot be read any more: snapshots that share it with the live
  // blob read `bytes` in its place, durably when this returns; a Write of it needs no old bytes
  // then. Nothing where snapshots have bytes of their own. `offset_bytes` begins a chunk; `bytes`
  // are all of it.
  [[nodiscard]] virtual Status KeepInstead(std::uint64_t, ByteSpan) { return {}; }
  // Multiple of kPageBytes. What a snapshot needs of a cut tail is kept first.
  [[nodiscard]] virtual Status Resize(std::uint64_t size_bytes) = 0;
  // Returns when everything written is durable. Once it failed, it fails until the blob is opened
  // again, and everything written since the last good one must be written again.
  [[nodiscard]] virtual Status Flush() = 0;

  // Names the content: two handles that are told the same name, at whatever time, read the same
  // bytes. Empty where the store has no such names. The first: what was there when this handle was
  // opened; the second: what is there now, while nothing is being written.
  [[nodiscard]] virtual std::string opened_content_name() const { return ""; }
  [[nodiscard]] virtual Result<std::string> ContentName() { return ""; }

  // Freezes the present (flushed) content under `id`, which must sort after all others.
  [[nodiscard]] virtual Status CreateSnapshot(const SnapshotId& id) = 0;
  // Oldest first.
  [[nodiscard]] virtual Result<std::vector<SnapshotId>> ListSnapshots() = 0;
  // Before DeleteSnapshot, where a drop must not stop half-way: what the older snapshot shares with
  // this one is its own when this returns; all of them read the same as before. kIo (kBlobCorrupt)
  // if bytes of `id` cannot be read any more; kNotFound if there is none.
  [[nodiscard]] virtual Status PrepareDelete(const SnapshotId&) { return {}; }
  // Any of them; the others and the live blob read the same as before. kNotFound if there is none.
  [[nodiscard]] virtual Status DeleteSnapshot(const SnapshotId& id) = 0;
};

// The right to write; held until destroyed. Dies with the process.
class Lease {
 public:
  virtual ~Lease() = default;
  // kBusy (kLeaseLost) once another may hold it, too.
  [[nodiscard]] virtual Status Check() = 0;
  // True if the store itself refuses page blobs' writes of a holder that lost it.
  [[nodiscard]] virtual bool IsFence() const { return false; }
};

struct BlobInfo {
  std::string name;
  std::uint64_t size_bytes = 0;
};

// What a deletion or a drop that was cut left of a page blob, where no list of blobs or snapshots
// shows it.
struct BlobRemains {
  std::string name;
  bool is_gone = false;               // of a blob that does not exist any more; Delete removes it
  std::vector<SnapshotId> snapshots;  // what is left, which no reader uses
  bool operator==(const BlobRemains&) const = default;
};

enum class PutCondition : std::uint8_t {
  kAlways,
  kIfAbsent,  // kState (kBlobExists) if there is one
  // For the holder of a lease: kBusy (kBlobCondition) if it is not what this store read or wrote
  // last. Where no late writer can be, the same as kAlways.
  kIfUnchanged,
};

// Documents below a prefix, for lists that want many of them: names, and what they hold, as it all
// was when the view was taken, or later. Lives no longer than its store; for one thread.
class BlobView {
 public:
  virtual ~BlobView() = default;
  // As BlobStore::ListNames, of prefixes not above the view's.
  [[nodiscard]] virtual Result<std::vector<std::string>> ListNames(const std::string& prefix) = 0;
  // As BlobStore::Get, of each of them.
  [[nodiscard]] virtual std::vector<Result<std::string>> Get(
      const std::vector<std::string>& names) = 0;
};

enum class ViewDepth : std::uint8_t {
  kLevels,  // a level is listed when it is asked for
  kAll,     // everything below the prefix will be asked for: it is listed at once where that helps
};

class BlobStore {
 public:
  virtual ~BlobStore() = default;

  // The place itself, for people: a path or a URL without secrets.
  [[nodiscard]] virtual std::string Description() const = 0;

  // True if what a reader sees is durable. Else it may be what a process wrote that died before it
  // was.
  [[nodiscard]] virtual bool ShowsOnlyDurable() const { return false; }

  // What the clock of the place said when it last answered; none where the place has no clock of
  // its own.
  [[nodiscard]] virtual std::optional<Timestamp> ServerTime() const { return std::nullopt; }

  // Small blobs (documents): atomic and durable. Get: kNotFound (kBlobNotFound) if absent.
  [[nodiscard]] virtual Result<std::string> Get(const std::string& name) = 0;
  [[nodiscard]] virtual Status Put(const std::string& name, ByteSpan bytes,
                                   PutCondition condition = PutCondition::kAlways) = 0;
  // Fine if there is none. A page blob goes with its snapshots. Durable.
  [[nodiscard]] virtual Status Delete(const std::string& name) = 0;
  // Blobs whose names begin with `prefix`, sorted by name; what the store keeps for itself
  // (snapshots, locks, unfinished writes) is not among them. An unknown prefix gives none.
  [[nodiscard]] virtual Result<std::vector<BlobInfo>> List(const std::string& prefix) = 0;
  // Names one level below `prefix` ("items/"): documents and "directories", without the slash.
  [[nodiscard]] virtual Result<std::vector<std::string>> ListNames(const std::string& prefix) = 0;
  // No more requests than needed where each takes its time. What is read so is not the state that
  // PutCondition::kIfUnchanged means.
  [[nodiscard]] virtual Result<std::unique_ptr<BlobView>> View(const std::string& prefix,
                                                               ViewDepth depth);

  // kState (kBlobExists) if there is one. All zeros, durable.
  [[nodiscard]] virtual Result<std::unique_ptr<PageBlob>> CreatePageBlob(
      const std::string& name, std::uint64_t size_bytes) = 0;
  [[nodiscard]] virtual Result<std::unique_ptr<PageBlob>> OpenPageBlob(const std::string& name) = 0;
  // Read only, and without a lease. No snapshot: the live blob as it is at each read.
  [[nodiscard]] virtual Result<std::unique_ptr<PageBlobReader>> OpenPageBlobReader(
      const std::string& name, const std::optional<SnapshotId>& snapshot) = 0;

  // Oldest first; changes nothing. kCorrupt if the snapshots do not hang together.
  [[nodiscard]] virtual Result<std::vector<SnapshotId>> ListSnapshots(const std::string& name) = 0;

  // Of page blobs below `prefix`, sorted by name; changes nothing. Beside a writer it may see what
  // is being removed just then. Blobs whose snapshots do not hang together are passed over:
  // ListSnapshots tells.
  [[nodiscard]] virtual Result<std::vector<BlobRemains>> ListRemains(const std::string&) {
    return std::vector<BlobRemains>{};
  }

  // kBusy (kLocked, retryable) if another process or handle holds the lease of `name`. The blob
  // need not exist.
  [[nodiscard]] virtual Result<std::unique_ptr<Lease>> AcquireLease(const std::string& name) = 0;

  // Removes what writers that died left of blobs below `prefix` ("items/"), as far as their names
  // have at most `levels` more slashes. Nobody makes page blobs there meanwhile: the caller holds
  // the lease that is needed for it. Others may Put documents.
  [[nodiscard]] virtual Status RemoveUnfinished(const std::string& prefix, std::size_t levels) = 0;

  // After the last blob was deleted: removes what the store keeps for itself, and the place if
  // nothing else is in it.
  [[nodiscard]] virtual Status RemovePlace() { return {}; }
};

}  // namespace asr
