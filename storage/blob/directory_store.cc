#include "storage/blob/directory_store.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "storage/blob/blob_name.h"
#include "storage/blob/blob_remains.h"
#include "storage/blob/directory_page_blob.h"
#include "storage/blob/live_reader.h"
#include "storage/blob/snapshot_reader.h"
#include "storage/blob/unfinished_writes.h"

namespace asr {
namespace {

constexpr std::string_view kLockDirectory = ".locks";
// How often a document's directory may vanish (with its last other blob) while it is written.
constexpr int kMaxPutAttempts = 10;

bool IsMissing(const Error& error) { return error.code == ErrorCode::kFileNotFound; }

class FileLease : public Lease {
 public:
  FileLease(std::unique_ptr<FileLock> lock, std::string name)
      : lock_(std::move(lock)), name_(std::move(name)) {}

  Status Check() override {
    ASR_TRY(const bool in_place, lock_->IsInPlace());
    if (in_place) return {};
    return Fail(MakeError(ErrorKind::kBusy, ErrorCode::kLeaseLost,
                          fmt::format("the lock of {} was removed while it was held", name_))
                    .WithCause("somebody removed or replaced files of the vault by hand")
                    .WithAction("make sure that nobody else writes to the vault, and try again")
                    .Retryable());
  }

 private:
  std::unique_ptr<FileLock> lock_;
  std::string name_;
};

class DirectoryStore : public BlobStore {
 public:
  DirectoryStore(FileSystem& fs, std::string root, Clock& clock)
      : fs_(fs), root_(std::move(root)), clock_(clock) {}

  [[nodiscard]] std::string Description() const override { return root_; }

  [[nodiscard]] Result<std::string> Get(const std::string& name) override;
  [[nodiscard]] Status Put(const std::string& name, ByteSpan bytes,
                           PutCondition condition) override;
  [[nodiscard]] Status Delete(const std::string& name) override;
  [[nodiscard]] Result<std::vector<BlobInfo>> List(const std::string& prefix) override;
  [[nodiscard]] Result<std::vector<std::string>> ListNames(const std::string& prefix) override;
  [[nodiscard]] Result<std::unique_ptr<PageBlob>> CreatePageBlob(const std::string& name,
                                                                 std::uint64_t size_bytes) override;
  [[nodiscard]] Result<std::unique_ptr<PageBlob>> OpenPageBlob(const std::string& name) override;
  [[nodiscard]] Result<std::unique_ptr<PageBlobReader>> OpenPageBlobReader(
      const std::string& name, const std::optional<SnapshotId>& snapshot) override;
  [[nodiscard]] Result<std::vector<SnapshotId>> ListSnapshots(const std::string& name) override;
  [[nodiscard]] Result<std::vector<BlobRemains>> ListRemains(const std::string& prefix) override {
    ASR_CHECK(CheckBlobPrefix(prefix));
    return ListRemainsIn(fs_, root_, prefix);
  }
  [[nodiscard]] Result<std::unique_ptr<Lease>> AcquireLease(const std::string& name) override;
  [[nodiscard]] Status RemoveUnfinished(const std::string& prefix, std::size_t levels) override;
  [[nodiscard]] Status RemovePlace() override {
    ASR_CHECK(fs_.RemoveTree(PathOf(kLockDirectory)));
    // Stays if somebody put something there, or if it is a mount point.
    static_cast<void>(fs_.RemoveEmptyDirectory(root_).has_value());
    return {};
  }

 private:
  [[nodiscard]] std::string PathOf(std::string_view name) const { return JoinPath(root_, name); }
  [[nodiscard]] Status EnsureDirectory(const std::string& directory);
  void ForgetDirectory(const std::string& directory);
  void PruneDirectories(std::string directory);
  [[nodiscard]] Status RemoveUndoFiles(const std::string& undo_directory);
  [[nodiscard]] Status CreateNew(const std::string& name, std::uint64_t size_bytes);
  // Adds the blobs in `directory` (its name ends with '/', or is empty) that begin with `prefix`.
  [[nodiscard]] Status ListInto(const std::string& directory, const std::string& prefix,
                                std::vector<BlobInfo>& blobs);
  [[nodiscard]] Result<std::vector<DirectoryEntry>> Entries(const std::string& directory);
  [[nodiscard]] Result<bool> HoldsBlob(const std::string& directory);
  [[nodiscard]] Error LeaseHeld(const std::string& name, const std::string& lock_path);
  void NoteOwner(const std::string& lock_path);

  FileSystem& fs_;
  std::string root_;
  Clock& clock_;
  std::mutex mutex_;
  std::set<std::string> durable_directories_;  // known to be so since this store was opened
};

// A directory that is there may still be lost with power: the process that made it may have died
// before it synced the parent. So each is synced once before anything in it is called durable.
Status DirectoryStore::EnsureDirectory(const std::string& directory) {
  {
    const std::lock_guard lock(mutex_);
    if (durable_directories_.contains(directory)) return {};
  }
  ASR_CHECK(fs_.CreateDirectories(directory));
  for (std::string path = directory; path.size() > root_.size(); path = ParentOf(path)) {
    ASR_CHECK(fs_.SyncDirectory(ParentOf(path)));
  }
  const std::lock_guard lock(mutex_);
  durable_directories_.insert(directory);
  return {};
}

void DirectoryStore::ForgetDirectory(const std::string& directory) {
  const std::lock_guard lock(mutex_);
  durable_directories_.erase(directory);
}

// Blobs have no directories, only names; one without blobs is nothing.
void DirectoryStore::PruneDirectories(std::string directory) {
  while (directory.size() > root_.size()) {
    ForgetDirectory(directory);
    if (!fs_.RemoveEmptyDirectory(directory)) return;
    directory = ParentOf(directory);
  }
}

Result<std::string> DirectoryStore::Get(const std::string& name) {
  ASR_CHECK(CheckBlobName(name));
  auto text = ReadWholeFile(fs_, PathOf(name));
  if (!text && IsMissing(text.error())) return Fail(BlobNotFound(name));
  return text;
}

Status DirectoryStore::Put(const std::string& name, ByteSpan bytes, PutCondition condition) {
  ASR_CHECK(CheckBlobName(name));
  const std::string path = PathOf(name);
  const std::string directory = ParentOf(path);
  Status status;
  for (int attempt = 0; attempt < kMaxPutAttempts; ++attempt) {
    ASR_CHECK(EnsureDirectory(directory));
    // The lock is let go of with its process only: there is no late writer.
    status = condition == PutCondition::kIfAbsent ? WriteNewFileAtomic(fs_, path, bytes)
                                                  : WriteFileAtomic(fs_, path, bytes);
    if (status || !IsMissing(status.error())) break;
    ForgetDirectory(directory);
  }
  if (!status && status.error().code == ErrorCode::kAlreadyExists) {
    // Who hears that it exists may build on it: it must not vanish.
    ASR_CHECK(fs_.SyncDirectory(directory));
    return Fail(BlobExists(name));
  }
  return status;
}

Status DirectoryStore::Delete(const std::string& name) {
  ASR_CHECK(CheckBlobName(name));
  const std::string path = PathOf(name);
  const std::string directory = ParentOf(path);
  // First, so that a call that dies here leaves the blob, and with it a reason to call again. And
  // only if there is one: then a Put loses its file at most once for each Put that succeeded, and
  // begins again.
  if (Exists(fs_, path)) ASR_CHECK(RemoveUnfinishedWritesOf(fs_, path));
  Status removed = fs_.RemoveFile(path);
  if (!removed && !IsMissing(removed.error())) return removed;
  ASR_TRY(const bool has_directory, PathExists(fs_, directory));
  if (!has_directory) return {};
  // Synced even if there was none: an earlier call may have died before it did so.
  ASR_CHECK(fs_.SyncDirectory(directory));
  // The live file first: undo files without one mean nothing, one without them would be wrong.
  ASR_CHECK(RemoveUndoFiles(UndoDirectoryOf(path)));
  PruneDirectories(directory);
  return {};
}

// The oldest first: a reader then finds its own snapshot gone, and never a gap in the chain.
Status DirectoryStore::RemoveUndoFiles(const std::string& undo_directory) {
  ASR_TRY(const bool exists, PathExists(fs_, undo_directory));
  if (!exists) return {};
  ASR_TRY(const UndoListing listing, ListUndoFiles(fs_, undo_directory));
  for (const UndoListing::Entry& entry : listing.files) {
    ASR_CHECK(fs_.RemoveFile(JoinPath(undo_directory, entry.id.value)));
  }
  ASR_CHECK(fs_.RemoveTree(undo_directory));
  return fs_.SyncDirectory(ParentOf(undo_directory));
}

Result<std::vector<DirectoryEntry>> DirectoryStore::Entries(const std::string& directory) {
  auto entries = fs_.List(directory.empty() ? root_ : PathOf(directory));
  if (!entries) {
    if (IsMissing(entries.error())) return std::vector<DirectoryEntry>{};
    return Fail(std::move(entries).error());
  }
  std::erase_if(*entries, [](const auto& entry) { return IsReservedSegment(entry.name); });
  return std::move(*entries);
}

Status DirectoryStore::ListInto(const std::string& directory, const std::string& prefix,
                                std::vector<BlobInfo>& blobs) {
  ASR_TRY(const auto entries, Entries(directory));
  for (const DirectoryEntry& entry : entries) {
    const std::string name = directory + entry.name;
    if (entry.is_directory) {
      const std::string below = name + "/";
      if (below.starts_with(prefix) || prefix.starts_with(below)) {
        ASR_CHECK(ListInto(below, prefix, blobs));
      }
      continue;
    }
    if (!name.starts_with(prefix)) continue;
    const auto stamp = fs_.Stat(PathOf(name));
    if (!stamp && IsMissing(stamp.error())) continue;  // deleted meanwhile
    if (!stamp) return Fail(stamp.error());
    blobs.push_back({name, stamp->size_bytes});
  }
  return {};
}

Result<std::vector<BlobInfo>> DirectoryStore::List(const std::string& prefix) {
  ASR_CHECK(CheckBlobPrefix(prefix));
  std::vector<BlobInfo> blobs;
  ASR_CHECK(ListInto(prefix.substr(0, prefix.rfind('/') + 1), prefix, blobs));
  std::sort(blobs.begin(), blobs.end(),
            [](const auto& left, const auto& right) { return left.name < right.name; });
  return blobs;
}

Result<bool> DirectoryStore::HoldsBlob(const std::string& directory) {
  ASR_TRY(const auto entries, Entries(directory));
  for (const DirectoryEntry& entry : entries) {
    if (!entry.is_directory) return true;
    ASR_TRY(const bool holds, HoldsBlob(directory + entry.name + "/"));
    if (holds) return true;
  }
  return false;
}

Result<std::vector<std::string>> DirectoryStore::ListNames(const std::string& prefix) {
  ASR_CHECK(CheckBlobPrefix(prefix));
  const std::string directory = prefix.substr(0, prefix.rfind('/') + 1);
  ASR_TRY(const auto entries, Entries(directory));
  std::vector<std::string> names;
  for (const DirectoryEntry& entry : entries) {
    if (!(directory + entry.name).starts_with(prefix)) continue;
    if (entry.is_directory) {
      ASR_TRY(const bool holds, HoldsBlob(directory + entry.name + "/"));
      if (!holds) continue;
    }
    names.push_back(entry.name);
  }
  return names;
}

Status DirectoryStore::CreateNew(const std::string& name, std::uint64_t size_bytes) {
  const std::string path = PathOf(name);
  const std::string temporary = TemporaryPath(path);
  const auto create = [&]() -> Status {
    ASR_TRY(const auto file, fs_.Open(temporary, {.mode = OpenMode::kCreate, .owner_only = true}));
    ASR_CHECK(file->Resize(size_bytes));
    ASR_CHECK(file->Sync());
    ASR_CHECK(fs_.RenameNoReplace(temporary, path));
    return fs_.SyncDirectory(ParentOf(path));
  };
  Status status = create();
  if (!status) static_cast<void>(fs_.RemoveFile(temporary).has_value());
  if (!status && status.error().code == ErrorCode::kAlreadyExists) return Fail(BlobExists(name));
  return status;
}

Result<std::unique_ptr<PageBlob>> DirectoryStore::CreatePageBlob(const std::string& name,
                                                                 std::uint64_t size_bytes) {
  ASR_CHECK(CheckBlobName(name));
  ASR_CHECK(CheckPageBlobSize(name, size_bytes));
  const std::string path = PathOf(name);
  ASR_CHECK(EnsureDirectory(ParentOf(path)));
  ASR_TRY(const bool exists, PathExists(fs_, path));
  if (exists) return Fail(BlobExists(name));
  // A deletion that was interrupted leaves undo files of a blob that is gone.
  ASR_CHECK(RemoveUndoFiles(UndoDirectoryOf(path)));
  ASR_CHECK(CreateNew(name, size_bytes));
  return OpenPageBlob(name);
}

Result<std::unique_ptr<PageBlob>> DirectoryStore::OpenPageBlob(const std::string& name) {
  ASR_CHECK(CheckBlobName(name));
  ASR_TRY(auto blob, DirectoryPageBlob::Open(fs_, name, PathOf(name)));
  ASR_CHECK(RemoveUnfinishedWritesOf(fs_, PathOf(name)));  // the caller holds the lease
  return blob;
}

Result<std::unique_ptr<PageBlobReader>> DirectoryStore::OpenPageBlobReader(
    const std::string& name, const std::optional<SnapshotId>& snapshot) {
  ASR_CHECK(CheckBlobName(name));
  if (snapshot) return SnapshotReader::Open(fs_, name, PathOf(name), *snapshot);
  auto file = fs_.Open(PathOf(name), {.mode = OpenMode::kRead, .direct = true});
  if (!file && IsMissing(file.error())) return Fail(BlobNotFound(name));
  if (!file) return Fail(std::move(file).error());
  ASR_TRY(const FileStamp stamp, (*file)->Stat());
  return std::unique_ptr<PageBlobReader>(
      std::make_unique<LiveReader>(name, *std::move(file), stamp.size_bytes));
}

Result<std::vector<SnapshotId>> DirectoryStore::ListSnapshots(const std::string& name) {
  ASR_CHECK(CheckBlobName(name));
  ASR_TRY(const bool exists, PathExists(fs_, PathOf(name)));
  if (!exists) return Fail(BlobNotFound(name));
  ASR_TRY(const auto listed, LoadChainBesideWriter(fs_, UndoDirectoryOf(PathOf(name)), name, {}));
  std::vector<SnapshotId> snapshots;
  for (const UndoHeader& member : listed.chain.members) snapshots.push_back(member.snapshot);
  return snapshots;
}

Error DirectoryStore::LeaseHeld(const std::string& name, const std::string& lock_path) {
  const auto owner = ReadWholeFile(fs_, lock_path, kKiB);
  const std::string who = owner && !owner->empty() ? *owner : "another process";
  return MakeError(ErrorKind::kBusy, ErrorCode::kLocked,
                   fmt::format("{} is being written by {}", name, who))
      .WithCause("another job works on the same VM")
      .WithAction("wait for it, or look for it: asr jobs list")
      .Retryable();
}

// The lock is the lease, the note is for people only: a vault that is full must still let its
// points be read and pruned, so a note that cannot be written is left out.
void DirectoryStore::NoteOwner(const std::string& lock_path) {
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host[0] = '?';
  const std::string owner =
      fmt::format("process {} on {} since {}", ::getpid(), host.data(), FormatTime(clock_.Now()));
  const auto file = fs_.Open(lock_path, {.mode = OpenMode::kWrite});
  if (!file) return;
  // Over the old note, whose block is there: cutting first would give it up. A note that could not
  // be replaced names a process that has nothing to do with it, and goes.
  const bool written = (*file)->WriteAt(0, AsBytes(owner)).has_value();
  static_cast<void>((*file)->Resize(written ? owner.size() : 0).has_value());
}

Result<std::unique_ptr<Lease>> DirectoryStore::AcquireLease(const std::string& name) {
  ASR_CHECK(CheckBlobName(name));
  ASR_CHECK(EnsureDirectory(PathOf(kLockDirectory)));
  std::string file_name = name;
  std::replace(file_name.begin(), file_name.end(), '/', '+');  // '+' is in no name
  const std::string path = JoinPath(PathOf(kLockDirectory), file_name);
  auto lock = fs_.Lock(path);
  if (!lock && lock.error().code == ErrorCode::kLocked) return Fail(LeaseHeld(name, path));
  if (!lock) return Fail(std::move(lock).error());
  NoteOwner(path);
  return std::unique_ptr<Lease>(std::make_unique<FileLease>(*std::move(lock), name));
}

Status DirectoryStore::RemoveUnfinished(const std::string& prefix, std::size_t levels) {
  ASR_CHECK(CheckBlobPrefix(prefix));
  {
    const std::lock_guard lock(mutex_);
    durable_directories_.clear();  // one that held nothing else goes, too
  }
  return RemoveUnfinishedWritesIn(fs_, PathOf(prefix.substr(0, prefix.rfind('/'))), levels);
}

Error NoDirectory(const std::string& path) {
  return MakeError(ErrorKind::kNotFound, ErrorCode::kFileNotFound,
                   fmt::format("there is no directory {}", path))
      .WithCause("the path is mistyped, or its file system is not mounted")
      .WithAction("check the path; a new vault is made with: asr vault create NAME --target PATH");
}

}  // namespace

Result<std::unique_ptr<BlobStore>> OpenDirectoryStore(FileSystem& fs, const std::string& path,
                                                      bool create, Clock& clock) {
  if (create) ASR_CHECK(fs.CreateDirectories(path));
  const auto stamp = fs.Stat(path);
  if (!stamp && IsMissing(stamp.error())) return Fail(NoDirectory(path));
  if (!stamp) return Fail(stamp.error());
  if (stamp->type != FileType::kDirectory) {
    return Fail(ErrorKind::kState, ErrorCode::kAlreadyExists,
                fmt::format("{} is not a directory", path));
  }
  ASR_TRY(std::string root, fs.Canonical(path));
  return std::unique_ptr<BlobStore>(std::make_unique<DirectoryStore>(fs, std::move(root), clock));
}

}  // namespace asr
