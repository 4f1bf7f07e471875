#include "core/jobs/log_sets.h"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "core/changes/change_log.h"
#include "core/vault/document_reader.h"
#include "core/vault/document_text.h"
#include "core/vault/documents.h"

namespace asr {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kVersion = 1;
constexpr std::string_view kAnnounced = ".spool";
constexpr std::string_view kCommitted = ".json";

std::string Encode(const LogSet& set) {
  Json disks = Json::array();
  for (const LoggedDisk& disk : set.disks) {
    disks.push_back({{"log", disk.log_path}, {"diskDigest", ToHex(disk.disk_digest)}});
  }
  const Json json = {{"version", kVersion}, {"point", EncodePoint(set.point)}, {"disks", disks}};
  // A path need not be UTF-8: then the set is not found again, and its logs stay.
  return WriteDocument(json);
}

Result<LogSet> Decode(const std::string& name, const std::string& text) {
  ASR_TRY(auto reader, DocumentReader::Parse(name, text, kVersion));
  const std::string point = reader.Text("point");
  LogSet set;
  for (DocumentReader& element : reader.Objects("disks")) {
    LoggedDisk disk;
    disk.log_path = element.TextOr("log", "");
    disk.disk_digest = element.HexBits("diskDigest");
    reader.Adopt(element);
    set.disks.push_back(std::move(disk));
  }
  ASR_CHECK(reader.status());
  ASR_TRY(set.point, DecodePoint(name, point));
  if (set.disks.size() != set.point.disks.size()) reader.Reject("disks", "the disks of the point");
  ASR_CHECK(reader.status());
  return set;
}

}  // namespace

std::string LogSets::PathOf(const PointId& set, std::string_view ending) const {
  return JoinPath(directory_, set.value + std::string(ending));
}

Status LogSets::Announce(const LogSet& set) {
  ASR_CHECK(fs_.CreateDirectories(directory_));
  return WriteFileAtomic(fs_, PathOf(set.point.id, kAnnounced), AsBytes(Encode(set)));
}

Status LogSets::Commit(const LogSet& set) {
  return WriteFileAtomic(fs_, PathOf(set.point.id, kCommitted), AsBytes(Encode(set)));
}

Status LogSets::Remove(const LogSet& set) {
  for (const LoggedDisk& disk : set.disks) {
    if (disk.log_path.empty()) continue;
    ASR_CHECK(RemoveChangeLog(fs_, disk.log_path));
    ASR_CHECK(fs_.SyncDirectory(ParentOf(disk.log_path)));
  }
  ASR_CHECK(RemoveDocument(PathOf(set.point.id, kCommitted)));
  return RemoveDocument(PathOf(set.point.id, kAnnounced));
}

Status LogSets::RemoveDocument(const std::string& path) {
  Status removed = fs_.RemoveFile(path);
  if (!removed && removed.error().kind != ErrorKind::kNotFound) return removed;
  return fs_.SyncDirectory(directory_);
}

// Nothing if the document is not whole.
Result<std::optional<LogSet>> LogSets::Read(const std::string& path) {
  const auto text = ReadWholeFile(fs_, path);
  if (!text && text.error().kind == ErrorKind::kNotFound) return std::nullopt;
  if (!text) return Fail(text.error());
  auto set = Decode(path, *text);
  if (!set) return std::nullopt;
  return *std::move(set);
}

Result<LogSets::Recovered> LogSets::Recover() {
  Recovered recovered;
  const auto entries = fs_.List(directory_);
  if (!entries && entries.error().kind == ErrorKind::kNotFound) return recovered;
  if (!entries) return Fail(entries.error());
  for (const DirectoryEntry& entry : *entries) {
    // A document that was never renamed into place.
    if (entry.name.find(".tmp-") != std::string::npos) {
      ASR_CHECK(RemoveDocument(JoinPath(directory_, entry.name)));
    }
    if (!entry.name.ends_with(kAnnounced)) continue;
    const std::string stem = entry.name.substr(0, entry.name.size() - kAnnounced.size());
    const std::string document = JoinPath(directory_, stem + std::string(kCommitted));
    ASR_TRY(const bool exists, PathExists(fs_, document));
    ASR_TRY(auto committed, Read(document));
    if (committed) {
      recovered.sets.push_back(*std::move(committed));
      continue;
    }
    if (exists) recovered.damaged.push_back(document);
    ASR_TRY(const auto announced, Read(JoinPath(directory_, entry.name)));
    if (announced) ASR_CHECK(Remove(*announced));
    ASR_CHECK(RemoveDocument(document));
    ASR_CHECK(RemoveDocument(JoinPath(directory_, entry.name)));
  }
  return recovered;  // names sort by the instant
}

}  // namespace asr
