#include "storage/blob/azure_blob_version.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "storage/blob/blob_name.h"

namespace asr {
namespace {

std::uint64_t NumberOf(std::string_view text) {
  std::uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

Error Gone(const AzureVersion& version) {
  return version.snapshot_time.empty() ? BlobNotFound(version.name)
                                       : SnapshotNotFound(version.name, version.snapshot);
}

}  // namespace

Result<HttpResponse> HeadOf(const AzureVersion& version) {
  AzureRequest request{.method = HttpMethod::kHead,
                       .blob = version.name,
                       .what = "cannot look at " + version.name,
                       .expected = {404}};
  if (!version.snapshot_time.empty()) {
    request.query.emplace_back("snapshot", version.snapshot_time);
  }
  ASR_TRY(HttpResponse reply, version.client->Send(request));
  if (reply.status == 404) return Fail(Gone(version));
  if (reply.headers.Get("x-ms-blob-type") == "PageBlob") return reply;
  return Fail(MakeError(ErrorKind::kCorrupt, ErrorCode::kBlobCorrupt,
                        fmt::format("{} is no page blob", version.name))
                  .WithCause("somebody uploaded a file in its place")
                  .WithAction("delete it there, then resync the VM"));
}

std::uint64_t SizeOf(const HttpResponse& head) {
  return NumberOf(head.headers.Get("content-length"));
}

Status Fetch(const AzureVersion& version, std::uint64_t offset_bytes, MutableByteSpan out) {
  while (!out.empty()) {
    const std::uint64_t most =
        std::min(version.client->http().downloads().suggested_body_bytes(), kMostBytesOfAPut);
    const MutableByteSpan piece = out.first(std::min<std::uint64_t>(most, out.size()));
    AzureRequest request{
        .blob = version.name,
        .into = piece,
        .what = fmt::format("cannot read {} at offset {}", version.name, offset_bytes),
        .expected = {404}};
    if (!version.snapshot_time.empty()) {
      request.query.emplace_back("snapshot", version.snapshot_time);
    }
    request.headers.Set("x-ms-range", RangeHeader({offset_bytes, piece.size()}));
    ASR_TRY(const HttpResponse reply, version.client->Send(request));
    if (reply.status == 404) return Fail(Gone(version));
    if (reply.body_bytes != piece.size()) {
      return Fail(MakeError(ErrorKind::kIo, ErrorCode::kBadReply,
                            fmt::format("{}: {} bytes came, {} were asked for", request.what,
                                        reply.body_bytes, piece.size()))
                      .Retryable());
    }
    offset_bytes += piece.size();
    out = out.subspan(piece.size());
  }
  return {};
}

}  // namespace asr
