// Names that must not be mixed up, each a type of its own.
#pragma once

#include <compare>
#include <string>

namespace asr {

template <class Tag>
struct Id {
  std::string value;
  auto operator<=>(const Id&) const = default;
  [[nodiscard]] bool empty() const { return value.empty(); }
};

using ItemId = Id<struct ItemIdTag>;    // "web-1a2b3c4d": slug of the VM's name and 8 hex digits
using PointId = Id<struct PointIdTag>;  // "20261123T063000.123Z": the instant of consistency
using JobId = Id<struct JobIdTag>;      // "20261123T063000-4f2a9c": sorts by start
using DiskName =
    Id<struct DiskNameTag>;  // the stem of the image's name, or the hypervisor's target
using GenerationId =
    Id<struct GenerationTag>;  // 8 hex digits; names one history of an item's content

// "Web Server #1" -> "web-server-1": letters, digits and single dashes, at most 40 of them.
[[nodiscard]] std::string Slug(const std::string& name);

// A new id of an item named `vm_name`.
[[nodiscard]] ItemId NewItemId(const std::string& vm_name);
[[nodiscard]] GenerationId NewGenerationId();

}  // namespace asr
