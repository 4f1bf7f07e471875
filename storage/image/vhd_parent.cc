#include "storage/image/vhd_parent.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "storage/base/checksum.h"
#include "storage/image/image_error.h"
#include "storage/image/utf16.h"

namespace asr {
namespace {

namespace dynamic_header {
constexpr std::size_t kParentId = 40;
constexpr std::size_t kParentName = 64;
constexpr std::size_t kParentNameBytes = 512;
constexpr std::size_t kLocators = 576;
}  // namespace dynamic_header

namespace locator {  // offsets in an entry; its platform comes first
constexpr std::size_t kCount = 8;
constexpr std::size_t kBytes = 24;
constexpr std::size_t kLength = 8;
constexpr std::size_t kOffset = 16;
constexpr std::size_t kMostTextBytes = 64 * kKiB;
}  // namespace locator

// Adds the paths that locators of this platform give. The space that they reserve is counted in
// sectors by the specification and in bytes by Windows, and not needed.
Status AddPaths(File& file, std::uint64_t file_bytes, ByteSpan header, std::string_view platform,
                VhdParent& parent) {
  for (std::size_t i = 0; i < locator::kCount; ++i) {
    const ByteSpan entry =
        header.subspan(dynamic_header::kLocators + i * locator::kBytes, locator::kBytes);
    if (AsText(entry.first(platform.size())) != platform) continue;
    const auto length = LoadBig<std::uint32_t>(entry, locator::kLength);
    const auto offset = LoadBig<std::uint64_t>(entry, locator::kOffset);
    if (length > locator::kMostTextBytes || offset > file_bytes || file_bytes - offset < length) {
      return Fail(CorruptImage(fmt::format(
          "parent locator {} of the VHD has offset {} and length {}, outside the file's {} bytes",
          i, offset, length, file_bytes)));
    }
    std::vector<std::byte> text(length);
    ASR_CHECK(file.ReadAt(offset, text));
    parent.link.paths.push_back(Utf16ToUtf8(text, ByteOrder::kLittle));
    parent.texts.push_back({offset, length});
  }
  return {};
}

}  // namespace

Result<VhdParent> ReadVhdParent(File& file, std::uint64_t file_bytes, ByteSpan header) {
  VhdParent parent;
  ParentLink& link = parent.link;
  const ByteSpan id = header.subspan(dynamic_header::kParentId, sizeof(Bits128));
  if (IsZero(id)) return Fail(CorruptImage("the differencing VHD does not say whose child it is"));
  link.ids.push_back(ToHex(id));
  // Relative to the child, then absolute.
  for (const std::string_view platform : {"W2ru", "W2ku"}) {
    ASR_CHECK(AddPaths(file, file_bytes, header, platform, parent));
  }
  link.paths.push_back(
      Utf16ToUtf8(header.subspan(dynamic_header::kParentName, dynamic_header::kParentNameBytes),
                  ByteOrder::kBig));
  std::erase(link.paths, "");
  if (link.paths.empty()) {
    return Fail(CorruptImage("the differencing VHD gives no path of its parent"));
  }
  return parent;
}

}  // namespace asr
