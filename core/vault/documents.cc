#include "core/vault/documents.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "core/vault/document_reader.h"
#include "core/vault/document_text.h"
#include "core/vault/layout.h"
#include "core/vault/machine_document.h"
#include "storage/auth/crypto.h"

namespace asr {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kDocumentVersion = 1;

std::uint32_t DecodeSector(DocumentReader& reader) {
  const std::uint64_t sector_bytes = reader.Unsigned("logicalSectorBytes");
  if (sector_bytes != 512 && sector_bytes != 4096) {
    reader.Reject("logicalSectorBytes", "512 or 4096");
    return 512;
  }
  return static_cast<std::uint32_t>(sector_bytes);
}

template <class Value>
Result<Value> Finish(const DocumentReader& reader, Value value) {
  ASR_CHECK(reader.status());
  return value;
}

}  // namespace

std::string EncodeIdentity(const VaultIdentity& identity) {
  return WriteDocument({{"version", kDocumentVersion},
                        {"id", identity.id},
                        {"digest", DigestAlgorithmName(identity.algorithm)},
                        {"created", FormatTime(identity.created)},
                        {"encryption", nullptr}});
}

Result<VaultIdentity> DecodeIdentity(const std::string& name, const std::string& text) {
  ASR_TRY(auto reader, DocumentReader::Parse(name, text, kDocumentVersion));
  VaultIdentity identity;
  identity.id = reader.Text("id");
  identity.created = reader.Time("created");
  const std::string algorithm = reader.Text("digest");
  if (algorithm == "xxh3") {
    identity.algorithm = DigestAlgorithm::kXxh3;
  } else if (algorithm != "sha256") {
    reader.Reject("digest", "sha256 or xxh3");
  }
  return Finish(reader, std::move(identity));
}

std::string EncodePolicy(const Policy& policy) {
  Json document = {{"version", kDocumentVersion},
                   {"name", policy.name},
                   {"frequencySeconds", policy.frequency.count()},
                   {"retention", FormatRetention(policy.retention)},
                   {"appConsistentSeconds", policy.app_consistent.count()},
                   {"start", policy.start}};
  // Programs that do not know it pass over it, and retry as they always did.
  if (policy.retry_delays != StandardRetryDelays()) {
    document["retryDelays"] = FormatRetryDelays(policy.retry_delays);
  }
  return WriteDocument(document);
}

Result<Policy> DecodePolicy(const std::string& name, const std::string& text) {
  ASR_TRY(auto reader, DocumentReader::Parse(name, text, kDocumentVersion));
  Policy policy;
  policy.name = reader.Text("name");
  policy.frequency =
      std::chrono::seconds(static_cast<std::int64_t>(reader.Unsigned("frequencySeconds")));
  policy.app_consistent =
      std::chrono::seconds(static_cast<std::int64_t>(reader.Unsigned("appConsistentSeconds")));
  policy.start = reader.Text("start");
  const std::string retention = reader.Text("retention");
  const std::string delays = reader.TextOr("retryDelays", "");
  ASR_CHECK(reader.status());
  if (!delays.empty()) {
    ASR_TRY(policy.retry_delays, ParseRetryDelays(delays));
  }
  ASR_TRY(policy.retention, ParseRetention(retention));
  return policy;
}

std::string EncodeItem(const Item& item) {
  Json disks = Json::array();
  for (const ItemDisk& disk : item.disks) {
    disks.push_back({{"name", disk.name.value},
                     {"path", disk.path},
                     {"format", disk.format},
                     {"sizeBytes", disk.size_bytes},
                     {"logicalSectorBytes", disk.logical_sector_bytes},
                     {"uniqueId", ToHex(disk.unique_id)}});
  }
  Json excluded = Json::array();
  for (const DiskName& disk : item.excluded_disks) excluded.push_back(disk.value);
  Json document = {{"version", kDocumentVersion},
                   {"id", item.id.value},
                   {"name", item.name},
                   {"host", item.host},
                   {"policy", item.policy},
                   {"state", ProtectionStateName(item.state)},
                   {"epoch", item.epoch},
                   {"generation", item.generation.value},
                   {"resync", ResyncStateName(item.resync)},
                   {"resyncCause", item.resync_cause},
                   {"resyncDeep", item.resync_deep},
                   {"created", FormatTime(item.created)},
                   {"disks", disks},
                   {"excludedDisks", excluded},
                   {"machine", EncodeSettings(item.settings)}};
  if (!item.uuid.empty()) document["uuid"] = item.uuid;
  if (item.applying) document["applying"] = item.applying->value;
  if (item.target != TargetSettings{}) document["target"] = EncodeTarget(item.target);
  return WriteDocument(document);
}

Result<Item> DecodeItem(const std::string& name, const std::string& text) {
  ASR_TRY(auto reader, DocumentReader::Parse(name, text, kDocumentVersion));
  Item item;
  item.id = {reader.Text("id")};
  item.name = reader.Text("name");
  item.host = reader.Text("host");
  item.policy = reader.Text("policy");
  item.epoch = reader.Unsigned("epoch");
  item.generation = {reader.Text("generation")};
  item.created = reader.Time("created");
  if (const auto resync = ParseResyncState(reader.Text("resync"))) {
    item.resync = *resync;
  } else {
    reader.Reject("resync", "a resync state");
  }
  item.resync_cause = reader.Text("resyncCause");
  const auto deep = reader.OptionalBool("resyncDeep");
  if (!deep) reader.Reject("resyncDeep", "true or false");
  item.resync_deep = deep.value_or(false);
  if (const auto state = ParseProtectionState(reader.Text("state"))) {
    item.state = *state;
  } else {
    reader.Reject("state", "a protection state");
  }
  for (DocumentReader& element : reader.Objects("disks")) {
    ItemDisk disk;
    disk.name = {element.Text("name")};
    disk.path = element.Text("path");
    disk.format = element.Text("format");
    disk.size_bytes = element.Unsigned("sizeBytes");
    disk.logical_sector_bytes = DecodeSector(element);
    disk.unique_id = element.HexBits("uniqueId");
    reader.Adopt(element);
    item.disks.push_back(std::move(disk));
  }
  for (std::string& disk : reader.Texts("excludedDisks")) {
    item.excluded_disks.push_back({std::move(disk)});
  }
  item.uuid = reader.TextOr("uuid", "");
  if (reader.Has("applying")) item.applying = PointId{reader.Text("applying")};
  item.settings = DecodeSettings(reader);
  item.target = DecodeTarget(reader);
  return Finish(reader, std::move(item));
}

namespace {

Json EncodeFirmware(const FirmwareVariables& firmware) {
  Json json = {
      {"format", firmware.format}, {"bytes", firmware.size_bytes}, {"sha256", firmware.sha256}};
  if (!firmware.content.empty()) json["content"] = Base64Encode(AsBytes(firmware.content));
  return json;
}

FirmwareVariables DecodeFirmware(DocumentReader& reader) {
  DocumentReader json = reader.Object("nvram");
  FirmwareVariables firmware{.format = json.Text("format"),
                             .size_bytes = json.Unsigned("bytes"),
                             .sha256 = json.Text("sha256"),
                             .content = ""};
  if (json.Has("content")) {
    if (auto content = Base64Decode(json.Text("content"))) {
      firmware.content = *std::move(content);
    } else {
      json.Reject("content", "Base64");
    }
  }
  reader.Adopt(json);
  return firmware;
}

}  // namespace

std::string EncodePoint(const RecoveryPoint& point) {
  Json disks = Json::array();
  for (const PointDisk& disk : point.disks) {
    disks.push_back({{"name", disk.name.value},
                     {"format", disk.format},
                     {"sizeBytes", disk.size_bytes},
                     {"logicalSectorBytes", disk.logical_sector_bytes},
                     {"log", disk.log == Bits128{} ? Json(nullptr) : Json(ToHex(disk.log))},
                     {"snapshot", point.id.value}});
    if (!disk.image.empty()) disks.back()["image"] = disk.image;
  }
  Json document = {{"version", kDocumentVersion},
                   {"id", point.id.value},
                   {"time", FormatTime(point.time)},
                   {"consistency", ConsistencyName(point.consistency)},
                   {"item", point.item.value},
                   {"epoch", point.epoch},
                   {"generation", point.generation.value},
                   {"parent", point.parent ? Json(point.parent->value) : Json(nullptr)},
                   {"changedBytes", point.changed_bytes},
                   {"disks", disks},
                   {"machine", EncodeSettings(point.settings)}};
  if (!point.checkpoint.empty()) document["checkpoint"] = point.checkpoint;
  if (point.frozen) document["frozenMilliseconds"] = point.frozen->count();
  if (point.firmware) document["nvram"] = EncodeFirmware(*point.firmware);
  return WriteDocument(document);
}

Result<RecoveryPoint> DecodePoint(const std::string& name, const std::string& text) {
  ASR_TRY(auto reader, DocumentReader::Parse(name, text, kDocumentVersion));
  RecoveryPoint point;
  point.id = {reader.Text("id")};
  point.time = reader.Time("time");
  if (const auto consistency = ParseConsistency(reader.Text("consistency"))) {
    point.consistency = *consistency;
  } else {
    reader.Reject("consistency", "crash or app");
  }
  point.item = {reader.Text("item")};
  point.epoch = reader.Unsigned("epoch");
  point.generation = {reader.Text("generation")};
  const std::string parent = reader.TextOr("parent", "");
  if (!parent.empty()) point.parent = PointId{parent};
  point.changed_bytes = reader.Unsigned("changedBytes");
  for (DocumentReader& element : reader.Objects("disks")) {
    PointDisk disk;
    disk.name = {element.Text("name")};
    disk.format = element.Text("format");
    disk.size_bytes = element.Unsigned("sizeBytes");
    disk.logical_sector_bytes = DecodeSector(element);
    if (!element.TextOr("log", "").empty()) disk.log = element.HexBits("log");
    disk.image = element.TextOr("image", "");
    reader.Adopt(element);
    point.disks.push_back(std::move(disk));
  }
  point.settings = DecodeSettings(reader);
  point.checkpoint = reader.TextOr("checkpoint", "");
  if (reader.Has("frozenMilliseconds")) {
    constexpr std::uint64_t kMostMilliseconds = 86'400'000;
    const std::uint64_t count = reader.Unsigned("frozenMilliseconds");
    if (count > kMostMilliseconds) reader.Reject("frozenMilliseconds", "at most a day");
    point.frozen = std::chrono::milliseconds(std::min(count, kMostMilliseconds));
  }
  if (reader.Has("nvram")) point.firmware = DecodeFirmware(reader);
  return Finish(reader, std::move(point));
}

std::string EncodeProof(const Proof& proof) {
  Json json = {{"version", kDocumentVersion}};
  if (proof.verified_at) json["verifiedAt"] = FormatTime(*proof.verified_at);
  if (proof.booted) json["booted"] = *proof.booted;
  if (proof.boot_seconds) json["bootSeconds"] = *proof.boot_seconds;
  if (!proof.sign_of_life.empty()) json["signOfLife"] = proof.sign_of_life;
  if (proof.tested_at) json["testedAt"] = FormatTime(*proof.tested_at);
  if (!proof.notes.empty()) json["notes"] = proof.notes;
  if (proof.screenshot) {
    json["screenshot"] = {{"sizeBytes", proof.screenshot->size_bytes},
                          {"sha256", proof.screenshot->sha256}};
  }
  return WriteDocument(json);
}

Result<Proof> DecodeProof(const std::string& name, const std::string& text) {
  ASR_TRY(auto reader, DocumentReader::Parse(name, text, kDocumentVersion));
  Proof proof;
  proof.verified_at = reader.OptionalTime("verifiedAt");
  proof.booted = reader.OptionalBool("booted");
  proof.boot_seconds = reader.OptionalNumber("bootSeconds");
  proof.sign_of_life = reader.TextOr("signOfLife", "");
  proof.tested_at = reader.OptionalTime("testedAt");
  proof.notes = reader.TextOr("notes", "");
  if (reader.Has("screenshot")) {
    DocumentReader screenshot = reader.Object("screenshot");
    proof.screenshot = {.path = layout::ScreenshotOf(name),
                        .size_bytes = screenshot.Unsigned("sizeBytes"),
                        .sha256 = screenshot.Text("sha256")};
    reader.Adopt(screenshot);
  }
  return Finish(reader, std::move(proof));
}

std::string EncodePin(const Pin& pin) {
  return WriteDocument({{"version", kDocumentVersion},
                        {"id", pin.id.value},
                        {"point", pin.point.value},
                        {"reader", pin.reader},
                        {"until", pin.until ? Json(FormatTime(*pin.until)) : Json(nullptr)}});
}

Result<Pin> DecodePin(const std::string& name, const std::string& text) {
  ASR_TRY(auto reader, DocumentReader::Parse(name, text, kDocumentVersion));
  Pin pin;
  pin.id = {reader.Text("id")};
  pin.point = {reader.Text("point")};
  pin.reader = reader.Text("reader");
  pin.until = reader.OptionalTime("until");
  return Finish(reader, std::move(pin));
}

}  // namespace asr
