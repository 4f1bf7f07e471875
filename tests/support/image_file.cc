#include "tests/support/image_file.h"

#include <cstdio>
#include <cstdlib>

#include "storage/fs/file_system.h"

namespace asr::testing {
namespace {

std::unique_ptr<File> OpenFile(const std::string& path, OpenMode mode) {
  auto file = PosixFileSystem().Open(path, {.mode = mode});
  if (!file) MustSucceed(Fail(file.error()));
  return *std::move(file);
}

}  // namespace

void MustSucceed(const Status& status) {
  if (status) return;
  std::fprintf(stderr, "%s\n", status.error().Line().c_str());
  std::abort();
}

ImageFileMaker::ImageFileMaker(std::string path) : path_(std::move(path)) {
  static_cast<void>(OpenFile(path_, OpenMode::kCreate));
}

void ImageFileMaker::Put(std::uint64_t offset_bytes, ByteSpan bytes) const {
  OverwriteFile(path_, offset_bytes, bytes);
}

void ImageFileMaker::Resize(std::uint64_t size_bytes) const { ResizeFile(path_, size_bytes); }

void OverwriteFile(const std::string& path, std::uint64_t offset_bytes, ByteSpan bytes) {
  MustSucceed(OpenFile(path, OpenMode::kWrite)->WriteAt(offset_bytes, bytes));
}

void ResizeFile(const std::string& path, std::uint64_t size_bytes) {
  MustSucceed(OpenFile(path, OpenMode::kWrite)->Resize(size_bytes));
}

std::uint64_t FileSize(const std::string& path) {
  const auto stamp = PosixFileSystem().Stat(path);
  if (!stamp) MustSucceed(Fail(stamp.error()));
  return stamp->size_bytes;
}

}  // namespace asr::testing
