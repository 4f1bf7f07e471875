#include "core/vault/digest_cache.h"

#include <algorithm>
#include <span>

#include <nlohmann/json.hpp>

#include "core/vault/layout.h"
#include "storage/base/checksum.h"
#include "storage/base/text.h"
#include "storage/fs/private_directory.h"

namespace asr {
namespace {

// Of the largest disk that a page blob can hold, 8 TiB.
constexpr std::uint64_t kMostBytes = 40 * kMiB;
constexpr std::string_view kGroups = ".groups";
constexpr std::string_view kLabel = ".json";

ByteSpan BytesOf(const std::vector<Digest>& groups) { return std::as_bytes(std::span(groups)); }

// What a small file beside the digests says of them.
std::string LabelOf(const CachedDigests& digests) {
  const nlohmann::ordered_json label = {{"version", digests.version},
                                        {"point", digests.point.value},
                                        {"sha256", ToHex(ComputeSha256(BytesOf(digests.groups)))}};
  return label.dump() + "\n";
}

std::string TextAt(const nlohmann::json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace

std::string DigestCache::DirectoryOf(const ItemId& item) const {
  return JoinPath(directory_, item.value);
}

std::optional<CachedDigests> DigestCache::Load(const ItemId& item, const DiskName& disk,
                                               const std::string& version,
                                               std::size_t group_count) const {
  if (version.empty()) return std::nullopt;
  const std::string stem = JoinPath(DirectoryOf(item), layout::EscapeSegment(disk.value));
  const auto label = ReadWholeFile(fs_, stem + std::string(kLabel), kMiB);
  if (!label) return std::nullopt;
  const auto json = nlohmann::json::parse(*label, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || TextAt(json, "version") != version) return std::nullopt;
  const auto bytes = ReadWholeFile(fs_, stem + std::string(kGroups), kMostBytes);
  if (!bytes || bytes->size() != group_count * sizeof(Digest)) return std::nullopt;
  if (ToHex(ComputeSha256(AsBytes(*bytes))) != TextAt(json, "sha256")) return std::nullopt;
  CachedDigests cached{.version = version, .point = {TextAt(json, "point")}, .groups = {}};
  cached.groups.resize(group_count);
  std::ranges::copy(AsBytes(*bytes), std::as_writable_bytes(std::span(cached.groups)).begin());
  return cached;
}

void DigestCache::Save(const ItemId& item, const DiskName& disk,
                       const CachedDigests& digests) const {
  const std::string stem = JoinPath(DirectoryOf(item), layout::EscapeSegment(disk.value));
  if (!CreatePrivateDirectory(fs_, DirectoryOf(item))) return;
  if (!WriteFileAtomic(fs_, stem + std::string(kGroups), BytesOf(digests.groups))) return;
  Rename(item, disk, digests);
}

void DigestCache::Rename(const ItemId& item, const DiskName& disk,
                         const CachedDigests& digests) const {
  const std::string stem = JoinPath(DirectoryOf(item), layout::EscapeSegment(disk.value));
  static_cast<void>(
      WriteFileAtomic(fs_, stem + std::string(kLabel), AsBytes(LabelOf(digests))).has_value());
}

void DigestCache::Forget(const ItemId& item) const {
  const auto entries = fs_.List(DirectoryOf(item));
  if (!entries) return;
  for (const DirectoryEntry& entry : *entries) {
    static_cast<void>(fs_.RemoveFile(JoinPath(DirectoryOf(item), entry.name)).has_value());
  }
  static_cast<void>(fs_.RemoveEmptyDirectory(DirectoryOf(item)).has_value());
  static_cast<void>(fs_.RemoveEmptyDirectory(directory_).has_value());
}

}  // namespace asr
