// What a storage account holds: containers, blobs, snapshots, leases. Guarded by its owner's lock.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/page_blob_server/connection.h"
#include "tests/support/page_blob_server/encoding.h"
#include "tests/support/page_blob_server/page_content.h"

namespace asr::testing::page_blob {

// Names keep their case; letter case does not make two names of one.
using Metadata = std::vector<std::pair<std::string, std::string>>;
// By the header's name without "x-ms-blob-": "content-type", "cache-control".
using BlobProperties = std::map<std::string, std::string>;

// The base blob or a snapshot.
struct BlobVersion {
  bool is_page_blob = false;
  PageContent pages;
  std::string text;  // of a block blob
  std::uint64_t size_bytes = 0;
  std::uint64_t sequence_number = 0;
  BlobProperties properties;
  Metadata metadata;
  std::string etag;  // with its quotes
  ServiceTime created;
  ServiceTime modified;
  std::uint32_t generation = 0;   // of writes; raised by each snapshot
  std::uint64_t incarnation = 0;  // a new one whenever the blob is put or copied over
  std::vector<std::pair<std::string, std::string>> copy;  // headers about the last Copy Blob
};

enum class LeaseState : std::uint8_t { kAvailable, kLeased, kExpired, kBreaking, kBroken };

struct BlobLease {
  LeaseState state = LeaseState::kAvailable;
  std::string id;
  int duration_seconds = 0;  // -1: never ends
  ServiceTime ends;          // of a fixed lease, or of the break
  bool is_renewable = true;  // false once the blob was written after the lease had run out

  // Ends what has run out by now.
  void Refresh(ServiceTime now);
  // Of the blob; after Refresh.
  void NoteWrite() {
    if (state == LeaseState::kExpired) is_renewable = false;
  }
};

struct StoredBlob {
  BlobVersion base;
  std::map<std::string, BlobVersion> snapshots;  // by their time: oldest first
  BlobLease lease;
  ServiceTime last_snapshot;
  RateLimit requests;
  RateLimit bytes;
};

struct StoredContainer {
  std::map<std::string, StoredBlob> blobs;
  Metadata metadata;
  std::string etag;
  ServiceTime modified;
};

struct Account {
  std::string name;
  std::map<std::string, StoredContainer> containers;
  std::map<std::string, ServiceTime> deleted_containers;
  std::uint64_t last_etag = 0x8DE2000000000000;
  std::uint64_t last_incarnation = 0;
  ServiceTime last_snapshot;

  [[nodiscard]] std::string NextEtag();
  // Later than every one before, also where the clock stands still.
  [[nodiscard]] std::string NextSnapshotTime(ServiceTime now);
};

}  // namespace asr::testing::page_blob
