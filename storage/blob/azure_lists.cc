#include "storage/blob/azure_lists.h"

#include <algorithm>

#include <fmt/format.h>
#include <pugixml.hpp>

#include "storage/blob/blob_name.h"
#include "storage/blob/document_metadata.h"

namespace asr {
namespace {

// A list of a fragmented blob's ranges can take the service longer than it gives itself; a window
// at a time does not ("Getting the Page Ranges of a Large Page Blob in Segments", 2012).
constexpr std::uint64_t kRangeWindowBytes = 16 * kGiB;

// Of 6 KiB each, which the client takes as one reply (HttpRequest::reply_limit_bytes).
constexpr std::size_t kDocumentsOfPage = 1000;

Error BadList(const std::string& what) {
  return MakeError(ErrorKind::kIo, ErrorCode::kBadReply,
                   fmt::format("{}: the reply is no list of Azure Blob Storage", what))
      .WithCause("something between this machine and the service answers in its place")
      .WithAction("look at the URL and the proxy, then run the same command again");
}

Result<pugi::xml_document> Parse(const HttpResponse& reply, const std::string& what) {
  pugi::xml_document document;
  const auto parsed = document.load_buffer(reply.body.data(), reply.body.size());
  if (!parsed) return Fail(BadList(what));
  return document;
}

ListedBlob ReadBlob(const pugi::xml_node& node, const ListOptions& options) {
  const pugi::xml_node properties = node.child("Properties");
  ListedBlob blob{
      .name = node.child_value("Name"),
      .snapshot = node.child_value("Snapshot"),
      .size_bytes = properties.child("Content-Length").text().as_ullong(),
      .point = node.child("Metadata").child_value("point"),
      .is_page_blob = std::string_view(properties.child_value("BlobType")) == "PageBlob",
      .etag = WithoutQuotes(properties.child_value("Etag")),
      .document = std::nullopt};
  if (options.with_documents && !blob.is_page_blob) {
    blob.document =
        UnpackDocument(node.child("Metadata").child_value(std::string(kDocumentMetadata).c_str()),
                       blob.size_bytes, properties.child_value("Content-MD5"));
  }
  return blob;
}

// One page of the list. Returns the marker of the next one; empty after the last.
Result<std::string> ListPage(AzureClient& client, const ListOptions& options,
                             const std::string& marker, BlobListing& listing) {
  AzureRequest request{.blob = "",
                       .query = {{"restype", "container"}, {"comp", "list"}},
                       .what =
                           "cannot list the "
                           "container"};
  if (!options.prefix.empty()) request.query.emplace_back("prefix", options.prefix);
  if (options.with_snapshots) request.query.emplace_back("include", "snapshots,metadata");
  if (options.with_documents) request.query.emplace_back("include", "metadata");
  if (options.one_level) request.query.emplace_back("delimiter", "/");
  const std::size_t most =
      options.with_documents && options.limit == 0 ? kDocumentsOfPage : options.limit;
  if (most != 0) request.query.emplace_back("maxresults", std::to_string(most));
  if (!marker.empty()) request.query.emplace_back("marker", marker);
  ASR_TRY(const HttpResponse reply, client.Send(request));
  ASR_TRY(const pugi::xml_document document, Parse(reply, request.what));
  const pugi::xml_node root = document.child("EnumerationResults");
  if (!root) return Fail(BadList(request.what));
  for (const pugi::xml_node& node : root.child("Blobs").children("Blob")) {
    listing.blobs.push_back(ReadBlob(node, options));
  }
  for (const pugi::xml_node& node : root.child("Blobs").children("BlobPrefix")) {
    listing.prefixes.emplace_back(node.child_value("Name"));
  }
  return std::string(root.child_value("NextMarker"));
}

// A live blob after its snapshots.
bool IsBefore(const ListedBlob& a, const ListedBlob& b) {
  if (a.name != b.name) return a.name < b.name;
  if (a.snapshot.empty() != b.snapshot.empty()) return b.snapshot.empty();
  return a.snapshot < b.snapshot;
}

Status ListRangesOfWindow(AzureClient& client, const std::string& name, const std::string& snapshot,
                          Extent window, std::vector<Extent>& extents) {
  std::string marker;
  do {
    AzureRequest request{.blob = name,
                         .query = {{"comp", "pagelist"}},
                         .what = "cannot list the pages of " + name,
                         .expected = {404}};
    if (!snapshot.empty()) request.query.emplace_back("snapshot", snapshot);
    if (!marker.empty()) request.query.emplace_back("marker", marker);
    request.headers.Set("x-ms-range", RangeHeader(window));
    ASR_TRY(const HttpResponse reply, client.Send(request));
    if (reply.status == 404) return Fail(BlobNotFound(name));
    ASR_TRY(const pugi::xml_document document, Parse(reply, request.what));
    const pugi::xml_node root = document.child("PageList");
    if (!root) return Fail(BadList(request.what));
    for (const pugi::xml_node& node : root.children("PageRange")) {
      const std::uint64_t start = node.child("Start").text().as_ullong();
      const std::uint64_t end = node.child("End").text().as_ullong() + 1;
      if (end <= start) return Fail(BadList(request.what));
      extents.push_back({start, end - start});
    }
    marker = root.child_value("NextMarker");
  } while (!marker.empty());
  return {};
}

// Servers list neighbours apart, and ranges that reach over the window.
std::vector<Extent> Merged(std::vector<Extent> extents, Extent range) {
  std::ranges::sort(extents, {}, &Extent::offset_bytes);
  std::vector<Extent> merged;
  for (const Extent& extent : extents) {
    const std::uint64_t start = std::max(extent.offset_bytes, range.offset_bytes);
    const std::uint64_t end = std::min(extent.end_bytes(), range.end_bytes());
    if (start >= end) continue;
    if (!merged.empty() && start <= merged.back().end_bytes()) {
      const std::uint64_t last_end = std::max(merged.back().end_bytes(), end);
      merged.back().length_bytes = last_end - merged.back().offset_bytes;
    } else {
      merged.push_back({start, end - start});
    }
  }
  return merged;
}

}  // namespace

Result<BlobListing> ListBlobs(AzureClient& client, const ListOptions& options) {
  BlobListing listing;
  std::string marker;
  do {
    ASR_TRY(marker, ListPage(client, options, marker, listing));
    if (options.limit != 0 && listing.blobs.size() >= options.limit) break;
    if (options.first_page) break;
  } while (!marker.empty());
  listing.is_whole = marker.empty();
  std::ranges::sort(listing.blobs, IsBefore);
  return listing;
}

Result<std::vector<AzureSnapshot>> ListAllAzureSnapshots(AzureClient& client,
                                                         const std::string& name) {
  ASR_TRY(const BlobListing listing, ListBlobs(client, {.prefix = name, .with_snapshots = true}));
  std::vector<AzureSnapshot> snapshots;
  bool exists = false;
  for (const ListedBlob& blob : listing.blobs) {
    if (blob.name != name) continue;
    exists |= blob.snapshot.empty();
    if (!blob.snapshot.empty() && !blob.point.empty()) {
      snapshots.push_back({.id = {blob.point}, .time = blob.snapshot});
    }
  }
  if (!exists) return Fail(BlobNotFound(name));
  std::ranges::stable_sort(snapshots, {}, &AzureSnapshot::id);
  return snapshots;
}

Result<std::vector<AzureSnapshot>> ListAzureSnapshots(AzureClient& client,
                                                      const std::string& name) {
  ASR_TRY(auto snapshots, ListAllAzureSnapshots(client, name));
  const auto is_same = [](const AzureSnapshot& a, const AzureSnapshot& b) { return a.id == b.id; };
  snapshots.erase(std::unique(snapshots.begin(), snapshots.end(), is_same), snapshots.end());
  return snapshots;
}

Result<std::vector<Extent>> ListPageRanges(AzureClient& client, const std::string& name,
                                           const std::string& snapshot, Extent range) {
  std::vector<Extent> extents;
  for (std::uint64_t begin = range.offset_bytes; begin < range.end_bytes();) {
    const std::uint64_t end =
        std::min(AlignDown(begin, kRangeWindowBytes) + kRangeWindowBytes, range.end_bytes());
    ASR_CHECK(ListRangesOfWindow(client, name, snapshot, {begin, end - begin}, extents));
    begin = end;
  }
  return Merged(std::move(extents), range);
}

}  // namespace asr
