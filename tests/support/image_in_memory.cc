#include "tests/support/image_in_memory.h"

#include <algorithm>

#include "tests/support/image_file.h"

namespace asr::testing {
namespace {

tl::unexpected<Error> NotInTests() {
  return Fail(ErrorKind::kInternal, ErrorCode::kInternal, "an image in memory is only read");
}

}  // namespace

class ImageInMemory::OpenedFile : public File {
 public:
  explicit OpenedFile(ImageInMemory& image) : image_(image) {}

  Status ReadAt(std::uint64_t offset_bytes, MutableByteSpan out) override {
    ASR_TRY(const std::size_t count, ReadUpTo(offset_bytes, out));
    if (count == out.size()) return {};
    return Fail(ErrorKind::kIo, ErrorCode::kIo, "the file ends early");
  }
  Result<std::size_t> ReadUpTo(std::uint64_t offset_bytes, MutableByteSpan out) override {
    if (offset_bytes >= image_.bytes_.size()) return std::size_t{0};
    const std::size_t count =
        std::min<std::size_t>(out.size(), image_.bytes_.size() - offset_bytes);
    std::ranges::copy(ByteSpan(image_.bytes_).subspan(offset_bytes, count), out.begin());
    image_.bytes_read_ += count;
    return count;
  }
  Result<FileStamp> Stat() override { return image_.Stat(image_.path_); }
  Result<std::vector<Extent>> DataExtents(Extent range) override {
    constexpr std::uint64_t kPageBytes = 4096;
    const std::uint64_t end = std::min<std::uint64_t>(range.end_bytes(), image_.bytes_.size());
    std::vector<Extent> extents;
    for (std::uint64_t offset = range.offset_bytes; offset < end;) {
      const std::uint64_t stop = std::min(AlignDown(offset, kPageBytes) + kPageBytes, end);
      const Extent page{offset, stop - offset};
      if (!IsZero(ByteSpan(image_.bytes_).subspan(offset, page.length_bytes))) {
        AppendExtent(extents, page);
      }
      offset = stop;
    }
    return extents;
  }
  Status WriteAt(std::uint64_t, ByteSpan) override { return NotInTests(); }
  Status Sync() override { return NotInTests(); }
  Status Resize(std::uint64_t) override { return NotInTests(); }
  Status PunchHole(Extent) override { return NotInTests(); }

 private:
  ImageInMemory& image_;
};

ImageInMemory::ImageInMemory(std::string path) : path_(std::move(path)) {
  const auto file = PosixFileSystem().Open(path_, {}).value();
  bytes_.resize(file->Stat().value().size_bytes);
  MustSucceed(file->ReadAt(0, bytes_));
}

bool ImageInMemory::IsElsewhere(const std::string& path) const {
  return !path_.empty() && path != path_;
}

void ImageInMemory::AddBeside(const std::string& path, std::vector<std::byte> bytes) {
  beside_[path] = std::make_unique<ImageInMemory>(std::move(bytes));
}

Result<std::unique_ptr<File>> ImageInMemory::Open(const std::string& path, OpenOptions options) {
  if (const auto other = beside_.find(path); other != beside_.end()) {
    return other->second->Open(path, options);
  }
  if (IsElsewhere(path)) return PosixFileSystem().Open(path, options);
  return std::make_unique<OpenedFile>(*this);
}

Result<FileStamp> ImageInMemory::Stat(const std::string& path) {
  if (IsElsewhere(path)) return PosixFileSystem().Stat(path);
  if (const auto other = beside_.find(path); other != beside_.end()) {
    return other->second->Stat(path);
  }
  FileStamp stamp;
  stamp.inode = reinterpret_cast<std::uintptr_t>(this);
  stamp.size_bytes = bytes_.size();
  return stamp;
}

Result<std::vector<DirectoryEntry>> ImageInMemory::List(const std::string& path) {
  if (path_.empty()) return NotInTests();
  return PosixFileSystem().List(path);
}
Status ImageInMemory::CreateDirectories(const std::string&) { return NotInTests(); }
Status ImageInMemory::Rename(const std::string&, const std::string&) { return NotInTests(); }
Status ImageInMemory::RenameNoReplace(const std::string&, const std::string&) {
  return NotInTests();
}
Status ImageInMemory::RemoveEmptyDirectory(const std::string&) { return NotInTests(); }
Status ImageInMemory::RemoveFile(const std::string&) { return NotInTests(); }
Status ImageInMemory::RemoveTree(const std::string&) { return NotInTests(); }
Status ImageInMemory::SyncDirectory(const std::string&) { return NotInTests(); }
Result<std::unique_ptr<FileLock>> ImageInMemory::Lock(const std::string&) { return NotInTests(); }
Result<std::uint64_t> ImageInMemory::FreeBytes(const std::string&) { return NotInTests(); }
Result<std::string> ImageInMemory::Canonical(const std::string& path) {
  if (path_.empty()) return path;
  return PosixFileSystem().Canonical(path);
}

}  // namespace asr::testing
