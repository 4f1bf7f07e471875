#include "core/jobs/log_sets.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/changes/change_log.h"
#include "core/vault/document_reader.h"
#include "core/vault/document_text.h"
#include "core/vault/documents.h"

namespace asr {
namespace {

using Json = nlohmann::ordered_json;

// 2: without a digest for each disk. Older programs refuse it, and touch nothing.
constexpr int kVersion = 2;
constexpr int kVersionWithDigests = 1;
constexpr std::string_view kAnnounced = ".spool";
constexpr std::string_view kCommitted = ".json";
constexpr std::string_view kNotedPoint = "point.newest";

RecoveryPoint WithoutContent(RecoveryPoint point) {
  if (point.firmware) point.firmware->content.clear();
  return point;
}

std::string EncodeDisks(const LogSet& set, int version, const std::vector<std::string>& digests) {
  Json disks = Json::array();
  for (std::size_t i = 0; i < set.disks.size(); ++i) {
    Json one = {{"log", set.disks[i].log_path}};
    if (!digests[i].empty()) one["diskDigest"] = digests[i];
    disks.push_back(std::move(one));
  }
  const Json json = {
      {"version", version}, {"point", EncodePoint(set.point)}, {"disks", std::move(disks)}};
  return WriteDocument(json);
}

// Nobody knows the digests yet.
std::string EncodeAnnounced(const LogSet& set) {
  const LogSet names{.point = WithoutContent(set.point), .disks = set.disks};
  return EncodeDisks(names, kVersionWithDigests, std::vector(set.disks.size(), ToHex(Bits128{})));
}

std::string Encode(const LogSet& set) {
  int version = kVersionWithDigests;
  std::vector<std::string> digests;
  for (const LoggedDisk& disk : set.disks) {
    if (!disk.disk_digest) version = kVersion;
    digests.push_back(disk.disk_digest ? ToHex(*disk.disk_digest) : "");
  }
  return EncodeDisks(set, version, digests);
}

Result<LogSet> Decode(const std::string& name, const std::string& text) {
  ASR_TRY(auto reader, DocumentReader::Parse(name, text, kVersion));
  const std::string point = reader.Text("point");
  const bool all_have_digests = reader.Unsigned("version") == kVersionWithDigests;
  LogSet set;
  for (DocumentReader& element : reader.Objects("disks")) {
    LoggedDisk disk;
    disk.log_path = element.TextOr("log", "");
    if (all_have_digests || element.Has("diskDigest")) {
      disk.disk_digest = element.HexBits("diskDigest");
    }
    reader.Adopt(element);
    set.disks.push_back(std::move(disk));
  }
  ASR_CHECK(reader.status());
  ASR_TRY(set.point, DecodePoint(name, point));
  if (set.disks.size() != set.point.disks.size()) reader.Reject("disks", "the disks of the point");
  ASR_CHECK(reader.status());
  return set;
}

void NoteFailure(const Status& status, LogSets::Recovered& recovered) {
  if (!status) recovered.left.push_back(status.error());
}

}  // namespace

std::string LogSets::PathOf(const PointId& set, std::string_view ending) const {
  return JoinPath(directory_, set.value + std::string(ending));
}

Status LogSets::Announce(const LogSet& set) {
  const std::string text = EncodeAnnounced(set);
  const std::string path = PathOf(set.point.id, kAnnounced);
  ASR_TRY(const LogSet read, Decode(path, text));
  for (std::size_t i = 0; i < set.disks.size(); ++i) {
    if (read.disks[i].log_path == set.disks[i].log_path) continue;
    return Fail(ErrorKind::kState, ErrorCode::kLogUnsupported,
                fmt::format("the path {} is not UTF-8", read.disks[i].log_path));
  }
  ASR_CHECK(fs_.CreateDirectories(directory_));
  return WriteFileAtomic(fs_, path, AsBytes(text));
}

Status LogSets::Commit(const LogSet& set) {
  return WriteFileAtomic(fs_, PathOf(set.point.id, kCommitted), AsBytes(Encode(set)));
}

Status LogSets::Remove(const LogSet& set) {
  ASR_CHECK(RemoveDocument(PathOf(set.point.id, kCommitted)));
  for (const LoggedDisk& disk : set.disks) {
    if (!disk.log_path.empty()) ASR_CHECK(RemoveChangeLog(fs_, disk.log_path));
  }
  return RemoveDocument(PathOf(set.point.id, kAnnounced));
}

Status LogSets::RemoveDocument(const std::string& path) {
  Status removed = fs_.RemoveFile(path);
  if (removed) return fs_.SyncDirectory(directory_);
  if (IsNotFound(removed.error())) return {};
  return removed;
}

// Nothing if the document is not whole.
Result<std::optional<LogSet>> LogSets::Read(const std::string& path) const {
  const auto text = ReadWholeFile(fs_, path);
  if (!text && IsNotFound(text.error())) return std::nullopt;
  if (!text) return Fail(text.error());
  auto set = Decode(path, *text);
  if (set) return *std::move(set);
  if (set.error().kind == ErrorKind::kUnsupported) return Fail(std::move(set).error());
  return std::nullopt;
}

Result<std::vector<PointId>> LogSets::ListWaiting() const {
  std::vector<PointId> waiting;
  const auto entries = fs_.List(directory_);
  if (!entries && IsNotFound(entries.error())) return waiting;
  if (!entries) return Fail(entries.error());
  for (const DirectoryEntry& entry : *entries) {
    if (!entry.name.ends_with(kCommitted)) continue;
    waiting.push_back({entry.name.substr(0, entry.name.size() - kCommitted.size())});
  }
  return waiting;
}

Result<std::vector<LogSet>> LogSets::ReadWaiting() const {
  ASR_TRY(const auto waiting, ListWaiting());
  std::vector<LogSet> sets;
  for (const PointId& id : waiting) {
    auto set = Read(PathOf(id, kCommitted));
    if (set && *set) sets.push_back(**std::move(set));
  }
  return sets;
}

std::uint64_t LogSets::LogBytes(const LoggedDisk& disk) const {
  if (disk.log_path.empty()) return 0;
  const auto stamp = fs_.Stat(disk.log_path);
  return stamp ? stamp->allocated_bytes : 0;
}

Result<std::uint64_t> LogSets::WaitingBytes() const {
  ASR_TRY(const auto sets, ReadWaiting());
  std::uint64_t bytes = 0;
  for (const LogSet& set : sets) {
    for (const LoggedDisk& disk : set.disks) bytes += LogBytes(disk);
  }
  return bytes;
}

Status LogSets::NotePoint(const RecoveryPoint& point) {
  const std::string path = JoinPath(directory_, kNotedPoint);
  if (point.checkpoint.empty()) return RemoveDocument(path);
  ASR_TRY(const auto noted, NotedPoint());
  if (noted && noted->id == point.id) return {};
  ASR_CHECK(fs_.CreateDirectories(directory_));
  return WriteFileAtomic(fs_, path, AsBytes(EncodePoint(WithoutContent(point))));
}

Result<std::optional<RecoveryPoint>> LogSets::NotedPoint() const {
  const std::string path = JoinPath(directory_, kNotedPoint);
  const auto text = ReadWholeFile(fs_, path);
  if (!text && IsNotFound(text.error())) return std::nullopt;
  ASR_CHECK(text);
  auto point = DecodePoint(path, *text);
  if (!point) return std::nullopt;
  return *std::move(point);
}

Status LogSets::RemoveNotes() { return RemoveDocument(JoinPath(directory_, kNotedPoint)); }

Result<LogSets::Recovered> LogSets::Recover() {
  Recovered recovered;
  const auto entries = fs_.List(directory_);
  if (!entries && IsNotFound(entries.error())) return recovered;
  if (!entries) return Fail(entries.error());
  for (const DirectoryEntry& entry : *entries) {
    // A document that was never renamed into place.
    if (entry.name.find(".tmp-") != std::string::npos) {
      NoteFailure(RemoveDocument(JoinPath(directory_, entry.name)), recovered);
    }
    if (!entry.name.ends_with(kAnnounced)) continue;
    const PointId id{entry.name.substr(0, entry.name.size() - kAnnounced.size())};
    const std::string document = PathOf(id, kCommitted);
    ASR_TRY(const bool exists, PathExists(fs_, document));
    ASR_TRY(auto committed, Read(document));
    if (committed) {
      recovered.sets.push_back(*std::move(committed));
      continue;
    }
    if (exists) recovered.damaged.push_back(document);
    ASR_TRY(auto announced, Read(PathOf(id, kAnnounced)));
    if (!announced) announced.emplace();
    announced->point.id = id;
    NoteFailure(Remove(*announced), recovered);
  }
  return recovered;  // names sort by the instant
}

}  // namespace asr
