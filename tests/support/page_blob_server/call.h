// A request being carried out, and what the operations share. All under the account's lock; each
// throws ServiceError where the service refuses.
#pragma once

#include <optional>
#include <string>

#include "tests/support/page_blob_server/account.h"
#include "tests/support/page_blob_server/authorization.h"
#include "tests/support/page_blob_server/http_message.h"
#include "tests/support/page_blob_server/operation.h"

namespace asr::testing::page_blob {

inline constexpr std::uint64_t kLargestPageWrite = 4 * kMiB;
inline constexpr std::uint64_t kLargestPageBlob = 8 * kTiB;

// How this account differs from a plain one, and how far answers go.
struct ServiceRules {
  bool discard = false;     // pages are counted and not kept
  bool is_premium = false;  // 100 snapshots a blob, one each 10 minutes
  double blob_requests_per_second = 0;
  double blob_bytes_per_second = 0;
  double container_deletion_seconds = 0;
  std::size_t list_page_limit = 5000;
  std::size_t range_page_limit = 10'000;
  std::uint64_t longest_run_bytes = 4 * kMiB;
};

struct Call {
  const ServerRequest& request;
  const Target& target;
  const Caller& caller;
  Account& account;
  const Credentials& credentials;
  const ServiceRules& rules;
  ServiceTime now;
  std::optional<std::uint64_t> body_crc;  // none where nobody looked at the body
};

// Carries it out.
[[nodiscard]] ServerReply Execute(Call& call);
// Before the lock: a body that is not what its headers say, or larger than the service takes.
void CheckBodyLength(const ServerRequest& request, const Target& target);
void CheckBodyChecksums(const ServerRequest& request, std::uint64_t body_crc);
// Headers and parameters that would be ignored here, or mean nothing to this operation.
void CheckHeaders(const ServerRequest& request, const Target& target);

// The operations, by file.
[[nodiscard]] ServerReply ContainerCall(Call& call);   // container_operations.cc
[[nodiscard]] ServerReply ListContainers(Call& call);  // list_operations.cc
[[nodiscard]] ServerReply ListBlobs(Call& call);
[[nodiscard]] ServerReply PutBlob(Call& call);  // blob_operations.cc
[[nodiscard]] ServerReply GetBlob(Call& call);
[[nodiscard]] ServerReply DeleteBlob(Call& call);
[[nodiscard]] ServerReply SetBlobProperties(Call& call);
[[nodiscard]] ServerReply BlobMetadata(Call& call);
[[nodiscard]] ServerReply SnapshotBlob(Call& call);
[[nodiscard]] ServerReply WritePages(Call& call);  // page_operations.cc
[[nodiscard]] ServerReply GetPageRanges(Call& call);
[[nodiscard]] ServerReply PutPageFromUrl(Call& call);  // copy_operations.cc
[[nodiscard]] ServerReply CopyBlob(Call& call);
[[nodiscard]] ServerReply LeaseBlob(Call& call);  // lease_operations.cc

// 404 if there is none.
[[nodiscard]] StoredContainer& FindContainer(Call& call);
[[nodiscard]] StoredBlob& FindBlob(Call& call);
// The base or the snapshot that the request names.
[[nodiscard]] BlobVersion& FindVersion(Call& call, StoredBlob& blob);
[[nodiscard]] StoredBlob& FindPageBlob(Call& call);

// If-Match and its like, of a blob that is there.
void CheckConditions(const Call& call, const BlobVersion& version);
void CheckSequenceConditions(const Call& call, const BlobVersion& version);
// A write needs the lease's id; a read may give it, and must be right then.
void CheckLeaseOfWrite(const Call& call, BlobLease& lease);
void CheckLeaseOfRead(const Call& call, BlobLease& lease);

[[nodiscard]] Metadata ReadMetadata(const ServerRequest& request);
// x-ms-blob-content-type and its like; nullopt if there is none of them.
[[nodiscard]] std::optional<BlobProperties> ReadProperties(const ServerRequest& request);

struct ByteRange {
  std::uint64_t first = 0;
  std::optional<std::uint64_t> last;
};
// "bytes=0-511" or "bytes=512-". nullopt if it is neither.
[[nodiscard]] std::optional<ByteRange> ParseByteRange(std::string_view text);
// A range of whole pages with both ends, not larger than one write may be unless `is_clear`.
[[nodiscard]] Extent ReadPageRange(const std::string& header, const std::string& value);

// A header that is a number; 400 if it is none. nullopt if it is not there.
[[nodiscard]] std::optional<std::uint64_t> NumberHeader(const ServerRequest& request,
                                                        const std::string& name);
// How many entries an answer may have: at most `most`, and what the request says; 400 if it is
// none.
[[nodiscard]] std::size_t PageLimit(const ServerRequest& request, std::size_t most);
// A size of a page blob; 400 where the service would not take it.
[[nodiscard]] std::uint64_t ReadPageBlobSize(const ServerRequest& request);

// A new ETag and time.
void Touch(Call& call, BlobVersion& version);
void AddEtag(ServerReply& reply, const BlobVersion& version);

// In the form of the service, starting with the declaration.
[[nodiscard]] std::string XmlDocument(std::string_view content);

}  // namespace asr::testing::page_blob
