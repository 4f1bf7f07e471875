// Whole blobs: put, get, delete, their properties and metadata, snapshots of them.
#include <fmt/format.h>

#include <algorithm>

#include "storage/base/text.h"
#include "tests/support/page_blob_server/call.h"
#include "tests/support/page_blob_server/service_error.h"

namespace asr::testing::page_blob {
namespace {

constexpr std::size_t kSnapshotsOfPremium = 100;
constexpr auto kBetweenSnapshotsOfPremium = std::chrono::minutes(10);
constexpr std::uint64_t kLargestSequenceNumber = INT64_MAX;

std::string_view Name(LeaseState state) {
  switch (state) {
    case LeaseState::kAvailable:
      return "available";
    case LeaseState::kLeased:
      return "leased";
    case LeaseState::kExpired:
      return "expired";
    case LeaseState::kBreaking:
      return "breaking";
    case LeaseState::kBroken:
      return "broken";
  }
  return "";
}

std::string HeaderOfProperty(const std::string& name) {
  if (name == "content-md5") return "Content-MD5";
  if (name == "cache-control") return "Cache-Control";
  std::string header = name;
  header[0] = 'C';
  header[sizeof("content")] =
      static_cast<char>(header[sizeof("content")] - 'a' + 'A');  // "content-type"
  return header;
}

void AddVersionHeaders(const Call& call, ServerReply& reply, const StoredBlob& blob,
                       const BlobVersion& version) {
  AddEtag(reply, version);
  for (const auto& [name, value] : version.metadata) reply.Add("x-ms-meta-" + name, value);
  reply.Add("x-ms-creation-time", FormatHttpDate(version.created));
  reply.Add("x-ms-blob-type", version.is_page_blob ? "PageBlob" : "BlockBlob");
  if (version.is_page_blob) {
    reply.Add("x-ms-blob-sequence-number", std::to_string(version.sequence_number));
  }
  if (call.target.snapshot.empty()) {
    const BlobLease& lease = blob.lease;
    const bool is_locked =
        lease.state == LeaseState::kLeased || lease.state == LeaseState::kBreaking;
    reply.Add("x-ms-lease-status", is_locked ? "locked" : "unlocked");
    reply.Add("x-ms-lease-state", std::string(Name(lease.state)));
    if (lease.state == LeaseState::kLeased) {
      reply.Add("x-ms-lease-duration", lease.duration_seconds < 0 ? "infinite" : "fixed");
    }
  }
  for (const auto& [name, value] : version.copy) reply.Add(name, value);
  reply.Add("x-ms-server-encrypted", "true");
  reply.Add("Accept-Ranges", "bytes");
}

void AddRangeChecksums(const Call& call, ServerReply& reply, std::uint64_t length) {
  const std::string md5 =
      AsciiLowerCase(call.request.HeaderOr("x-ms-range-get-content-md5", "false"));
  const std::string crc =
      AsciiLowerCase(call.request.HeaderOr("x-ms-range-get-content-crc64", "false"));
  if (md5 != "true" && crc != "true") return;
  if (md5 == "true" && crc == "true") {
    RefuseHeader("InvalidHeaderValue", "x-ms-range-get-content-crc64", crc);
  }
  if (reply.status != 206 || length > kLargestPageWrite) {
    RefuseHeader("InvalidHeaderValue",
                 md5 == "true" ? "x-ms-range-get-content-md5" : "x-ms-range-get-content-crc64");
  }
  std::string bytes = reply.body;
  if (reply.pages) {
    bytes.resize(length);
    reply.pages->Read(reply.pages->range.offset_bytes,
                      std::as_writable_bytes(std::span(bytes.data(), bytes.size())));
  }
  if (md5 == "true") {
    reply.Add("Content-MD5", Md5Header(AsBytes(bytes)));
  } else {
    reply.Add("x-ms-content-crc64", Crc64Header(Crc64(AsBytes(bytes))));
  }
}

// x-ms-range counts; a Range that is none is passed over, as HTTP has it.
std::optional<ByteRange> RequestedRange(const ServerRequest& request) {
  if (const std::string* const text = request.Header("x-ms-range")) {
    const auto range = ParseByteRange(*text);
    if (!range) RefuseHeader("InvalidHeaderValue", "x-ms-range", *text);
    return range;
  }
  return ParseByteRange(request.HeaderOr("range", ""));
}

void CheckBlobName(const std::string& name) {
  if (name.size() > 1024) Refuse("OutOfRangeInput");
  if (std::ranges::count(name, '/') > 254) Refuse("InvalidUri");
}

void FillPageBlob(const Call& call, BlobVersion& version) {
  if (call.request.content_length != 0) {
    RefuseHeader("InvalidHeaderValue", "Content-Length",
                 std::to_string(call.request.content_length));
  }
  version.is_page_blob = true;
  version.size_bytes = ReadPageBlobSize(call.request);
  version.sequence_number = NumberHeader(call.request, "x-ms-blob-sequence-number").value_or(0);
}

void FillBlockBlob(const Call& call, BlobVersion& version) {
  for (const char* name : {"x-ms-blob-content-length", "x-ms-blob-sequence-number"}) {
    if (call.request.Header(name) != nullptr) RefuseHeader("UnsupportedHeader", name);
  }
  version.text = AsText(call.request.body);
  version.size_bytes = version.text.size();
  version.properties.try_emplace("content-md5", Md5Header(call.request.body));
}

}  // namespace

ServerReply PutBlob(Call& call) {
  CheckBlobName(call.target.blob);
  auto& blobs = FindContainer(call).blobs;
  const std::string* const type = call.request.Header("x-ms-blob-type");
  if (type == nullptr) RefuseHeader("MissingRequiredHeader", "x-ms-blob-type");
  BlobVersion version;
  version.properties = ReadProperties(call.request).value_or(BlobProperties{});
  version.properties.try_emplace("content-type",
                                 call.request.HeaderOr("content-type", "application/octet-stream"));
  version.metadata = ReadMetadata(call.request);
  if (*type == "PageBlob") {
    FillPageBlob(call, version);
  } else if (*type == "BlockBlob") {
    FillBlockBlob(call, version);
  } else if (*type == "AppendBlob") {
    Refuse("NotImplemented");
  } else {
    RefuseHeader("InvalidHeaderValue", "x-ms-blob-type", *type);
  }

  const auto found = blobs.find(call.target.blob);
  if (found == blobs.end()) {
    if (call.request.Header("if-match") != nullptr) Refuse("ConditionNotMet");
    if (call.request.Header("x-ms-lease-id") != nullptr) Refuse("LeaseNotPresentWithBlobOperation");
  } else {
    if (call.request.HeaderOr("if-none-match", "") == "*") Refuse("BlobAlreadyExists");
    if (!call.caller.May("w")) Refuse("UnauthorizedBlobOverwrite");
    found->second.lease.Refresh(call.now);
    CheckLeaseOfWrite(call, found->second.lease);
    CheckConditions(call, found->second.base);
    const bool is_other_kind = found->second.base.is_page_blob != version.is_page_blob;
    if (is_other_kind && !found->second.snapshots.empty()) Refuse("InvalidBlobType");
    found->second.lease.NoteWrite();
    version.generation = found->second.base.generation + 1;
  }
  version.incarnation = ++call.account.last_incarnation;
  version.created = call.now;
  Touch(call, version);
  ServerReply reply{201};
  AddEtag(reply, version);
  if (!version.is_page_blob) {
    reply.Add("Content-MD5", Md5Header(call.request.body));
    if (call.body_crc) reply.Add("x-ms-content-crc64", Crc64Header(*call.body_crc));
  }
  reply.Add("x-ms-request-server-encrypted", "true");
  blobs[call.target.blob].base = std::move(version);
  return reply;
}

ServerReply GetBlob(Call& call) {
  StoredBlob& blob = FindBlob(call);
  const BlobVersion& version = FindVersion(call, blob);
  CheckLeaseOfRead(call, blob.lease);
  CheckConditions(call, version);
  ServerReply reply{200};
  const bool is_head = call.target.operation == Operation::kGetBlobProperties;
  Extent part{0, version.size_bytes};
  const auto range = is_head ? std::nullopt : RequestedRange(call.request);
  if (range) {
    if (range->first >= version.size_bytes) {
      throw ServiceError{
          "InvalidRange", {}, {{"Content-Range", fmt::format("bytes */{}", version.size_bytes)}}};
    }
    const std::uint64_t last =
        std::min(range->last.value_or(version.size_bytes - 1), version.size_bytes - 1);
    part = {range->first, last - range->first + 1};
    reply.status = 206;
    reply.Add("Content-Range",
              fmt::format("bytes {}-{}/{}", range->first, last, version.size_bytes));
  }
  AddVersionHeaders(call, reply, blob, version);
  for (const auto& [name, value] : version.properties) {
    const bool is_md5_of_whole = name == "content-md5" && range;
    reply.Add(is_md5_of_whole ? "x-ms-blob-content-md5" : HeaderOfProperty(name), value);
  }
  if (is_head) {
    reply.Add("Content-Length", std::to_string(version.size_bytes));
    return reply;
  }
  if (version.is_page_blob) {
    reply.pages = version.pages.View(part);
  } else {
    reply.body = version.text.substr(part.offset_bytes, part.length_bytes);
  }
  AddRangeChecksums(call, reply, part.length_bytes);
  return reply;
}

ServerReply DeleteBlob(Call& call) {
  StoredBlob& blob = FindBlob(call);
  const std::string* const what = call.request.Header("x-ms-delete-snapshots");
  if (what != nullptr && *what != "include" && *what != "only") {
    RefuseHeader("InvalidHeaderValue", "x-ms-delete-snapshots", *what);
  }
  ServerReply reply{202};
  reply.Add("x-ms-delete-type-permanent", "true");
  const BlobVersion& version = FindVersion(call, blob);
  if (call.target.operation == Operation::kDeleteSnapshot) {
    if (what != nullptr) RefuseHeader("UnsupportedHeader", "x-ms-delete-snapshots", *what);
    CheckLeaseOfRead(call, blob.lease);
    CheckConditions(call, version);
    blob.snapshots.erase(call.target.snapshot);
    return reply;
  }
  if (what != nullptr && *what == "only") {
    CheckLeaseOfRead(call, blob.lease);
    CheckConditions(call, version);
    blob.snapshots.clear();
    return reply;
  }
  CheckLeaseOfWrite(call, blob.lease);
  CheckConditions(call, version);
  if (what == nullptr && !blob.snapshots.empty()) Refuse("SnapshotsPresent");
  FindContainer(call).blobs.erase(call.target.blob);
  return reply;
}

ServerReply SetBlobProperties(Call& call) {
  StoredBlob& blob = FindBlob(call);
  BlobVersion& version = blob.base;
  CheckLeaseOfWrite(call, blob.lease);
  CheckConditions(call, version);
  const std::string* const action = call.request.Header("x-ms-sequence-number-action");
  const auto number = NumberHeader(call.request, "x-ms-blob-sequence-number");
  const bool resizes = call.request.Header("x-ms-blob-content-length") != nullptr;
  if ((action != nullptr || number || resizes) && !version.is_page_blob) Refuse("InvalidBlobType");
  std::uint64_t next_number = version.sequence_number;
  if (action == nullptr) {
    if (number) RefuseHeader("MissingRequiredHeader", "x-ms-sequence-number-action");
  } else if (*action == "increment") {
    if (number) RefuseHeader("InvalidHeaderValue", "x-ms-blob-sequence-number");
    if (next_number == kLargestSequenceNumber) Refuse("SequenceNumberIncrementTooLarge");
    ++next_number;
  } else if (*action == "update" || *action == "max") {
    if (!number) RefuseHeader("MissingRequiredHeader", "x-ms-blob-sequence-number");
    next_number = *action == "max" ? std::max(next_number, *number) : *number;
  } else {
    RefuseHeader("InvalidHeaderValue", "x-ms-sequence-number-action", *action);
  }
  if (resizes) {
    const std::uint64_t size = ReadPageBlobSize(call.request);
    if (size < version.size_bytes) version.pages.Cut(size);
    version.size_bytes = size;
  }
  version.sequence_number = next_number;
  // Setting one of them clears the others; a resize or a number touches none.
  const auto properties = ReadProperties(call.request);
  if (properties || (action == nullptr && !resizes)) {
    version.properties = properties.value_or(BlobProperties{});
  }
  blob.lease.NoteWrite();
  Touch(call, version);
  ServerReply reply{200};
  AddEtag(reply, version);
  if (version.is_page_blob) {
    reply.Add("x-ms-blob-sequence-number", std::to_string(version.sequence_number));
  }
  return reply;
}

ServerReply BlobMetadata(Call& call) {
  StoredBlob& blob = FindBlob(call);
  BlobVersion& version = FindVersion(call, blob);
  ServerReply reply{200};
  if (call.target.operation == Operation::kGetBlobMetadata) {
    CheckLeaseOfRead(call, blob.lease);
    CheckConditions(call, version);
    AddEtag(reply, version);
    for (const auto& [name, value] : version.metadata) reply.Add("x-ms-meta-" + name, value);
    return reply;
  }
  CheckLeaseOfWrite(call, blob.lease);
  CheckConditions(call, version);
  version.metadata = ReadMetadata(call.request);
  blob.lease.NoteWrite();
  Touch(call, version);
  AddEtag(reply, version);
  reply.Add("x-ms-request-server-encrypted", "true");
  return reply;
}

ServerReply SnapshotBlob(Call& call) {
  StoredBlob& blob = FindBlob(call);
  CheckLeaseOfRead(call, blob.lease);
  CheckConditions(call, blob.base);
  Metadata metadata = ReadMetadata(call.request);
  if (call.rules.is_premium) {
    if (blob.snapshots.size() >= kSnapshotsOfPremium) Refuse("SnapshotCountExceeded");
    if (call.now < blob.last_snapshot + kBetweenSnapshotsOfPremium) {
      Refuse("SnapshotOperationRateExceeded");
    }
  }
  BlobVersion snapshot = blob.base;
  if (!metadata.empty()) {
    snapshot.metadata = std::move(metadata);
    Touch(call, snapshot);
  }
  ServerReply reply{201};
  const std::string time = call.account.NextSnapshotTime(call.now);
  reply.Add("x-ms-snapshot", time);
  AddEtag(reply, snapshot);
  reply.Add("x-ms-request-server-encrypted", "true");
  blob.snapshots[time] = std::move(snapshot);
  blob.last_snapshot = call.now;
  ++blob.base.generation;
  return reply;
}

}  // namespace asr::testing::page_blob
