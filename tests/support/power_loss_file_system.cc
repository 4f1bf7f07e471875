#include "tests/support/power_loss_file_system.h"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace asr::testing {
namespace {

constexpr std::uint64_t kSectorBytes = 512;

class MemoryFile : public File {
 public:
  MemoryFile(PowerLossFileSystem& fs, std::string path, std::shared_ptr<Inode> inode)
      : fs_(fs), path_(std::move(path)), inode_(std::move(inode)) {}

  Status ReadAt(std::uint64_t offset_bytes, MutableByteSpan out) override {
    ASR_TRY(const std::size_t count, ReadUpTo(offset_bytes, out));
    if (count == out.size()) return {};
    return Fail(ErrorKind::kIo, ErrorCode::kIo, path_ + " ends early");
  }
  Result<std::size_t> ReadUpTo(std::uint64_t offset_bytes, MutableByteSpan out) override {
    const std::lock_guard lock(fs_.mutex());
    return inode_->visible.Read(offset_bytes, out);
  }
  Status WriteAt(std::uint64_t offset_bytes, ByteSpan bytes) override {
    return Change({PendingChange::Kind::kWrite,
                   {offset_bytes, bytes.size()},
                   std::vector<std::byte>(bytes.begin(), bytes.end())});
  }
  Status Sync() override {
    const std::lock_guard lock(fs_.mutex());
    return fs_.SyncInode(*inode_);
  }
  Status Resize(std::uint64_t size_bytes) override {
    return Change({PendingChange::Kind::kResize, {size_bytes, 0}, {}});
  }
  Status PunchHole(Extent range) override {
    return Change({PendingChange::Kind::kPunch, range, {}});
  }
  Result<FileStamp> Stat() override {
    const std::lock_guard lock(fs_.mutex());
    return inode_->Stamp();
  }
  Result<std::vector<Extent>> DataExtents(Extent range) override {
    const std::lock_guard lock(fs_.mutex());
    return inode_->visible.DataExtents(range);
  }

 private:
  Status Change(PendingChange change) {
    const std::lock_guard lock(fs_.mutex());
    change.ApplyTo(inode_->visible);
    ++inode_->changes;
    inode_->pending.push_back(std::move(change));
    return {};
  }

  PowerLossFileSystem& fs_;
  std::string path_;
  std::shared_ptr<Inode> inode_;
};

class MemoryLock : public FileLock {
 public:
  MemoryLock(std::shared_ptr<std::map<std::string, bool>> locks, std::string path)
      : locks_(std::move(locks)), path_(std::move(path)) {}
  ~MemoryLock() override { locks_->erase(path_); }
  Result<bool> IsInPlace() override { return true; }

 private:
  std::shared_ptr<std::map<std::string, bool>> locks_;
  std::string path_;
};

tl::unexpected<Error> Refuse(int errno_value, const std::string& path) {
  return Fail(ErrnoError(errno_value, path));
}

// Keeps or loses each sector of a write for itself: a torn write.
void ApplyTorn(const PendingChange& change, SparseContent& content, std::mt19937_64& random) {
  if (change.kind != PendingChange::Kind::kWrite) {
    if (random() % 2 == 0) change.ApplyTo(content);
    return;
  }
  const ByteSpan bytes(change.bytes);
  for (std::uint64_t done = 0; done < bytes.size();) {
    const std::uint64_t offset = change.range.offset_bytes + done;
    const std::uint64_t count = std::min(kSectorBytes - offset % kSectorBytes, bytes.size() - done);
    if (random() % 2 == 0) content.Write(offset, bytes.subspan(done, count));
    done += count;
  }
}

}  // namespace

std::size_t SparseContent::Read(std::uint64_t offset_bytes, MutableByteSpan out) const {
  if (offset_bytes >= size_bytes_) return 0;
  const std::size_t total = std::min<std::uint64_t>(out.size(), size_bytes_ - offset_bytes);
  for (std::size_t done = 0; done < total;) {
    const std::uint64_t start = (offset_bytes + done) % kBlockBytes;
    const std::size_t count = std::min<std::uint64_t>(kBlockBytes - start, total - done);
    const auto block = blocks_.find((offset_bytes + done) / kBlockBytes);
    if (block == blocks_.end()) {
      std::memset(out.data() + done, 0, count);
    } else {
      std::memcpy(out.data() + done, block->second->data() + start, count);
    }
    done += count;
  }
  return total;
}

void SparseContent::Write(std::uint64_t offset_bytes, ByteSpan bytes) {
  size_bytes_ = std::max(size_bytes_, offset_bytes + bytes.size());
  while (!bytes.empty()) {
    const std::uint64_t start = offset_bytes % kBlockBytes;
    const std::size_t count = std::min<std::uint64_t>(kBlockBytes - start, bytes.size());
    std::shared_ptr<Block>& block = blocks_[offset_bytes / kBlockBytes];
    if (block == nullptr) {
      block = std::make_shared<Block>();
      block->fill(std::byte{0});
    } else if (block.use_count() > 1) {
      block = std::make_shared<Block>(*block);
    }
    std::memcpy(block->data() + start, bytes.data(), count);
    bytes = bytes.subspan(count);
    offset_bytes += count;
  }
}

void SparseContent::Punch(Extent range) {
  const std::uint64_t end = std::min(range.end_bytes(), AlignUp(size_bytes_, kBlockBytes));
  for (std::uint64_t offset = range.offset_bytes; offset < end;) {
    const std::uint64_t start = offset % kBlockBytes;
    const std::uint64_t count = std::min(kBlockBytes - start, end - offset);
    const auto block = blocks_.find(offset / kBlockBytes);
    if (block != blocks_.end() && count == kBlockBytes) {
      blocks_.erase(block);
    } else if (block != blocks_.end()) {
      block->second = std::make_shared<Block>(*block->second);
      std::memset(block->second->data() + start, 0, count);
    }
    offset += count;
  }
}

void SparseContent::Resize(std::uint64_t size_bytes) {
  if (size_bytes < size_bytes_) {
    Punch({size_bytes, AlignUp(size_bytes_, kBlockBytes) - size_bytes});
  }
  size_bytes_ = size_bytes;
}

std::vector<Extent> SparseContent::DataExtents(Extent range) const {
  const std::uint64_t end = std::min(range.end_bytes(), size_bytes_);
  std::vector<Extent> extents;
  for (auto block = blocks_.lower_bound(range.offset_bytes / kBlockBytes);
       block != blocks_.end() && block->first * kBlockBytes < end; ++block) {
    const std::uint64_t start = std::max(range.offset_bytes, block->first * kBlockBytes);
    AppendExtent(extents, {start, std::min(end, (block->first + 1) * kBlockBytes) - start});
  }
  return extents;
}

void PendingChange::ApplyTo(SparseContent& content) const {
  if (kind == Kind::kWrite) content.Write(range.offset_bytes, bytes);
  if (kind == Kind::kPunch) content.Punch(range);
  if (kind == Kind::kResize) content.Resize(range.offset_bytes);
}

FileStamp Inode::Stamp() const {
  FileStamp stamp;
  stamp.inode = number;
  stamp.size_bytes = visible.size_bytes();
  stamp.modified_ns = static_cast<std::int64_t>(changes);
  stamp.changed_ns = stamp.modified_ns;
  stamp.type = is_directory ? FileType::kDirectory : FileType::kRegular;
  stamp.allocated_bytes = visible.allocated_bytes();
  return stamp;
}

bool PowerLossFileSystem::PendingName::Concerns(const std::string& directory) const {
  return (!from.empty() && ParentOf(from) == directory) ||
         (!to.empty() && ParentOf(to) == directory);
}

void PowerLossFileSystem::PendingName::ApplyTo(Names& names) const {
  if (!from.empty()) names.erase(from);
  if (!to.empty()) names[to] = inode;
}

PowerLossFileSystem::PowerLossFileSystem() {
  visible_["/"] = MakeInode(true);
  durable_ = visible_;
}

void PowerLossFileSystem::LosePower(std::uint64_t seed) {
  const std::lock_guard lock(mutex_);
  std::mt19937_64 random(seed);
  for (const PendingName& change : pending_) {
    if (seed != 0 && random() % 2 == 0) change.ApplyTo(durable_);
  }
  pending_.clear();
  std::erase_if(durable_, [&](const auto& entry) {  // parents sort before what is in them
    return entry.first != "/" && !durable_.contains(ParentOf(entry.first));
  });
  visible_ = durable_;
  for (auto& [path, inode] : visible_) {
    for (const PendingChange& change : inode->pending) {
      if (seed != 0) ApplyTorn(change, inode->durable, random);
    }
    inode->pending.clear();
    inode->visible = inode->durable;
  }
}

void PowerLossFileSystem::FailSync(std::uint64_t nth) {
  const std::lock_guard lock(mutex_);
  syncs_until_failure_ = nth;
  sync_failed_ = false;
}

Status PowerLossFileSystem::SyncInode(Inode& inode) {
  if (syncs_until_failure_ > 0 && --syncs_until_failure_ == 0) {
    sync_failed_ = true;
    inode.pending.clear();
    return Refuse(EIO, "injected fault: sync");
  }
  for (const PendingChange& change : inode.pending) change.ApplyTo(inode.durable);
  inode.pending.clear();
  return {};
}

std::shared_ptr<Inode> PowerLossFileSystem::Find(const std::string& path) const {
  const auto found = visible_.find(path);
  return found == visible_.end() ? nullptr : found->second;
}

std::shared_ptr<Inode> PowerLossFileSystem::MakeInode(bool is_directory) {
  auto inode = std::make_shared<Inode>();
  inode->number = next_inode_++;
  inode->is_directory = is_directory;
  return inode;
}

void PowerLossFileSystem::Change(PendingName change) {
  change.ApplyTo(visible_);
  pending_.push_back(std::move(change));
}

Result<std::unique_ptr<File>> PowerLossFileSystem::Open(const std::string& path,
                                                        OpenOptions options) {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<Inode> inode = Find(path);
  if (inode != nullptr && options.mode == OpenMode::kCreate) return Refuse(EEXIST, path);
  if (inode != nullptr && inode->is_directory) return Refuse(EISDIR, path);
  if (inode == nullptr) {
    if (options.mode == OpenMode::kRead || options.mode == OpenMode::kWrite) {
      return Refuse(ENOENT, path);
    }
    if (Find(ParentOf(path)) == nullptr) return Refuse(ENOENT, path);
    inode = MakeInode(false);
    Change({{}, path, inode});
  }
  return std::unique_ptr<File>(std::make_unique<MemoryFile>(*this, path, std::move(inode)));
}

Result<FileStamp> PowerLossFileSystem::Stat(const std::string& path) {
  const std::lock_guard lock(mutex_);
  const auto inode = Find(path);
  if (inode == nullptr) return Refuse(ENOENT, path);
  return inode->Stamp();
}

Result<std::vector<DirectoryEntry>> PowerLossFileSystem::List(const std::string& folder) {
  const std::lock_guard lock(mutex_);
  const std::string path = folder.substr(0, folder.find_last_not_of('/') + 1);
  if (Find(path) == nullptr) return Refuse(ENOENT, path);
  std::vector<DirectoryEntry> entries;
  for (const auto& [name, inode] : visible_) {
    if (name == "/" || ParentOf(name) != path) continue;
    entries.push_back({BaseName(name), inode->is_directory, inode->number});
  }
  return entries;
}

Status PowerLossFileSystem::CreateDirectories(const std::string& path) {
  {
    const std::lock_guard lock(mutex_);
    const auto inode = Find(path);
    if (inode != nullptr) return inode->is_directory ? Status{} : Status(Refuse(EEXIST, path));
  }
  ASR_CHECK(CreateDirectories(ParentOf(path)));
  {
    const std::lock_guard lock(mutex_);
    if (Find(path) == nullptr) Change({{}, path, MakeInode(true)});
  }
  return SyncDirectory(ParentOf(path));
}

Status PowerLossFileSystem::Rename(const std::string& from, const std::string& to) {
  const std::lock_guard lock(mutex_);
  const auto inode = Find(from);
  if (inode == nullptr || Find(ParentOf(to)) == nullptr) return Refuse(ENOENT, from);
  if (inode->is_directory) return Refuse(EISDIR, from);
  Change({from, to, inode});
  return {};
}

Status PowerLossFileSystem::RenameNoReplace(const std::string& from, const std::string& to) {
  {
    const std::lock_guard lock(mutex_);
    if (Find(to) != nullptr) return Refuse(EEXIST, to);
  }
  return Rename(from, to);
}

Status PowerLossFileSystem::RemoveFile(const std::string& path) {
  const std::lock_guard lock(mutex_);
  const auto inode = Find(path);
  if (inode == nullptr) return Refuse(ENOENT, path);
  if (inode->is_directory) return Refuse(EISDIR, path);
  Change({path, {}, nullptr});
  return {};
}

bool PowerLossFileSystem::IsEmptyDirectory(const std::string& path) const {
  return std::none_of(visible_.begin(), visible_.end(), [&](const auto& entry) {
    return entry.first != "/" && ParentOf(entry.first) == path;
  });
}

Status PowerLossFileSystem::RemoveEmptyDirectory(const std::string& path) {
  const std::lock_guard lock(mutex_);
  if (Find(path) == nullptr) return Refuse(ENOENT, path);
  if (!IsEmptyDirectory(path)) return Refuse(ENOTEMPTY, path);
  Change({path, {}, nullptr});
  return {};
}

Status PowerLossFileSystem::RemoveTree(const std::string& path) {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> doomed;
  for (const auto& [name, inode] : visible_) {
    if (name == path || name.starts_with(path + "/")) doomed.push_back(name);
  }
  std::reverse(doomed.begin(), doomed.end());  // what is in a directory before it
  for (const std::string& name : doomed) Change({name, {}, nullptr});
  return {};
}

Status PowerLossFileSystem::SyncDirectory(const std::string& path) {
  const std::lock_guard lock(mutex_);
  if (Find(path) == nullptr) return Refuse(ENOENT, path);
  for (const PendingName& change : pending_) {
    if (change.Concerns(path)) change.ApplyTo(durable_);
  }
  std::erase_if(pending_, [&](const PendingName& change) { return change.Concerns(path); });
  return {};
}

Result<std::unique_ptr<FileLock>> PowerLossFileSystem::Lock(const std::string& path) {
  const std::lock_guard lock(mutex_);
  if (Find(path) == nullptr) Change({{}, path, MakeInode(false)});
  if (!locks_->emplace(path, true).second) {
    return Fail(MakeError(ErrorKind::kBusy, ErrorCode::kLocked, path + " is locked").Retryable());
  }
  return std::unique_ptr<FileLock>(std::make_unique<MemoryLock>(locks_, path));
}

Result<std::string> PowerLossFileSystem::Canonical(const std::string& path) {
  ASR_TRY([[maybe_unused]] const FileStamp stamp, Stat(path));
  return path;
}

}  // namespace asr::testing
