#include "tests/support/fault_file_system.h"

#include <cerrno>
#include <utility>

#include <fmt/format.h>

namespace asr::testing {
namespace {

class FaultFile : public File {
 public:
  FaultFile(FaultFileSystem& faults, std::unique_ptr<File> file, std::string path)
      : faults_(faults), file_(std::move(file)), path_(std::move(path)) {}

  Status ReadAt(std::uint64_t offset_bytes, MutableByteSpan out) override {
    ASR_CHECK(faults_.Count("read"));
    if (faults_.before_read) ASR_CHECK(faults_.before_read(path_, {offset_bytes, out.size()}));
    ASR_CHECK(file_->ReadAt(offset_bytes, out));
    if (faults_.after_read) faults_.after_read(path_, offset_bytes, out);
    return {};
  }
  Result<std::size_t> ReadUpTo(std::uint64_t offset_bytes, MutableByteSpan out) override {
    ASR_CHECK(faults_.Count("read"));
    if (faults_.before_read) ASR_CHECK(faults_.before_read(path_, {offset_bytes, out.size()}));
    ASR_TRY(const std::size_t count, file_->ReadUpTo(offset_bytes, out));
    if (faults_.after_read) faults_.after_read(path_, offset_bytes, out.first(count));
    return count;
  }
  Status WriteAt(std::uint64_t offset_bytes, ByteSpan bytes) override {
    const bool was_dead = faults_.is_dead();
    Status status = IsFree({offset_bytes, bytes.size()}) ? faults_.Count("write")
                                                         : faults_.CountTaking("write", path_);
    if (!status && faults_.is_dead() && !was_dead) {
      ASR_CHECK(file_->WriteAt(offset_bytes, bytes.first(bytes.size() / 2)));
    }
    if (!status) return status;
    ASR_CHECK(file_->WriteAt(offset_bytes, bytes));
    if (faults_.after_write) faults_.after_write(path_, {offset_bytes, bytes.size()});
    return {};
  }
  Status Sync() override {
    ASR_CHECK(faults_.Count("sync"));
    return file_->Sync();
  }
  Status Resize(std::uint64_t size_bytes) override {
    ASR_CHECK(faults_.CountTaking("resize", path_));
    return file_->Resize(size_bytes);
  }
  Status PunchHole(Extent range) override {
    ASR_CHECK(faults_.Count("punch a hole"));
    ASR_CHECK(file_->PunchHole(range));
    if (faults_.after_write) faults_.after_write(path_, range);
    return {};
  }
  Result<FileStamp> Stat() override {
    ASR_CHECK(faults_.Count("stat"));
    return file_->Stat();
  }
  Result<std::vector<Extent>> DataExtents(Extent range) override {
    ASR_CHECK(faults_.Count("seek"));
    return file_->DataExtents(range);
  }

 private:
  [[nodiscard]] bool IsFree(Extent range) const {
    if (!faults_.overwrites_in_place) return false;
    const auto data = file_->DataExtents(range);
    return data && data->size() == 1 && data->front() == range;
  }

  FaultFileSystem& faults_;
  std::unique_ptr<File> file_;
  std::string path_;
};

}  // namespace

void FaultFileSystem::Arm(std::uint64_t call, int errno_value, bool dies) {
  calls_ = 0;
  is_dead_ = false;
  has_failed_ = false;
  is_full_ = false;
  full_folder_.clear();
  errno_value_ = errno_value;
  dies_ = dies;
  fail_at_ = call;
}

void FaultFileSystem::FillAt(std::uint64_t call, const std::string& folder) {
  Arm(call, ENOSPC, false);
  full_folder_ = folder;
}

Status FaultFileSystem::Count(const char* what) {
  const std::uint64_t call = ++calls_;
  if (before_call) before_call(call);
  if (call == fail_at_ && !full_folder_.empty()) is_full_ = true;
  if (call == fail_at_ && full_folder_.empty()) {
    has_failed_ = true;
    if (dies_) is_dead_ = true;
    return Fail(ErrnoError(errno_value_, fmt::format("injected fault: {} (call {})", what, call)));
  }
  if (is_dead_) return Fail(ErrnoError(EIO, fmt::format("{} after death", what)));
  return {};
}

Status FaultFileSystem::CountTaking(const char* what, const std::string& path) {
  ASR_CHECK(Count(what));
  if (!is_full_ || !path.starts_with(full_folder_)) return {};
  has_failed_ = true;
  return Fail(ErrnoError(ENOSPC, fmt::format("injected fault: {} {}", what, path)));
}

Result<std::unique_ptr<File>> FaultFileSystem::Open(const std::string& path, OpenOptions options) {
  const bool makes = options.mode == OpenMode::kCreate || options.mode == OpenMode::kOpenOrCreate;
  ASR_CHECK(makes ? CountTaking("create", path) : Count("open"));
  ASR_TRY(auto file, base_.Open(path, options));
  return std::unique_ptr<File>(std::make_unique<FaultFile>(*this, std::move(file), path));
}

Result<FileStamp> FaultFileSystem::Stat(const std::string& path) {
  ASR_CHECK(Count("stat"));
  return base_.Stat(path);
}

Result<std::vector<DirectoryEntry>> FaultFileSystem::List(const std::string& path) {
  ASR_CHECK(Count("list"));
  return base_.List(path);
}

Status FaultFileSystem::CreateDirectories(const std::string& path) {
  // What is there takes no place.
  ASR_CHECK(base_.Stat(path) ? Count("mkdir") : CountTaking("mkdir", path));
  return base_.CreateDirectories(path);
}

Status FaultFileSystem::Rename(const std::string& from, const std::string& to) {
  ASR_CHECK(Count("rename"));
  return base_.Rename(from, to);
}

Status FaultFileSystem::RenameNoReplace(const std::string& from, const std::string& to) {
  ASR_CHECK(Count("rename"));
  return base_.RenameNoReplace(from, to);
}

Status FaultFileSystem::RemoveFile(const std::string& path) {
  ASR_CHECK(Count("unlink"));
  return base_.RemoveFile(path);
}

Status FaultFileSystem::RemoveEmptyDirectory(const std::string& path) {
  ASR_CHECK(Count("rmdir"));
  return base_.RemoveEmptyDirectory(path);
}

Status FaultFileSystem::RemoveTree(const std::string& path) {
  ASR_CHECK(Count("remove tree"));
  return base_.RemoveTree(path);
}

Status FaultFileSystem::SyncDirectory(const std::string& path) {
  ASR_CHECK(Count("sync directory"));
  return base_.SyncDirectory(path);
}

Result<std::unique_ptr<FileLock>> FaultFileSystem::Lock(const std::string& path) {
  ASR_CHECK(Count("lock"));
  return base_.Lock(path);
}

Result<std::uint64_t> FaultFileSystem::FreeBytes(const std::string& path) {
  ASR_CHECK(Count("statvfs"));
  return base_.FreeBytes(path);
}

Result<std::string> FaultFileSystem::Canonical(const std::string& path) {
  ASR_CHECK(Count("realpath"));
  return base_.Canonical(path);
}

}  // namespace asr::testing
