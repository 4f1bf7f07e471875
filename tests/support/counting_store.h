// A store that counts the bytes that are read of its page blobs.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "storage/blob/forwarding_store.h"

namespace asr::testing {

class CountingStore : public ForwardingStore {
 public:
  using ForwardingStore::ForwardingStore;

  std::atomic<std::uint64_t> bytes_read = 0;

  Result<std::unique_ptr<PageBlobReader>> OpenPageBlobReader(
      const std::string& name, const std::optional<SnapshotId>& snapshot) override {
    ASR_TRY(auto reader, base().OpenPageBlobReader(name, snapshot));
    return std::unique_ptr<PageBlobReader>(
        std::make_unique<CountingReader>(*this, std::move(reader)));
  }

 private:
  class CountingReader : public PageBlobReader {
   public:
    CountingReader(CountingStore& store, std::unique_ptr<PageBlobReader> base)
        : store_(store), base_(std::move(base)) {}
    std::uint64_t size_bytes() const override { return base_->size_bytes(); }
    Status Read(std::uint64_t offset_bytes, MutableByteSpan out) override {
      store_.bytes_read += out.size();
      return base_->Read(offset_bytes, out);
    }
    Result<std::vector<Extent>> OwnExtents(Extent range) override {
      return base_->OwnExtents(range);
    }
    Result<std::vector<Extent>> DataExtents(Extent range) override {
      return base_->DataExtents(range);
    }

   private:
    CountingStore& store_;
    std::unique_ptr<PageBlobReader> base_;
  };
};

}  // namespace asr::testing
