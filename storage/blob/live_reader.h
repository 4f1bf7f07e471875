// Reads a directory store's page blob as it is at each read.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "storage/blob/blob_name.h"
#include "storage/blob/blob_store.h"
#include "storage/fs/file_system.h"

namespace asr {

class LiveReader : public PageBlobReader {
 public:
  // `size_bytes` is that of the file now.
  LiveReader(std::string name, std::unique_ptr<File> file, std::uint64_t size_bytes)
      : name_(std::move(name)), file_(std::move(file)), last_size_bytes_(size_bytes) {}

  // Asked each time: the writer may resize the blob. The last one known, where it cannot be asked.
  [[nodiscard]] std::uint64_t size_bytes() const override {
    const auto stamp = file_->Stat();
    if (stamp) last_size_bytes_ = stamp->size_bytes;
    return last_size_bytes_;
  }

  [[nodiscard]] Status Read(std::uint64_t offset_bytes, MutableByteSpan out) override {
    ASR_TRY(const FileStamp stamp, file_->Stat());
    ASR_CHECK(CheckInside(name_, {offset_bytes, out.size()}, stamp.size_bytes));
    return file_->ReadAt(offset_bytes, out);
  }

  [[nodiscard]] Result<std::vector<Extent>> DataExtents(Extent range) override {
    return file_->DataExtents(range);
  }

 private:
  std::string name_;
  std::unique_ptr<File> file_;
  mutable std::atomic<std::uint64_t> last_size_bytes_;
};

}  // namespace asr
