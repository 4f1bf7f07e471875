// A fixed VHD that lies in Azure Blob Storage as a page blob, whoever uploaded it, as a disk to
// read.
#pragma once

#include <memory>
#include <stop_token>
#include <string>

#include "storage/base/clock.h"
#include "storage/blob/blob_store.h"
#include "storage/http/authorizer.h"
#include "storage/http/http_transport.h"
#include "storage/image/disk.h"

namespace asr {

struct VhdBlobOptions {
  std::string container_url;  // "https://account.blob.core.windows.net/container", without secrets
  std::string blob;           // its name, as it is
  std::string snapshot_time;  // by which the service names a snapshot; empty: the blob itself
  std::unique_ptr<HttpTransport> transport;
  std::unique_ptr<Authorizer> authorizer;
  std::stop_token stop;  // requests end soon after it is set
};

// A disk whose bytes stand at the same offsets of the blob.
class BlobDisk : public Disk, public CopyOrigin {};

// The blob is never changed, and may be written by others meanwhile: each read gives what it holds
// then. kNotFound (kBlobNotFound); kUnsupported (kImageUnsupported) for a blob that is no page
// blob, or a VHD that is not fixed; kCorrupt (kImageCorrupt) if its footer is damaged or tells of
// another size than the blob's. `clock` outlives the disk.
[[nodiscard]] Result<std::unique_ptr<BlobDisk>> OpenVhdBlob(VhdBlobOptions options, Clock& clock);

}  // namespace asr
