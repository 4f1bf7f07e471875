// A store that counts the bytes that are read of its page blobs.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "storage/blob/blob_store.h"

namespace asr::testing {

class CountingStore : public BlobStore {
 public:
  explicit CountingStore(std::unique_ptr<BlobStore> base) : base_(std::move(base)) {}

  std::atomic<std::uint64_t> bytes_read = 0;

  std::string Description() const override { return base_->Description(); }
  Result<std::string> Get(const std::string& name) override { return base_->Get(name); }
  Status Put(const std::string& name, ByteSpan bytes, PutCondition condition) override {
    return base_->Put(name, bytes, condition);
  }
  Status Delete(const std::string& name) override { return base_->Delete(name); }
  Result<std::vector<BlobInfo>> List(const std::string& prefix) override {
    return base_->List(prefix);
  }
  Result<std::vector<std::string>> ListNames(const std::string& prefix) override {
    return base_->ListNames(prefix);
  }
  Result<std::unique_ptr<PageBlob>> CreatePageBlob(const std::string& name,
                                                   std::uint64_t size_bytes) override {
    return base_->CreatePageBlob(name, size_bytes);
  }
  Result<std::unique_ptr<PageBlob>> OpenPageBlob(const std::string& name) override {
    return base_->OpenPageBlob(name);
  }
  Result<std::unique_ptr<PageBlobReader>> OpenPageBlobReader(
      const std::string& name, const std::optional<SnapshotId>& snapshot) override {
    ASR_TRY(auto reader, base_->OpenPageBlobReader(name, snapshot));
    return std::unique_ptr<PageBlobReader>(
        std::make_unique<CountingReader>(*this, std::move(reader)));
  }
  Result<std::vector<SnapshotId>> ListSnapshots(const std::string& name) override {
    return base_->ListSnapshots(name);
  }
  Result<std::vector<BlobRemains>> ListRemains(const std::string& prefix) override {
    return base_->ListRemains(prefix);
  }
  Status RemoveUnfinished(const std::string& prefix, std::size_t levels) override {
    return base_->RemoveUnfinished(prefix, levels);
  }
  Status RemovePlace() override { return base_->RemovePlace(); }
  Result<std::unique_ptr<Lease>> AcquireLease(const std::string& name) override {
    return base_->AcquireLease(name);
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

  std::unique_ptr<BlobStore> base_;
};

}  // namespace asr::testing
