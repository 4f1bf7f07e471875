#include "core/vault/layout.h"

#include <cctype>
#include <charconv>

#include <fmt/format.h>

namespace asr::layout {
namespace {

constexpr std::string_view kDroppedEnding = ".dropped";
constexpr std::string_view kFirmwareEnding = ".nvram";

// "" if it has another ending.
std::string StemBefore(std::string_view name, std::string_view ending) {
  if (!name.ends_with(ending)) return "";
  return std::string(name.substr(0, name.size() - ending.size()));
}

}  // namespace

std::string EscapeSegment(std::string_view name) {
  std::string segment;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    const bool reserved = name.substr(i).starts_with(".tmp-");  // a directory's unfinished writes
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || (c == '.' && !segment.empty() && !reserved);
    if (plain) {
      segment.push_back(c);
    } else {
      segment += fmt::format("_{:02x}", byte);
    }
  }
  return segment;
}

std::string UnescapeSegment(std::string_view segment) {
  std::string name;
  for (std::size_t i = 0; i < segment.size(); ++i) {
    if (segment[i] != '_') {
      name.push_back(segment[i]);
      continue;
    }
    unsigned byte = 0;
    const char* begin = segment.data() + i + 1;
    if (i + 2 >= segment.size() || std::from_chars(begin, begin + 2, byte, 16).ptr != begin + 2) {
      return "";
    }
    name.push_back(static_cast<char>(byte));
    i += 2;
  }
  return name;
}

std::string AgentDocument(std::string_view agent) {
  return fmt::format("agents/{}.json", EscapeSegment(agent));
}

std::string PolicyDocument(std::string_view policy) {
  return fmt::format("{}{}.json", kPolicies, EscapeSegment(policy));
}

std::string ItemPrefix(const ItemId& item) { return fmt::format("{}{}/", kItems, item.value); }

std::string ItemDocument(const ItemId& item) { return ItemPrefix(item) + "item.json"; }

std::string ItemLease(const ItemId& item) { return ItemPrefix(item) + "lease"; }

std::string DiskBlob(const ItemId& item, const DiskName& disk) {
  return fmt::format("{}disks/{}.vhd", ItemPrefix(item), EscapeSegment(disk.value));
}

std::string DigestBlob(const ItemId& item, const DiskName& disk) {
  return fmt::format("{}disks/{}.digests", ItemPrefix(item), EscapeSegment(disk.value));
}

std::string PointsPrefix(const ItemId& item) { return ItemPrefix(item) + "points/"; }

std::string PointDocument(const ItemId& item, const PointId& point) {
  return fmt::format("{}{}.json", PointsPrefix(item), point.value);
}

std::string DroppedMark(const ItemId& item, const PointId& point) {
  return fmt::format("{}{}{}", PointsPrefix(item), point.value, kDroppedEnding);
}

std::string DroppedStem(std::string_view name) { return StemBefore(name, kDroppedEnding); }

std::string FirmwareBlob(const ItemId& item, const PointId& point) {
  return fmt::format("{}{}{}", PointsPrefix(item), point.value, kFirmwareEnding);
}

std::string FirmwareStem(std::string_view name) { return StemBefore(name, kFirmwareEnding); }

std::string ProofPrefix(const ItemId& item, const PointId& point) {
  return fmt::format("{}{}.proof/", PointsPrefix(item), point.value);
}

std::string ScreenshotOf(std::string_view proof) {
  return fmt::format("{}.png", proof.substr(0, proof.rfind('.')));
}

std::string PinsPrefix(const ItemId& item) { return ItemPrefix(item) + "pins/"; }

std::string PinDocument(const ItemId& item, std::string_view pin) {
  return fmt::format("{}{}.json", PinsPrefix(item), pin);
}

}  // namespace asr::layout
