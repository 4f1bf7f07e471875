// Writing, cutting and damaging image files in tests.
#pragma once

#include <cstdint>
#include <string>

#include "storage/base/bytes.h"
#include "storage/base/result.h"

namespace asr::testing {

// For steps that only prepare a test: prints the error and aborts.
void MustSucceed(const Status& status);

// A new sparse file. Any failure aborts the test program.
class ImageFileMaker {
 public:
  explicit ImageFileMaker(std::string path);
  void Put(std::uint64_t offset_bytes, ByteSpan bytes) const;
  void Resize(std::uint64_t size_bytes) const;

 private:
  std::string path_;
};

void OverwriteFile(const std::string& path, std::uint64_t offset_bytes, ByteSpan bytes);
void ResizeFile(const std::string& path, std::uint64_t size_bytes);
[[nodiscard]] std::uint64_t FileSize(const std::string& path);

}  // namespace asr::testing
