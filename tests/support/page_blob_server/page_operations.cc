// Pages: written, cleared, listed, compared with a snapshot.
#include <fmt/format.h>

#include <algorithm>

#include "tests/support/page_blob_server/call.h"
#include "tests/support/page_blob_server/service_error.h"

namespace asr::testing::page_blob {
namespace {

// x-ms-range counts before Range.
Extent RequestedPages(const ServerRequest& request) {
  for (const char* name : {"x-ms-range", "range"}) {
    if (const std::string* const value = request.Header(name)) return ReadPageRange(name, *value);
  }
  RefuseHeader("MissingRequiredHeader", "x-ms-range");
}

// Runs are cut where the service might cut them: neighbours need not be merged.
std::vector<PageRun> CutRuns(const std::vector<PageRun>& runs, std::uint64_t longest_bytes) {
  std::vector<PageRun> cut;
  for (const PageRun& run : runs) {
    for (std::uint64_t at = run.range.offset_bytes; at < run.range.end_bytes();) {
      const std::uint64_t end =
          std::min(AlignDown(at, longest_bytes) + longest_bytes, run.range.end_bytes());
      cut.push_back({{at, end - at}, run.is_cleared});
      at = end;
    }
  }
  return cut;
}

std::vector<PageRun> FindRuns(Call& call, StoredBlob& blob, const BlobVersion& version,
                              Extent range) {
  if (call.target.operation == Operation::kGetPageRanges) return version.pages.Allocated(range);
  if (call.request.Header("x-ms-previous-snapshot-url") != nullptr) {
    Refuse("PreviousSnapshotOperationNotSupported");  // for snapshots of managed disks only
  }
  const std::string previous = call.request.QueryOr("prevsnapshot", "");
  if (!ParseIsoTime(previous)) {
    RefuseQuery("InvalidQueryParameterValue", "prevsnapshot", previous);
  }
  const auto found = blob.snapshots.find(previous);
  if (found == blob.snapshots.end()) Refuse("PreviousSnapshotNotFound");
  if (!call.target.snapshot.empty() && previous > call.target.snapshot) {
    Refuse("PreviousSnapshotCannotBeNewer");
  }
  if (found->second.incarnation != version.incarnation) Refuse("BlobOverwritten");
  return version.pages.ChangedSince(found->second.pages, found->second.generation, range);
}

std::uint64_t ReadRangeMarker(const ServerRequest& request) {
  const std::string text = request.QueryOr("marker", "");
  if (text.empty()) return 0;
  const auto decoded = DecodeBase64(text);
  const auto offset = decoded ? ParseNumber(*decoded) : std::nullopt;
  if (!offset) RefuseQuery("InvalidQueryParameterValue", "marker", text);
  return *offset;
}

std::string FormatRuns(const std::vector<PageRun>& runs, std::size_t limit) {
  std::string xml = "<PageList>";
  for (std::size_t i = 0; i < runs.size() && i < limit; ++i) {
    const std::string_view name = runs[i].is_cleared ? "ClearRange" : "PageRange";
    fmt::format_to(std::back_inserter(xml), "<{0}><Start>{1}</Start><End>{2}</End></{0}>", name,
                   runs[i].range.offset_bytes, runs[i].range.end_bytes() - 1);
  }
  if (runs.size() > limit) {
    const std::string next = std::to_string(runs[limit].range.offset_bytes);
    xml += "<NextMarker>" + EncodeBase64(AsBytes(next)) + "</NextMarker>";
  } else {
    xml += "<NextMarker />";
  }
  return XmlDocument(xml + "</PageList>");
}

}  // namespace

ServerReply WritePages(Call& call) {
  const bool clears = call.target.operation == Operation::kClearPages;
  const Extent range = RequestedPages(call.request);
  if (clears && call.request.content_length != 0) {
    RefuseHeader("InvalidHeaderValue", "Content-Length",
                 std::to_string(call.request.content_length));
  }
  if (!clears && call.request.content_length != range.length_bytes) {
    RefuseHeader("InvalidHeaderValue", "Content-Length",
                 std::to_string(call.request.content_length));
  }
  StoredBlob& blob = FindPageBlob(call);
  BlobVersion& version = blob.base;
  CheckLeaseOfWrite(call, blob.lease);
  CheckConditions(call, version);
  CheckSequenceConditions(call, version);
  if (range.end_bytes() > version.size_bytes) Refuse("InvalidPageRange");
  if (!call.rules.discard) {
    if (clears) {
      version.pages.Clear(range);
    } else {
      version.pages.Write(range.offset_bytes, call.request.body, version.generation);
    }
  }
  blob.lease.NoteWrite();
  Touch(call, version);
  ServerReply reply{201};
  AddEtag(reply, version);
  reply.Add("x-ms-blob-sequence-number", std::to_string(version.sequence_number));
  if (!clears) {
    if (call.body_crc) reply.Add("x-ms-content-crc64", Crc64Header(*call.body_crc));
    if (const std::string* const md5 = call.request.Header("content-md5")) {
      reply.Add("Content-MD5", *md5);
    }
  }
  reply.Add("x-ms-request-server-encrypted", "true");
  return reply;
}

ServerReply GetPageRanges(Call& call) {
  StoredBlob& blob = FindPageBlob(call);
  const BlobVersion& version = FindVersion(call, blob);
  CheckLeaseOfRead(call, blob.lease);
  CheckConditions(call, version);
  Extent range{0, version.size_bytes};
  for (const char* name : {"range", "x-ms-range"}) {
    const std::string* const text = call.request.Header(name);
    if (text == nullptr) continue;
    const auto wanted = ParseByteRange(*text);
    if (!wanted) RefuseHeader("InvalidHeaderValue", name, *text);
    if (wanted->first >= version.size_bytes) Refuse("InvalidRange");
    const std::uint64_t last =
        std::min(wanted->last.value_or(version.size_bytes - 1), version.size_bytes - 1);
    range = {wanted->first, last - wanted->first + 1};
  }
  const std::uint64_t from = std::max(range.offset_bytes, ReadRangeMarker(call.request));
  if (from >= range.end_bytes()) {
    range.length_bytes = 0;
  } else {
    range = {from, range.end_bytes() - from};
  }
  const auto runs = CutRuns(FindRuns(call, blob, version, range), call.rules.longest_run_bytes);
  ServerReply reply{200};
  AddEtag(reply, version);
  reply.Add("x-ms-blob-content-length", std::to_string(version.size_bytes));
  reply.Add("Content-Type", "application/xml");
  reply.body = FormatRuns(runs, PageLimit(call.request, call.rules.range_page_limit));
  return reply;
}

}  // namespace asr::testing::page_blob
