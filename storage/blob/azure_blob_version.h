// One version of a page blob of Azure Blob Storage: the live blob or a snapshot.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "storage/blob/azure_client.h"
#include "storage/blob/azure_lists.h"
#include "storage/blob/blob_store.h"

namespace asr {

// "Put Page" and its like: more is RequestBodyTooLarge.
inline constexpr std::uint64_t kMostBytesOfAPut = 4 * kMiB;
// Smaller reads are of digests, which stand beside those that are read next.
inline constexpr std::uint64_t kLargestCachedRead = 32 * kKiB;

// Where the pages come from.
struct AzureVersion {
  AzureClient* client;
  std::string name;
  std::string snapshot_time = {};  // empty: the live blob
  SnapshotId snapshot = {};
};

// kNotFound; kCorrupt (kBlobCorrupt) for what is no page blob.
[[nodiscard]] Result<HttpResponse> HeadOf(const AzureVersion& version);
[[nodiscard]] std::uint64_t SizeOf(const HttpResponse& head);
// In as many requests as the line wants.
[[nodiscard]] Status Fetch(const AzureVersion& version, std::uint64_t offset_bytes,
                           MutableByteSpan out);

// kNotFound (kBlobNotFound), kCorrupt (kBlobCorrupt) for a blob that is no page blob.
// `snapshot` without a time: the live blob. What was read of a snapshot is read once more from
// memory, also after the snapshot was deleted.
[[nodiscard]] Result<std::unique_ptr<PageBlobReader>> OpenAzureReader(
    AzureClient& client, const std::string& name, const AzureSnapshot& snapshot);

}  // namespace asr
