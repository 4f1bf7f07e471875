// Blocks of a blob that were read last, so that many small reads beside each other cost one
// request.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <vector>

#include "storage/base/bytes.h"
#include "storage/base/result.h"

namespace asr {

// Right for a blob that nobody else writes: a snapshot, or the live blob of the lease's holder, who
// tells of every change. Thread-safe; takes at most kBlocks x kBlockBytes.
class BlockCache {
 public:
  static constexpr std::uint64_t kBlockBytes = 64 * kKiB;
  static constexpr std::size_t kBlocks = 32;
  using Fetch = std::function<Status(std::uint64_t offset_bytes, MutableByteSpan out)>;

  explicit BlockCache(std::uint64_t blob_bytes) : blob_bytes_(blob_bytes) {}

  // Reads what is not there by `fetch`, whole blocks. Inside the blob.
  [[nodiscard]] Status Read(std::uint64_t offset_bytes, MutableByteSpan out, const Fetch& fetch);
  // Before the blob is changed: what is being fetched meanwhile is not kept.
  void ExpectChange();
  // After a change that went well.
  void Update(std::uint64_t offset_bytes, ByteSpan bytes);
  // After any other.
  void Forget(Extent range);
  void ForgetAll(std::uint64_t blob_bytes);

 private:
  struct Block {
    std::uint64_t index;
    std::vector<std::byte> bytes;
  };

  [[nodiscard]] bool Find(std::uint64_t index, std::size_t skip, MutableByteSpan out);
  [[nodiscard]] Status FetchBlock(std::uint64_t index, std::size_t skip, MutableByteSpan out,
                                  const Fetch& fetch);

  std::mutex mutex_;  // guards what follows
  std::uint64_t blob_bytes_;
  std::list<Block> blocks_;                                  // the one used last in front
  std::map<std::uint64_t, std::list<Block>::iterator> map_;  // by index
  std::uint64_t changes_ = 0;  // of the blob; what was fetched beside one is not kept
};

}  // namespace asr
