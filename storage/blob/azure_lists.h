// What Azure Blob Storage lists: blobs, snapshots, page ranges. All pages of a list are fetched.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "storage/blob/azure_client.h"
#include "storage/blob/blob_store.h"

namespace asr {

struct ListedBlob {
  std::string name;
  std::string snapshot;  // the service's name of it, a time; empty: the blob itself
  std::uint64_t size_bytes = 0;
  std::string point;  // our id of the snapshot; empty if it is none of ours
  bool is_page_blob = false;
  std::string etag;  // without quotes
  // With `with_documents`: the whole of it, if its metadata holds that (document_metadata.h).
  std::optional<std::string> document;
};

struct BlobListing {
  std::vector<ListedBlob> blobs;      // by name; of one name the snapshots first, oldest first
  std::vector<std::string> prefixes;  // with `delimiter`: what lies deeper, up to it
  bool is_whole = true;               // false: there is more than the first page
};

struct ListOptions {
  std::string prefix;
  bool with_snapshots = false;  // and their ids
  bool with_documents = false;  // and what they hold
  bool one_level = false;       // names up to the next '/'
  std::size_t limit = 0;        // stop after so many; 0: all
  bool first_page = false;      // one request, whatever it brings
};

// A container that is gone is an error, but not kNotFound: callers ask for what is in it.
[[nodiscard]] Result<BlobListing> ListBlobs(AzureClient& client, const ListOptions& options);

// A snapshot as the service knows it.
struct AzureSnapshot {
  SnapshotId id;
  std::string time;  // what requests name it by; opaque, sorts by age
};

// Those of one blob that are ours, oldest first, each id once: of several, which a request whose
// reply was lost leaves, the earliest. kNotFound (kBlobNotFound) if there is no such blob.
[[nodiscard]] Result<std::vector<AzureSnapshot>> ListAzureSnapshots(AzureClient& client,
                                                                    const std::string& name);
// With the later ones of an id, too.
[[nodiscard]] Result<std::vector<AzureSnapshot>> ListAllAzureSnapshots(AzureClient& client,
                                                                       const std::string& name);

// Pages of `range` that were written, merged and ascending. `snapshot` as AzureSnapshot::time, or
// empty. kNotFound if it is gone.
[[nodiscard]] Result<std::vector<Extent>> ListPageRanges(AzureClient& client,
                                                         const std::string& name,
                                                         const std::string& snapshot, Extent range);

}  // namespace asr
