#include "core/source/stamps.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

namespace asr {
namespace {

using Json = nlohmann::json;

// In the order of FileType.
constexpr std::array<std::string_view, 4> kTypes = {"file", "directory", "blockDevice", "other"};

template <class T>
std::optional<T> Number(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_integer()) return std::nullopt;
  if (std::is_unsigned_v<T> && !found->is_number_unsigned()) return std::nullopt;
  return found->template get<T>();
}

std::optional<std::string> Text(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) return std::nullopt;
  return found->get<std::string>();
}

std::optional<FileType> ParseType(const std::optional<std::string>& name) {
  for (std::size_t i = 0; i < kTypes.size(); ++i) {
    if (name && *name == kTypes[i]) return static_cast<FileType>(i);
  }
  return std::nullopt;
}

std::optional<Disk::BackingFile> ParseFile(const Json& object) {
  if (!object.is_object()) return std::nullopt;
  const auto path = Text(object, "path");
  const auto type = ParseType(Text(object, "type"));
  const auto device = Number<std::uint64_t>(object, "device");
  const auto inode = Number<std::uint64_t>(object, "inode");
  const auto size_bytes = Number<std::uint64_t>(object, "sizeBytes");
  const auto modified_ns = Number<std::int64_t>(object, "modifiedNs");
  const auto changed_ns = Number<std::int64_t>(object, "changedNs");
  if (!path || !type || !device || !inode || !size_bytes || !modified_ns || !changed_ns) {
    return std::nullopt;
  }
  return Disk::BackingFile{.path = *path,
                           .stamp = {.device = *device,
                                     .inode = *inode,
                                     .size_bytes = *size_bytes,
                                     .modified_ns = *modified_ns,
                                     .changed_ns = *changed_ns,
                                     .type = *type}};
}

Error NotStamps() {
  return MakeError(ErrorKind::kCorrupt, ErrorCode::kDatabase, "the stamps of a disk are not whole")
      .WithCause("another program wrote to this machine's state")
      .WithAction("nothing: the disk is read whole at the next pass");
}

}  // namespace

std::string StampsToJson(const DiskStamps& stamps) {
  Json list = Json::array();
  for (const Disk::BackingFile& file : stamps) {
    list.push_back({{"path", file.path},
                    {"type", kTypes[static_cast<std::size_t>(file.stamp.type)]},
                    {"device", file.stamp.device},
                    {"inode", file.stamp.inode},
                    {"sizeBytes", file.stamp.size_bytes},
                    {"modifiedNs", file.stamp.modified_ns},
                    {"changedNs", file.stamp.changed_ns}});
  }
  // A path need not be UTF-8. Such a one reads back changed, so that its disk is always read.
  return list.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<DiskStamps> ParseStamps(const std::string& json) {
  const Json list = Json::parse(json, nullptr, false);
  if (!list.is_array()) return Fail(NotStamps());
  DiskStamps stamps;
  for (const Json& object : list) {
    auto file = ParseFile(object);
    if (!file) return Fail(NotStamps());
    stamps.push_back(*std::move(file));
  }
  return stamps;
}

bool IsUntouched(const DiskStamps& stamps, const LastPass& last, Timestamp now) {
  if (stamps.empty() || stamps.size() != last.stamps.size()) return false;
  if (now < last.full_read || now - last.full_read >= kLongestUnread) return false;
  const auto settled_before =
      std::chrono::nanoseconds(last.pass_started.time_since_epoch() - kStampMargin).count();
  for (std::size_t i = 0; i < stamps.size(); ++i) {
    const FileStamp& stamp = stamps[i].stamp;
    if (stamps[i].path != last.stamps[i].path) return false;
    if (stamp.type != FileType::kRegular) return false;
    if (stamp != last.stamps[i].stamp) return false;
    if (stamp.changed_ns >= settled_before) return false;
  }
  return true;
}

}  // namespace asr
