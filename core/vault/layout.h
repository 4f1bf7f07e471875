// Names of a vault's blobs (man/asr-vault.5, "Layout").
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "core/model/ids.h"

namespace asr::layout {

inline constexpr std::string_view kVaultDocument = "vault.json";
inline constexpr std::string_view kDocumentEnding = ".json";
inline constexpr std::string_view kPolicies = "policies/";
inline constexpr std::string_view kItems = "items/";
// Everything of a vault but vault.json.
inline constexpr std::array<std::string_view, 7> kAllPrefixes = {
    "items/", "policies/", "plans/", "sites/", "networks/", "agents/", "jobs/"};
inline constexpr std::string_view kNewItemsLease = "items/lease";

// A name that people chose, as a segment of a blob's name: characters other than letters, digits,
// '-' and (not in front) '.' become "_XX" in hex, so that different names stay different.
[[nodiscard]] std::string EscapeSegment(std::string_view name);
// The reverse; "" if it is no escaped segment.
[[nodiscard]] std::string UnescapeSegment(std::string_view segment);

[[nodiscard]] std::string AgentDocument(std::string_view agent);  // "agents/AGENT.json"
[[nodiscard]] std::string PolicyDocument(std::string_view policy);
[[nodiscard]] std::string ItemPrefix(const ItemId& item);    // "items/ITEM/"
[[nodiscard]] std::string ItemDocument(const ItemId& item);  // "items/ITEM/item.json"
[[nodiscard]] std::string ItemLease(const ItemId& item);     // "items/ITEM/lease"
[[nodiscard]] std::string DiskBlob(const ItemId& item, const DiskName& disk);    // ....vhd
[[nodiscard]] std::string DigestBlob(const ItemId& item, const DiskName& disk);  // ....digests
[[nodiscard]] std::string PointsPrefix(const ItemId& item);  // "items/ITEM/points/"
[[nodiscard]] std::string PointDocument(const ItemId& item, const PointId& point);
// "items/ITEM/points/POINT.dropped": the point must not be sealed any more.
[[nodiscard]] std::string DroppedMark(const ItemId& item, const PointId& point);
// "POINT.dropped" -> "POINT"; "" for any other name.
[[nodiscard]] std::string DroppedStem(std::string_view name);
[[nodiscard]] std::string ProofPrefix(const ItemId& item, const PointId& point);
// "items/ITEM/points/POINT.nvram"
[[nodiscard]] std::string FirmwareBlob(const ItemId& item, const PointId& point);
// "POINT.nvram" -> "POINT"; "" for any other name.
[[nodiscard]] std::string FirmwareStem(std::string_view name);
// The blob of the picture that belongs to the proof document `proof`.
[[nodiscard]] std::string ScreenshotOf(std::string_view proof);
[[nodiscard]] std::string PinsPrefix(const ItemId& item);  // "items/ITEM/pins/"
[[nodiscard]] std::string PinDocument(const ItemId& item, std::string_view pin);

}  // namespace asr::layout
