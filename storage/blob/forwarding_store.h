// Stores and blobs that pass everything on to another one: bases of those that change a little.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "storage/blob/blob_store.h"

namespace asr {

class ForwardingPageBlob : public PageBlob {
 public:
  explicit ForwardingPageBlob(std::unique_ptr<PageBlob> base) : base_(std::move(base)) {}

  std::uint64_t size_bytes() const override { return base_->size_bytes(); }
  Status Read(std::uint64_t offset_bytes, MutableByteSpan out) override {
    return base_->Read(offset_bytes, out);
  }
  Result<std::vector<Extent>> OwnExtents(Extent range) override { return base_->OwnExtents(range); }
  Result<std::vector<Extent>> DataExtents(Extent range) override {
    return base_->DataExtents(range);
  }
  Status Write(std::uint64_t offset_bytes, ByteSpan bytes) override {
    return base_->Write(offset_bytes, bytes);
  }
  Result<bool> CopyFrom(const SnapshotId& source, Extent range, std::uint64_t crc64) override {
    return base_->CopyFrom(source, range, crc64);
  }
  Result<bool> CopyFromOrigin(CopyOrigin& origin, Extent range, std::uint64_t crc64) override {
    return base_->CopyFromOrigin(origin, range, crc64);
  }
  Status Clear(Extent range) override { return base_->Clear(range); }
  Status Preserve(const std::vector<Extent>& ranges) override { return base_->Preserve(ranges); }
  Status KeepInstead(std::uint64_t offset_bytes, ByteSpan bytes) override {
    return base_->KeepInstead(offset_bytes, bytes);
  }
  Status Resize(std::uint64_t size_bytes) override { return base_->Resize(size_bytes); }
  Status Flush() override { return base_->Flush(); }
  std::string opened_content_name() const override { return base_->opened_content_name(); }
  Result<std::string> ContentName() override { return base_->ContentName(); }
  Status CreateSnapshot(const SnapshotId& id) override { return base_->CreateSnapshot(id); }
  Result<std::vector<SnapshotId>> ListSnapshots() override { return base_->ListSnapshots(); }
  Status PrepareDelete(const SnapshotId& id) override { return base_->PrepareDelete(id); }
  Status DeleteSnapshot(const SnapshotId& id) override { return base_->DeleteSnapshot(id); }

 protected:
  [[nodiscard]] PageBlob& base() { return *base_; }

 private:
  std::unique_ptr<PageBlob> base_;
};

class ForwardingStore : public BlobStore {
 public:
  explicit ForwardingStore(std::shared_ptr<BlobStore> base) : base_(std::move(base)) {}

  std::string Description() const override { return base_->Description(); }
  bool ShowsOnlyDurable() const override { return base_->ShowsOnlyDurable(); }
  std::optional<Timestamp> ServerTime() const override { return base_->ServerTime(); }
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
  Result<std::unique_ptr<BlobView>> View(const std::string& prefix, ViewDepth depth) override {
    return base_->View(prefix, depth);
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
    return base_->OpenPageBlobReader(name, snapshot);
  }
  Result<std::vector<SnapshotId>> ListSnapshots(const std::string& name) override {
    return base_->ListSnapshots(name);
  }
  Result<std::vector<BlobRemains>> ListRemains(const std::string& prefix) override {
    return base_->ListRemains(prefix);
  }
  Result<std::unique_ptr<Lease>> AcquireLease(const std::string& name) override {
    return base_->AcquireLease(name);
  }
  Status RemoveUnfinished(const std::string& prefix, std::size_t levels) override {
    return base_->RemoveUnfinished(prefix, levels);
  }
  Status RemovePlace() override { return base_->RemovePlace(); }

 protected:
  [[nodiscard]] BlobStore& base() { return *base_; }

 private:
  std::shared_ptr<BlobStore> base_;
};

}  // namespace asr
