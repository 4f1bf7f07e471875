// Lists of blobs and of containers, in pages.
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <tuple>

#include "storage/base/text.h"
#include "tests/support/page_blob_server/call.h"
#include "tests/support/page_blob_server/service_error.h"

namespace asr::testing::page_blob {
namespace {

// An entry is what follows all of (name, snapshot) before it; the base comes after its snapshots.
using EntryKey = std::tuple<std::string, bool, std::string>;

std::set<std::string> ReadInclude(const ServerRequest& request) {
  static const std::set<std::string> kKnown = {
      "snapshots", "metadata", "uncommittedblobs",   "copy",      "deleted",
      "tags",      "versions", "immutabilitypolicy", "legalhold", "deletedwithversions"};
  std::set<std::string> include;
  std::string text = AsciiLowerCase(request.QueryOr("include", ""));
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    const std::string word = text.substr(0, comma);
    text = comma == std::string::npos ? "" : text.substr(comma + 1);
    if (!kKnown.contains(word)) RefuseQuery("InvalidQueryParameterValue", "include", word);
    include.insert(word);
  }
  return include;
}

std::string FormatMarker(const EntryKey& key) {
  const auto& [name, is_base, snapshot] = key;
  return EncodeBase64(AsBytes(fmt::format("{}\n{}\n{}", name, is_base ? 1 : 0, snapshot)));
}

EntryKey ReadEntryMarker(const ServerRequest& request) {
  const std::string text = request.QueryOr("marker", "");
  if (text.empty()) return {};
  const std::string plain = DecodeBase64(text).value_or("");
  const std::size_t last = plain.rfind('\n');
  if (last == std::string::npos || last < 2) {
    RefuseQuery("InvalidQueryParameterValue", "marker", text);
  }
  return {plain.substr(0, last - 2), plain[last - 1] == '1', plain.substr(last + 1)};
}

std::string Element(std::string_view name, std::string_view value) {
  return fmt::format("<{0}>{1}</{0}>", name, EscapeXml(value));
}

std::string FormatProperties(const StoredBlob& blob, const BlobVersion& version, bool is_base) {
  std::string xml = Element("Creation-Time", FormatHttpDate(version.created)) +
                    Element("Last-Modified", FormatHttpDate(version.modified)) +
                    Element("Etag", version.etag.substr(1, version.etag.size() - 2)) +
                    Element("Content-Length", std::to_string(version.size_bytes));
  for (const auto& [tag, name] :
       {std::pair{"Content-Type", "content-type"},
        std::pair{"Content-Encoding", "content-encoding"},
        std::pair{"Content-Language", "content-language"}, std::pair{"Content-MD5", "content-md5"},
        std::pair{"Cache-Control", "cache-control"},
        std::pair{"Content-Disposition", "content-disposition"}}) {
    const auto found = version.properties.find(name);
    xml += Element(tag, found == version.properties.end() ? "" : found->second);
  }
  if (version.is_page_blob) {
    xml += Element("x-ms-blob-sequence-number", std::to_string(version.sequence_number));
  }
  xml += Element("BlobType", version.is_page_blob ? "PageBlob" : "BlockBlob");
  if (is_base) {
    const LeaseState state = blob.lease.state;
    const bool is_locked = state == LeaseState::kLeased || state == LeaseState::kBreaking;
    constexpr std::string_view kNames[] = {"available", "leased", "expired", "breaking", "broken"};
    xml += Element("LeaseStatus", is_locked ? "locked" : "unlocked");
    xml += Element("LeaseState", kNames[static_cast<std::size_t>(state)]);
    if (state == LeaseState::kLeased) {
      xml += Element("LeaseDuration", blob.lease.duration_seconds < 0 ? "infinite" : "fixed");
    }
  }
  return "<Properties>" + xml + "<ServerEncrypted>true</ServerEncrypted></Properties>";
}

class BlobList {
 public:
  explicit BlobList(Call& call)
      : call_(call),
        prefix_(call.request.QueryOr("prefix", "")),
        delimiter_(call.request.QueryOr("delimiter", "")),
        include_(ReadInclude(call.request)),
        limit_(PageLimit(call.request, call.rules.list_page_limit)),
        from_(ReadEntryMarker(call.request)) {
    if (!delimiter_.empty() && include_.contains("snapshots")) {
      RefuseQuery("InvalidQueryParameterValue", "include", "snapshots");
    }
  }

  void Walk(StoredContainer& container) {
    const std::string& first = std::max(prefix_, std::get<0>(from_));
    for (auto entry = container.blobs.lower_bound(first);
         entry != container.blobs.end() && entry->first.starts_with(prefix_) && next_.empty();
         ++entry) {
      auto& [name, blob] = *entry;
      blob.lease.Refresh(call_.now);
      if (AddCommonPrefix(name)) continue;
      if (include_.contains("snapshots")) {
        for (const auto& [time, version] : blob.snapshots) {
          AddBlob({name, false, time}, blob, version);
        }
      }
      AddBlob({name, true, ""}, blob, blob.base);
    }
  }
  [[nodiscard]] std::string Format() const {
    const ServerRequest& request = call_.request;
    std::string xml = fmt::format(
        "<EnumerationResults ServiceEndpoint=\"{}://{}/{}\" ContainerName=\"{}\">",
        request.is_tls ? "https" : "http", request.HeaderOr("host", ""),
        call_.target.is_path_style ? call_.account.name + "/" : "", call_.target.container);
    for (const auto& [tag, name] :
         {std::pair{"Prefix", "prefix"}, std::pair{"Marker", "marker"},
          std::pair{"MaxResults", "maxresults"}, std::pair{"Delimiter", "delimiter"}}) {
      if (const std::string* const value = request.Query(name)) xml += Element(tag, *value);
    }
    xml += "<Blobs>" + blobs_ + "</Blobs>";
    xml += next_.empty() ? "<NextMarker />" : Element("NextMarker", next_);
    return XmlDocument(xml + "</EnumerationResults>");
  }

 private:
  // True if the entry may be written; else it is before the marker, or the page is full.
  bool Take(const EntryKey& key) {
    if (key < from_ || !next_.empty()) return false;
    if (count_ == limit_) {
      next_ = FormatMarker(key);
      return false;
    }
    ++count_;
    return true;
  }
  // True if the blob lies below a name that ends in the delimiter.
  bool AddCommonPrefix(const std::string& name) {
    if (delimiter_.empty()) return false;
    const std::size_t at = name.find(delimiter_, prefix_.size());
    if (at == std::string::npos) return false;
    const std::string common = name.substr(0, at + delimiter_.size());
    if (common == last_common_) return true;
    if (Take({name, true, ""})) {
      last_common_ = common;
      blobs_ += "<BlobPrefix>" + Element("Name", common) + "</BlobPrefix>";
    } else if (!next_.empty()) {
      return true;
    } else {
      // Before the marker: its prefix was in an earlier page.
      last_common_ = common;
    }
    return true;
  }
  void AddBlob(const EntryKey& key, const StoredBlob& blob, const BlobVersion& version) {
    if (!Take(key)) return;
    const auto& [name, is_base, snapshot] = key;
    blobs_ += "<Blob>" + Element("Name", name);
    if (!is_base) blobs_ += Element("Snapshot", snapshot);
    blobs_ += FormatProperties(blob, version, is_base);
    if (include_.contains("metadata")) {
      blobs_ += "<Metadata>";
      for (const auto& [key_name, value] : version.metadata) blobs_ += Element(key_name, value);
      blobs_ += "</Metadata>";
    }
    blobs_ += "<OrMetadata /></Blob>";
  }

  Call& call_;
  std::string prefix_;
  std::string delimiter_;
  std::set<std::string> include_;
  std::size_t limit_;
  EntryKey from_;
  std::string blobs_;
  std::string last_common_;
  std::string next_;
  std::size_t count_ = 0;
};

}  // namespace

ServerReply ListBlobs(Call& call) {
  BlobList list(call);
  list.Walk(FindContainer(call));
  ServerReply reply{200};
  reply.Add("Content-Type", "application/xml");
  reply.body = list.Format();
  return reply;
}

ServerReply ListContainers(Call& call) {
  const std::string prefix = call.request.QueryOr("prefix", "");
  const std::string from = call.request.QueryOr("marker", "");
  const std::size_t limit = PageLimit(call.request, call.rules.list_page_limit);
  std::string xml;
  std::string next;
  std::size_t count = 0;
  for (const auto& [name, container] : call.account.containers) {
    if (!name.starts_with(prefix) || name < from) continue;
    if (count++ == limit) {
      next = name;
      break;
    }
    xml += "<Container>" + Element("Name", name) + "<Properties>" +
           Element("Last-Modified", FormatHttpDate(container.modified)) +
           Element("Etag", container.etag) +
           "<LeaseStatus>unlocked</LeaseStatus><LeaseState>available</LeaseState>"
           "</Properties></Container>";
  }
  ServerReply reply{200};
  reply.Add("Content-Type", "application/xml");
  reply.body = XmlDocument(fmt::format(
      "<EnumerationResults ServiceEndpoint=\"http://{}/{}\"><Containers>{}</Containers>{}"
      "</EnumerationResults>",
      call.request.HeaderOr("host", ""), call.account.name, xml,
      next.empty() ? "<NextMarker />" : Element("NextMarker", next)));
  return reply;
}

}  // namespace asr::testing::page_blob
