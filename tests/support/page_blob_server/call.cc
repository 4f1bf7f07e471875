#include "tests/support/page_blob_server/call.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "storage/base/text.h"
#include "tests/support/page_blob_server/service_error.h"

namespace asr::testing::page_blob {
namespace {

constexpr std::size_t kLargestMetadata = 8 * kKiB;

bool IsIdentifier(std::string_view name) {
  const auto is_letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  return is_letter(name[0]) &&
         std::ranges::all_of(name, [&](char c) { return is_letter(c) || (c >= '0' && c <= '9'); });
}

// The service takes none that is not quoted.
const std::string* EtagHeader(const ServerRequest& request, const std::string& name) {
  const std::string* const value = request.Header(name);
  if (value != nullptr && *value != "*" && (value->size() < 2 || value->front() != '"')) {
    RefuseHeader("InvalidHeaderValue", name, *value);
  }
  return value;
}

std::optional<ServiceTime> TimeHeader(const ServerRequest& request, const std::string& name) {
  const std::string* const value = request.Header(name);
  if (value == nullptr) return std::nullopt;
  const auto time = ParseHttpDate(*value);
  if (!time) RefuseHeader("InvalidHeaderValue", name, *value);
  return time;
}

void CheckRate(Call& call) {
  const auto container = call.account.containers.find(call.target.container);
  if (container == call.account.containers.end()) return;
  const auto blob = container->second.blobs.find(call.target.blob);
  if (blob == container->second.blobs.end()) return;
  // More than a second's share is let through by a full bucket.
  const double bytes =
      std::min(static_cast<double>(call.request.content_length), call.rules.blob_bytes_per_second);
  if (!blob->second.requests.Take(1, call.rules.blob_requests_per_second) ||
      !blob->second.bytes.Take(bytes, call.rules.blob_bytes_per_second)) {
    throw ServiceError{"ServerBusy", {}, {{"Retry-After", "1"}}};
  }
}

bool IsOf(Operation operation, std::initializer_list<Operation> set) {
  return std::ranges::find(set, operation) != set.end();
}

}  // namespace

ServerReply Execute(Call& call) {
  CheckRate(call);
  switch (call.target.operation) {
    case Operation::kListContainers:
      return ListContainers(call);
    case Operation::kListBlobs:
      return ListBlobs(call);
    case Operation::kPutBlob:
      return PutBlob(call);
    case Operation::kGetBlob:
    case Operation::kGetBlobProperties:
      return GetBlob(call);
    case Operation::kDeleteBlob:
    case Operation::kDeleteSnapshot:
      return DeleteBlob(call);
    case Operation::kSetBlobProperties:
      return SetBlobProperties(call);
    case Operation::kGetBlobMetadata:
    case Operation::kSetBlobMetadata:
      return BlobMetadata(call);
    case Operation::kPutPage:
    case Operation::kClearPages:
      return WritePages(call);
    case Operation::kPutPageFromUrl:
      return PutPageFromUrl(call);
    case Operation::kGetPageRanges:
    case Operation::kGetPageRangesDiff:
      return GetPageRanges(call);
    case Operation::kSnapshotBlob:
      return SnapshotBlob(call);
    case Operation::kCopyBlob:
    case Operation::kAbortCopyBlob:
      return CopyBlob(call);
    case Operation::kAcquireLease:
    case Operation::kRenewLease:
    case Operation::kChangeLease:
    case Operation::kReleaseLease:
    case Operation::kBreakLease:
      return LeaseBlob(call);
    default:
      return ContainerCall(call);
  }
}

void CheckBodyLength(const ServerRequest& request, const Target& target) {
  if (request.method == "PUT" && request.Header("content-length") == nullptr) {
    Refuse("MissingContentLengthHeader");
  }
  std::uint64_t limit = 64 * kKiB;
  if (target.operation == Operation::kPutPage) limit = kLargestPageWrite;
  if (target.operation == Operation::kPutBlob) limit = 5000 * kMiB;
  if (request.content_length > limit) {
    throw ServiceError{"RequestBodyTooLarge", {{"MaxLimit", std::to_string(limit)}}, {}};
  }
}

void CheckBodyChecksums(const ServerRequest& request, std::uint64_t body_crc) {
  const std::string* const md5 = request.Header("content-md5");
  const std::string* const crc = request.Header("x-ms-content-crc64");
  if (md5 != nullptr && crc != nullptr) Refuse("BothCrc64AndMd5HeaderPresent");
  if (md5 != nullptr) {
    const auto bytes = DecodeBase64(*md5);
    if (!bytes || bytes->size() != 16) RefuseHeader("InvalidMd5", "Content-MD5", *md5);
    if (*md5 != Md5Header(request.body)) Refuse("Md5Mismatch");
  }
  if (crc != nullptr) {
    const auto bytes = DecodeBase64(*crc);
    if (!bytes || bytes->size() != 8) {
      RefuseHeader("InvalidHeaderValue", "x-ms-content-crc64", *crc);
    }
    if (*crc != Crc64Header(body_crc)) Refuse("Crc64Mismatch");
  }
}

void CheckHeaders(const ServerRequest& request, const Target& target) {
  const Operation operation = target.operation;
  const bool writes_pages =
      IsOf(operation, {Operation::kPutPage, Operation::kClearPages, Operation::kPutPageFromUrl});
  for (const auto& [name, value] : request.values) {
    // What this server does not do must not look as if it had been done.
    for (const std::string_view prefix :
         {"x-ms-if-tags", "x-ms-source-if-tags", "x-ms-tags", "x-ms-encryption-",
          "x-ms-immutability-", "x-ms-legal-hold", "x-ms-access-tier", "x-ms-structured-",
          "x-ms-requires-sync", "x-ms-seal-blob", "x-ms-expiry-"}) {
      if (name.starts_with(prefix)) RefuseHeader("UnsupportedHeader", name, value);
    }
    if (name.starts_with("x-ms-if-sequence-number-") && !writes_pages) {
      RefuseHeader("UnsupportedHeader", name, value);
    }
  }
  if (request.Query("versionid") != nullptr) {
    RefuseQuery("UnsupportedQueryParameter", "versionid");
  }
  const bool may_name_snapshot =
      IsOf(operation,
           {Operation::kGetBlob, Operation::kGetBlobProperties, Operation::kDeleteSnapshot,
            Operation::kGetBlobMetadata, Operation::kGetPageRanges, Operation::kGetPageRangesDiff});
  if (request.Query("snapshot") != nullptr && !may_name_snapshot) {
    RefuseQuery("InvalidQueryParameterValue", "snapshot", target.snapshot);
  }
  if (const std::string* const id = request.Header("x-ms-client-request-id");
      id != nullptr && id->size() > kKiB) {
    RefuseHeader("InvalidHeaderValue", "x-ms-client-request-id");
  }
}

StoredContainer& FindContainer(Call& call) {
  const auto found = call.account.containers.find(call.target.container);
  if (found == call.account.containers.end()) Refuse("ContainerNotFound");
  return found->second;
}

StoredBlob& FindBlob(Call& call) {
  auto& blobs = FindContainer(call).blobs;
  const auto found = blobs.find(call.target.blob);
  if (found == blobs.end()) Refuse("BlobNotFound");
  found->second.lease.Refresh(call.now);
  return found->second;
}

BlobVersion& FindVersion(Call& call, StoredBlob& blob) {
  if (call.request.Query("snapshot") == nullptr) return blob.base;
  if (!ParseIsoTime(call.target.snapshot)) {
    RefuseQuery("InvalidQueryParameterValue", "snapshot", call.target.snapshot);
  }
  const auto found = blob.snapshots.find(call.target.snapshot);
  if (found == blob.snapshots.end()) Refuse("BlobNotFound");
  return found->second;
}

StoredBlob& FindPageBlob(Call& call) {
  StoredBlob& blob = FindBlob(call);
  if (!blob.base.is_page_blob) Refuse("InvalidBlobType");
  return blob;
}

void CheckConditions(const Call& call, const BlobVersion& version) {
  const bool is_read = call.request.method == "GET" || call.request.method == "HEAD";
  const ServerRequest& request = call.request;
  const auto refuse_unchanged = [&] {
    ServiceError error{"ConditionNotMet", {}, {}};
    if (is_read) error.status = 304;
    throw error;
  };
  const std::string* const match = EtagHeader(request, "if-match");
  if (match != nullptr && *match != "*" && *match != version.etag) Refuse("ConditionNotMet");
  const std::string* const none_match = EtagHeader(request, "if-none-match");
  if (none_match != nullptr && (*none_match == "*" || *none_match == version.etag)) {
    refuse_unchanged();
  }
  // HTTP's times have no fractions.
  const auto modified = std::chrono::floor<std::chrono::seconds>(version.modified);
  const auto since = TimeHeader(request, "if-modified-since");
  if (since && modified <= *since) refuse_unchanged();
  const auto unmodified_since = TimeHeader(request, "if-unmodified-since");
  if (unmodified_since && modified > *unmodified_since) Refuse("ConditionNotMet");
}

void CheckSequenceConditions(const Call& call, const BlobVersion& version) {
  const auto most = NumberHeader(call.request, "x-ms-if-sequence-number-le");
  const auto below = NumberHeader(call.request, "x-ms-if-sequence-number-lt");
  const auto exactly = NumberHeader(call.request, "x-ms-if-sequence-number-eq");
  const std::uint64_t number = version.sequence_number;
  if ((most && number > *most) || (below && number >= *below) || (exactly && number != *exactly)) {
    Refuse("SequenceNumberConditionNotMet");
  }
}

void CheckLeaseOfRead(const Call& call, BlobLease& lease) {
  const std::string* const given = call.request.Header("x-ms-lease-id");
  if (given == nullptr) return;
  const bool is_held = lease.state == LeaseState::kLeased || lease.state == LeaseState::kBreaking;
  const bool is_same = !lease.id.empty() && AsciiLowerCase(*given) == lease.id;
  if (is_held && !is_same) Refuse("LeaseIdMismatchWithBlobOperation");
  if (!is_held) Refuse(is_same ? "LeaseLost" : "LeaseNotPresentWithBlobOperation");
}

void CheckLeaseOfWrite(const Call& call, BlobLease& lease) {
  const bool is_held = lease.state == LeaseState::kLeased || lease.state == LeaseState::kBreaking;
  if (is_held && call.request.Header("x-ms-lease-id") == nullptr) Refuse("LeaseIdMissing");
  CheckLeaseOfRead(call, lease);
}

Metadata ReadMetadata(const ServerRequest& request) {
  constexpr std::string_view kPrefix = "x-ms-meta-";
  Metadata metadata;
  std::set<std::string> names;
  std::size_t size = 0;
  for (const ServerHeader& header : request.headers) {
    if (!header.lower_name.starts_with(kPrefix)) continue;
    const std::string name = header.name.substr(kPrefix.size());
    if (name.empty()) Refuse("EmptyMetadataKey");
    if (!IsIdentifier(name) || !names.insert(AsciiLowerCase(name)).second)
      Refuse("InvalidMetadata");
    const auto is_plain = [](char c) { return c >= ' ' && c <= '~'; };
    if (!std::ranges::all_of(header.value, is_plain)) Refuse("InvalidMetadata");
    size += name.size() + header.value.size();
    metadata.emplace_back(name, header.value);
  }
  if (size > kLargestMetadata) Refuse("MetadataTooLarge");
  return metadata;
}

std::optional<BlobProperties> ReadProperties(const ServerRequest& request) {
  BlobProperties properties;
  for (const char* name : {"cache-control", "content-type", "content-md5", "content-encoding",
                           "content-language", "content-disposition"}) {
    if (const std::string* const value = request.Header(std::string("x-ms-blob-") + name)) {
      properties[name] = *value;
    }
  }
  if (properties.empty()) return std::nullopt;
  return properties;
}

std::optional<ByteRange> ParseByteRange(std::string_view text) {
  if (!text.starts_with("bytes=")) return std::nullopt;
  text.remove_prefix(6);
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto first = ParseNumber(text.substr(0, dash));
  if (!first) return std::nullopt;
  if (dash + 1 == text.size()) return ByteRange{*first, std::nullopt};
  const auto last = ParseNumber(text.substr(dash + 1));
  if (!last || *last < *first) return std::nullopt;
  return ByteRange{*first, *last};
}

Extent ReadPageRange(const std::string& header, const std::string& value) {
  const auto range = ParseByteRange(value);
  if (!range || !range->last) RefuseHeader("InvalidHeaderValue", header, value);
  const std::uint64_t end = *range->last + 1;
  if (range->first % kPage != 0 || end % kPage != 0 || end == 0) Refuse("InvalidPageRange");
  return {range->first, end - range->first};
}

std::optional<std::uint64_t> NumberHeader(const ServerRequest& request, const std::string& name) {
  const std::string* const value = request.Header(name);
  if (value == nullptr) return std::nullopt;
  const auto number = ParseNumber(*value);
  if (!number || *number > static_cast<std::uint64_t>(INT64_MAX)) {
    RefuseHeader("InvalidHeaderValue", name, *value);
  }
  return number;
}

std::size_t PageLimit(const ServerRequest& request, std::size_t most) {
  const std::string* const text = request.Query("maxresults");
  if (text == nullptr) return most;
  const auto number = ParseNumber(*text);
  if (!number || *number == 0) RefuseQuery("OutOfRangeQueryParameterValue", "maxresults", *text);
  return std::min<std::size_t>(*number, most);
}

std::uint64_t ReadPageBlobSize(const ServerRequest& request) {
  const auto size = NumberHeader(request, "x-ms-blob-content-length");
  if (!size) RefuseHeader("MissingRequiredHeader", "x-ms-blob-content-length");
  if (*size % kPage != 0 || *size > kLargestPageBlob) {
    RefuseHeader("InvalidHeaderValue", "x-ms-blob-content-length", std::to_string(*size));
  }
  return *size;
}

void Touch(Call& call, BlobVersion& version) {
  version.etag = call.account.NextEtag();
  version.modified = call.now;
}

void AddEtag(ServerReply& reply, const BlobVersion& version) {
  reply.Add("ETag", version.etag);
  reply.Add("Last-Modified", FormatHttpDate(version.modified));
}

std::string XmlDocument(std::string_view content) {
  return fmt::format("\xEF\xBB\xBF<?xml version=\"1.0\" encoding=\"utf-8\"?>{}", content);
}

}  // namespace asr::testing::page_blob
