#include "storage/blob/block_cache.h"

#include <algorithm>
#include <cstring>

namespace asr {

Status BlockCache::Read(std::uint64_t offset_bytes, MutableByteSpan out, const Fetch& fetch) {
  while (!out.empty()) {
    const std::uint64_t index = offset_bytes / kBlockBytes;
    const std::size_t skip = offset_bytes % kBlockBytes;
    const MutableByteSpan piece =
        out.first(std::min<std::uint64_t>(kBlockBytes - skip, out.size()));
    if (!Find(index, skip, piece)) {
      ASR_CHECK(FetchBlock(index, skip, piece, fetch));
    }
    offset_bytes += piece.size();
    out = out.subspan(piece.size());
  }
  return {};
}

bool BlockCache::Find(std::uint64_t index, std::size_t skip, MutableByteSpan out) {
  const std::lock_guard lock(mutex_);
  const auto at = map_.find(index);
  if (at == map_.end()) return false;
  blocks_.splice(blocks_.begin(), blocks_, at->second);
  std::memcpy(out.data(), at->second->bytes.data() + skip, out.size());
  return true;
}

Status BlockCache::FetchBlock(std::uint64_t index, std::size_t skip, MutableByteSpan out,
                              const Fetch& fetch) {
  std::unique_lock lock(mutex_);
  const std::uint64_t changes = changes_;
  const std::uint64_t begin = index * kBlockBytes;
  std::vector<std::byte> bytes(std::min(kBlockBytes, blob_bytes_ - begin));
  lock.unlock();
  ASR_CHECK(fetch(begin, bytes));
  std::memcpy(out.data(), bytes.data() + skip, out.size());
  lock.lock();
  if (changes != changes_ || map_.contains(index)) return {};
  blocks_.push_front({index, std::move(bytes)});
  map_[index] = blocks_.begin();
  if (blocks_.size() > kBlocks) {
    map_.erase(blocks_.back().index);
    blocks_.pop_back();
  }
  return {};
}

void BlockCache::ExpectChange() {
  const std::lock_guard lock(mutex_);
  ++changes_;
}

void BlockCache::Update(std::uint64_t offset_bytes, ByteSpan bytes) {
  const std::lock_guard lock(mutex_);
  ++changes_;
  while (!bytes.empty()) {
    const std::size_t skip = offset_bytes % kBlockBytes;
    const std::size_t count = std::min<std::uint64_t>(kBlockBytes - skip, bytes.size());
    const auto at = map_.find(offset_bytes / kBlockBytes);
    if (at != map_.end()) std::memcpy(at->second->bytes.data() + skip, bytes.data(), count);
    offset_bytes += count;
    bytes = bytes.subspan(count);
  }
}

void BlockCache::ForgetAll(std::uint64_t blob_bytes) {
  const std::lock_guard lock(mutex_);
  ++changes_;
  map_.clear();
  blocks_.clear();
  blob_bytes_ = blob_bytes;
}

void BlockCache::Forget(Extent range) {
  const std::lock_guard lock(mutex_);
  ++changes_;
  const std::uint64_t first = range.offset_bytes / kBlockBytes;
  for (auto at = map_.lower_bound(first);
       at != map_.end() && at->first * kBlockBytes < range.end_bytes();) {
    blocks_.erase(at->second);
    at = map_.erase(at);
  }
}

}  // namespace asr
