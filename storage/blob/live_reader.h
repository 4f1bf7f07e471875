// Reads a directory store's page blob as it is at each read.
#pragma once

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
  LiveReader(std::string name, std::unique_ptr<File> file)
      : name_(std::move(name)), file_(std::move(file)) {}

  // Asked each time: the writer may resize the blob.
  [[nodiscard]] std::uint64_t size_bytes() const override {
    const auto stamp = file_->Stat();
    return stamp ? stamp->size_bytes : 0;
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
};

}  // namespace asr
