#include "tests/support/fault_file_system.h"

#include <cerrno>
#include <utility>

#include <fmt/format.h>

namespace asr::testing {
namespace {

class FaultFile : public File {
 public:
  FaultFile(FaultFileSystem& faults, std::unique_ptr<File> file)
      : faults_(faults), file_(std::move(file)) {}

  Status ReadAt(std::uint64_t offset_bytes, MutableByteSpan out) override {
    ASR_CHECK(faults_.Count("read"));
    return file_->ReadAt(offset_bytes, out);
  }
  Result<std::size_t> ReadUpTo(std::uint64_t offset_bytes, MutableByteSpan out) override {
    ASR_CHECK(faults_.Count("read"));
    return file_->ReadUpTo(offset_bytes, out);
  }
  Status WriteAt(std::uint64_t offset_bytes, ByteSpan bytes) override {
    const bool was_dead = faults_.is_dead();
    Status status = faults_.Count("write");
    if (!status && faults_.is_dead() && !was_dead) {
      ASR_CHECK(file_->WriteAt(offset_bytes, bytes.first(bytes.size() / 2)));
    }
    if (!status) return status;
    return file_->WriteAt(offset_bytes, bytes);
  }
  Status Sync() override {
    ASR_CHECK(faults_.Count("sync"));
    return file_->Sync();
  }
  Status Resize(std::uint64_t size_bytes) override {
    ASR_CHECK(faults_.Count("resize"));
    return file_->Resize(size_bytes);
  }
  Status PunchHole(Extent range) override {
    ASR_CHECK(faults_.Count("punch a hole"));
    return file_->PunchHole(range);
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
  FaultFileSystem& faults_;
  std::unique_ptr<File> file_;
};

}  // namespace

void FaultFileSystem::Arm(std::uint64_t call, int errno_value, bool dies) {
  calls_ = 0;
  is_dead_ = false;
  has_failed_ = false;
  errno_value_ = errno_value;
  dies_ = dies;
  fail_at_ = call;
}

Status FaultFileSystem::Count(const char* what) {
  const std::uint64_t call = ++calls_;
  if (before_call) before_call(call);
  if (call == fail_at_) {
    has_failed_ = true;
    if (dies_) is_dead_ = true;
    return Fail(ErrnoError(errno_value_, fmt::format("injected fault: {} (call {})", what, call)));
  }
  if (is_dead_) return Fail(ErrnoError(EIO, fmt::format("{} after death", what)));
  return {};
}

Result<std::unique_ptr<File>> FaultFileSystem::Open(const std::string& path, OpenOptions options) {
  ASR_CHECK(Count("open"));
  ASR_TRY(auto file, base_.Open(path, options));
  return std::unique_ptr<File>(std::make_unique<FaultFile>(*this, std::move(file)));
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
  ASR_CHECK(Count("mkdir"));
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
