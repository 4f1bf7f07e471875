// A page blob and its snapshots as plain vectors: what every store must agree with.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <vector>

#include "storage/blob/blob_store.h"

namespace asr::testing {

using ByteVector = std::vector<std::byte>;

class PageBlobModel {
 public:
  explicit PageBlobModel(std::uint64_t size_bytes) : live_(size_bytes) {}

  void Write(std::uint64_t offset_bytes, ByteSpan bytes) {
    std::copy(bytes.begin(), bytes.end(),
              live_.begin() + static_cast<std::ptrdiff_t>(offset_bytes));
  }
  void Clear(Extent range) { Write(range.offset_bytes, ByteVector(range.length_bytes)); }
  void Resize(std::uint64_t size_bytes) { live_.resize(size_bytes); }
  void CreateSnapshot(const SnapshotId& id) { snapshots_[id] = live_; }
  void DeleteSnapshot(const SnapshotId& id) { snapshots_.erase(id); }

  [[nodiscard]] const ByteVector& live() const { return live_; }
  [[nodiscard]] const std::map<SnapshotId, ByteVector>& snapshots() const { return snapshots_; }

 private:
  ByteVector live_;
  std::map<SnapshotId, ByteVector> snapshots_;
};

// All bytes, in pieces of `piece_bytes`.
[[nodiscard]] Result<ByteVector> ReadAll(PageBlobReader& reader,
                                         std::uint64_t piece_bytes = 1 << 20);

// The snapshot (or the live blob) `name` reads as `expected`; says where they differ.
[[nodiscard]] ::testing::AssertionResult ReadsAs(BlobStore& store, const std::string& name,
                                                 const std::optional<SnapshotId>& snapshot,
                                                 const ByteVector& expected);

// The blob and each of its snapshots agree with the model, and there are no other snapshots.
[[nodiscard]] ::testing::AssertionResult AgreesWith(BlobStore& store, const std::string& name,
                                                    const PageBlobModel& model);

[[nodiscard]] ByteVector RandomBytes(std::mt19937_64& random, std::size_t count);

// For ASSERT_TRUE / EXPECT_TRUE: an error's line is the failure's message.
template <class T>
[[nodiscard]] ::testing::AssertionResult IsOk(const Result<T>& result) {
  if (result) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << result.error().CodeText() << ' ' << result.error().Line();
}

template <class T>
[[nodiscard]] ::testing::AssertionResult FailsWith(const Result<T>& result, ErrorCode code) {
  if (result) return ::testing::AssertionFailure() << "succeeded";
  if (result.error().code == code) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << result.error().CodeText() << ' ' << result.error().Line();
}

}  // namespace asr::testing
