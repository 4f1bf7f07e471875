// Copies inside the account: whole blobs, and pages by Put Page From URL.
#include <fmt/format.h>

#include <algorithm>

#include "storage/base/checksum.h"
#include "storage/base/guid.h"
#include "tests/support/page_blob_server/call.h"
#include "tests/support/page_blob_server/service_error.h"

namespace asr::testing::page_blob {
namespace {

// What the source's own refusal looks like in the answer.
[[noreturn]] void RefuseSource(const ServiceError& cause) {
  ServiceError error{"CannotVerifyCopySource", {}, {}, StatusOf(cause)};
  error.headers.emplace_back("x-ms-copy-source-status-code", std::to_string(StatusOf(cause)));
  error.headers.emplace_back("x-ms-copy-source-error-code", cause.code);
  throw error;
}

// The request for the source, as if the service sent it to itself.
ServerRequest SourceRequest(const Call& call) {
  const std::string& url = *call.request.Header("x-ms-copy-source");
  const std::size_t scheme = url.find("://");
  const std::size_t slash = scheme == std::string::npos ? scheme : url.find('/', scheme + 3);
  if (slash == std::string::npos) RefuseHeader("InvalidHeaderValue", "x-ms-copy-source", url);
  const std::string host = url.substr(scheme + 3, slash - scheme - 3);
  if (host != call.request.HeaderOr("host", "")) {
    RefuseSource({"ResourceNotFound", {}, {}});  // other servers are not asked
  }
  const auto source = ParseRequestHead("GET " + url.substr(slash) + " HTTP/1.1\r\nhost: " + host);
  if (!source) RefuseHeader("InvalidHeaderValue", "x-ms-copy-source", url);
  ServerRequest request = *source;
  request.is_tls = url.starts_with("https:");
  if (const auto* const token = call.request.Header("x-ms-copy-source-authorization")) {
    request.values["authorization"] = *token;
    request.values["x-ms-version"] = call.request.HeaderOr("x-ms-version", "");
  }
  return request;
}

struct Source {
  const BlobVersion* version = nullptr;
  Target target;
};

// `may_borrow`: the source is read as whom the request comes from; a SAS is for its own URL only.
Source FindSource(Call& call, bool may_borrow) {
  const ServerRequest request = SourceRequest(call);
  try {
    const Target target = ParseTarget(request);
    const bool is_owner = may_borrow && call.caller.May("r") && request.Query("sig") == nullptr;
    const Caller caller =
        is_owner ? call.caller : Authorize(call.credentials, request, target, call.now);
    Call inner{request,          target,     caller,   call.account,
               call.credentials, call.rules, call.now, std::nullopt};
    StoredBlob& blob = FindBlob(inner);
    return {&FindVersion(inner, blob), target};
  } catch (const ServiceError& error) {
    RefuseSource(error);
  }
}

void CheckSourceConditions(const ServerRequest& request, const BlobVersion& source) {
  const std::string* const match = request.Header("x-ms-source-if-match");
  const std::string* const none_match = request.Header("x-ms-source-if-none-match");
  if ((match != nullptr && *match != "*" && *match != source.etag) ||
      (none_match != nullptr && (*none_match == "*" || *none_match == source.etag))) {
    Refuse("SourceConditionNotMet");
  }
  const auto modified = std::chrono::floor<std::chrono::seconds>(source.modified);
  for (const char* name : {"x-ms-source-if-modified-since", "x-ms-source-if-unmodified-since"}) {
    const std::string* const text = request.Header(name);
    if (text == nullptr) continue;
    const auto time = ParseHttpDate(*text);
    if (!time) RefuseHeader("InvalidHeaderValue", name, *text);
    const bool wants_modified = std::string_view(name).find("-unmodified") == std::string::npos;
    if (wants_modified != (modified > *time)) Refuse("SourceConditionNotMet");
  }
}

std::string ReadBytes(const BlobVersion& version, Extent range) {
  if (!version.is_page_blob) return version.text.substr(range.offset_bytes, range.length_bytes);
  std::string bytes(range.length_bytes, '\0');
  version.pages.View(range).Read(range.offset_bytes,
                                 std::as_writable_bytes(std::span(bytes.data(), bytes.size())));
  return bytes;
}

}  // namespace

ServerReply PutPageFromUrl(Call& call) {
  for (const char* name : {"x-ms-range", "x-ms-source-range"}) {
    if (call.request.Header(name) == nullptr) RefuseHeader("MissingRequiredHeader", name);
  }
  const Extent range = ReadPageRange("x-ms-range", *call.request.Header("x-ms-range"));
  const std::string& source_text = *call.request.Header("x-ms-source-range");
  const auto source_range = ParseByteRange(source_text);
  if (!source_range || !source_range->last ||
      *source_range->last - source_range->first + 1 != range.length_bytes) {
    RefuseHeader("InvalidHeaderValue", "x-ms-source-range", source_text);
  }
  if (range.length_bytes > kLargestPageWrite) {
    throw ServiceError{
        "RequestBodyTooLarge", {{"MaxLimit", std::to_string(kLargestPageWrite)}}, {}};
  }
  if (call.request.content_length != 0) RefuseHeader("InvalidHeaderValue", "Content-Length");
  const Source source = FindSource(call, false);
  CheckSourceConditions(call.request, *source.version);
  if (*source_range->last >= source.version->size_bytes) {
    RefuseSource({"InvalidRange", {}, {}});
  }
  const std::string bytes = ReadBytes(*source.version, {source_range->first, range.length_bytes});
  const std::string crc = Crc64Header(Crc64(AsBytes(bytes)));
  if (const std::string* const wanted = call.request.Header("x-ms-source-content-crc64");
      wanted != nullptr && *wanted != crc) {
    Refuse("Crc64Mismatch");
  }
  const std::string* const md5 = call.request.Header("x-ms-source-content-md5");
  if (md5 != nullptr && *md5 != Md5Header(AsBytes(bytes))) Refuse("Md5Mismatch");

  StoredBlob& blob = FindPageBlob(call);
  CheckLeaseOfWrite(call, blob.lease);
  CheckConditions(call, blob.base);
  CheckSequenceConditions(call, blob.base);
  if (range.end_bytes() > blob.base.size_bytes) Refuse("InvalidPageRange");
  blob.base.pages.Write(range.offset_bytes, AsBytes(bytes), blob.base.generation);
  blob.lease.NoteWrite();
  Touch(call, blob.base);
  ServerReply reply{201};
  AddEtag(reply, blob.base);
  reply.Add("x-ms-blob-sequence-number", std::to_string(blob.base.sequence_number));
  reply.Add("x-ms-content-crc64", crc);
  reply.Add("x-ms-request-server-encrypted", "true");
  return reply;
}

ServerReply CopyBlob(Call& call) {
  if (call.target.operation == Operation::kAbortCopyBlob) {
    static_cast<void>(FindBlob(call));
    Refuse("NoPendingCopyOperation");  // every copy is done when it is answered
  }
  auto& blobs = FindContainer(call).blobs;
  const bool may_borrow = call.caller.is_bearer || call.caller.permissions == "*";
  const Source source = FindSource(call, may_borrow);
  CheckSourceConditions(call.request, *source.version);
  BlobVersion version = *source.version;
  version.copy.clear();
  if (Metadata metadata = ReadMetadata(call.request); !metadata.empty()) {
    version.metadata = std::move(metadata);
  }
  const auto found = blobs.find(call.target.blob);
  if (found == blobs.end()) {
    if (call.request.Header("if-match") != nullptr) Refuse("ConditionNotMet");
    version.generation = 0;
  } else {
    if (call.request.HeaderOr("if-none-match", "") == "*") Refuse("BlobAlreadyExists");
    if (!call.caller.May("w")) Refuse("UnauthorizedBlobOverwrite");
    found->second.lease.Refresh(call.now);
    CheckLeaseOfWrite(call, found->second.lease);
    CheckConditions(call, found->second.base);
    if (found->second.base.is_page_blob != version.is_page_blob) Refuse("InvalidBlobType");
    found->second.lease.NoteWrite();
    version.generation = found->second.base.generation + 1;
  }
  version.incarnation = ++call.account.last_incarnation;
  version.created = call.now;
  Touch(call, version);
  const std::string id = GuidText(RandomBits());
  version.copy = {
      {"x-ms-copy-id", id},
      {"x-ms-copy-status", "success"},
      {"x-ms-copy-source", call.request.Header("x-ms-copy-source")
                               ->substr(0, call.request.Header("x-ms-copy-source")->find('?'))},
      {"x-ms-copy-progress", fmt::format("{}/{}", version.size_bytes, version.size_bytes)},
      {"x-ms-copy-completion-time", FormatHttpDate(call.now)}};
  ServerReply reply{202};
  AddEtag(reply, version);
  reply.Add("x-ms-copy-id", id);
  reply.Add("x-ms-copy-status", "success");
  blobs[call.target.blob].base = std::move(version);
  return reply;
}

}  // namespace asr::testing::page_blob
