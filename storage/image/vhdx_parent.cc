#include "storage/image/vhdx_parent.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <optional>

#include <fmt/format.h>

#include "storage/image/image_error.h"
#include "storage/image/utf16.h"
#include "storage/image/vhdx_format.h"

namespace asr {
namespace {

constexpr Guid kLocatorType = GuidFromText("B04AEFB7-D19E-4A81-B789-25B8E9445913");
constexpr std::size_t kHeaderBytes = 20;
constexpr std::size_t kEntryCount = 18;
constexpr std::size_t kEntryBytes = 12;
constexpr std::size_t kMostEntries = 256;

Result<std::string> TextAt(ByteSpan item, std::uint64_t offset, std::uint64_t length) {
  if (offset < kHeaderBytes || offset > item.size() || length > item.size() - offset ||
      length % 2 != 0) {
    return Fail(CorruptImage(fmt::format(
        "the parent locator of the VHDX has a text at offset {} with {} bytes, outside its {}",
        offset, length, item.size())));
  }
  return Utf16ToUtf8(item.subspan(offset, length), ByteOrder::kLittle);
}

// "{xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx}" in any case, with or without braces; else nothing.
std::optional<Guid> ParseGuid(std::string_view text) {
  constexpr std::string_view kShape = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
  if (text.size() >= 2 && text.front() == '{' && text.back() == '}') {
    text = text.substr(1, text.size() - 2);
  }
  if (text.size() != kShape.size()) return std::nullopt;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool fits =
        kShape[i] == '-' ? text[i] == '-' : std::isxdigit(static_cast<unsigned char>(text[i])) != 0;
    if (!fits) return std::nullopt;
  }
  return GuidFromText(text);
}

using Entries = std::map<std::string, std::string>;

Result<Entries> ReadEntries(ByteSpan item) {
  if (item.size() < kHeaderBytes ||
      !std::ranges::equal(item.first(kLocatorType.size()), kLocatorType)) {
    return Fail(CorruptImage("the parent locator of the VHDX is not of the type that VHDX has"));
  }
  const std::size_t count = LoadLittle<std::uint16_t>(item, kEntryCount);
  if (count > kMostEntries || kHeaderBytes + count * kEntryBytes > item.size()) {
    return Fail(
        CorruptImage(fmt::format("the parent locator of the VHDX has {} entries in {} bytes; {} "
                                 "are possible",
                                 count, item.size(), kMostEntries)));
  }
  Entries entries;
  for (std::size_t i = 0; i < count; ++i) {
    const ByteSpan entry = item.subspan(kHeaderBytes + i * kEntryBytes, kEntryBytes);
    ASR_TRY(std::string key,
            TextAt(item, LoadLittle<std::uint32_t>(entry, 0), LoadLittle<std::uint16_t>(entry, 8)));
    ASR_TRY(std::string value, TextAt(item, LoadLittle<std::uint32_t>(entry, 4),
                                      LoadLittle<std::uint16_t>(entry, 10)));
    if (!entries.emplace(key, std::move(value)).second) {
      return Fail(CorruptImage(
          fmt::format("the parent locator of the VHDX has two entries named `{}`", key)));
    }
  }
  return entries;
}

}  // namespace

Result<ParentLink> ParseVhdxParentLocator(ByteSpan bytes) {
  ASR_TRY(const Entries entries, ReadEntries(bytes));
  ParentLink link;
  for (const char* key : {"parent_linkage", "parent_linkage2"}) {
    const auto found = entries.find(key);
    if (found == entries.end()) continue;
    const auto guid = ParseGuid(found->second);
    if (!guid) {
      return Fail(CorruptImage(fmt::format(
          "`{}` in the parent locator of the VHDX is `{}`, which is no GUID", key, found->second)));
    }
    if (*guid != Guid{}) link.ids.push_back(GuidText(*guid));
  }
  if (link.ids.empty()) {
    return Fail(CorruptImage("the parent locator of the VHDX does not say which parent it means"));
  }
  for (const char* key : {"relative_path", "volume_path", "absolute_win32_path"}) {
    const auto found = entries.find(key);
    if (found != entries.end() && !found->second.empty()) link.paths.push_back(found->second);
  }
  if (link.paths.empty()) {
    return Fail(CorruptImage("the parent locator of the VHDX gives no path of the parent"));
  }
  return link;
}

}  // namespace asr
