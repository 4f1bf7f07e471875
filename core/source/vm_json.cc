#include "core/source/vm_json.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "storage/base/bytes.h"
#include "storage/fs/file_system.h"

namespace asr {
namespace {

using Json = nlohmann::json;

constexpr std::uint64_t kMostWaitSeconds = 3600;
constexpr std::size_t kLongestName = 100;
constexpr std::array<std::string_view, 4> kFormats = {"raw", "vhd", "vhdx", "qcow2"};

Error Bad(const std::string& problem) {
  return MakeError(ErrorKind::kUnsupported, ErrorCode::kVmDescription,
                   fmt::format("{}: {}", kVmDescriptionFile, problem))
      .WithAction("correct the file; what it may hold is written in asr-vm(1)");
}

// One object of the document; `where` names it in errors: "" or "signOfLife.".
struct Object {
  const Json& json;
  std::string where;

  [[nodiscard]] const Json* Find(const char* key) const {
    const auto found = json.find(key);
    return found == json.end() ? nullptr : &*found;
  }
};

struct Range {
  std::uint64_t least = 0;
  std::uint64_t most = 0;
};

// Leaves `out` as it is where the key is missing.
Status ReadText(const Object& object, const char* key, std::string& out) {
  const Json* value = object.Find(key);
  if (value == nullptr) return {};
  if (!value->is_string()) return Fail(Bad(fmt::format("{}{} must be a text", object.where, key)));
  out = value->get_ref<const std::string&>();
  return {};
}

Status CheckRange(const std::string& where, std::uint64_t value, Range range) {
  if (value >= range.least && value <= range.most) return {};
  return Fail(
      Bad(fmt::format("{} {} is out of range: {} to {}", where, value, range.least, range.most)));
}

Status ReadNumber(const Object& object, const char* key, Range range, std::uint64_t& out) {
  const Json* value = object.Find(key);
  if (value == nullptr) return {};
  const std::string where = object.where + key;
  if (!value->is_number_unsigned()) {
    return Fail(
        Bad(fmt::format("{} must be a whole number, {} to {}", where, range.least, range.most)));
  }
  out = value->get<std::uint64_t>();
  return CheckRange(where, out, range);
}

void WarnOfUnknownKeys(const Object& object, std::initializer_list<std::string_view> known,
                       std::vector<std::string>& warnings) {
  for (const auto& [key, value] : object.json.items()) {
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      warnings.push_back(fmt::format("{}: {}{} is not known here, and has no effect",
                                     kVmDescriptionFile, object.where, key));
    }
  }
}

// "512MiB", "2GiB", "1TiB".
std::optional<std::uint64_t> ParseSize(std::string_view text) {
  std::uint64_t count = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (problem != std::errc{}) return std::nullopt;
  const std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
  for (const auto& [name, bytes] :
       {std::pair<std::string_view, std::uint64_t>{"MiB", kMiB}, {"GiB", kGiB}, {"TiB", kTiB}}) {
    if (unit == name && count <= kMostMemoryBytes / bytes) return count * bytes;
  }
  return std::nullopt;
}

Status ReadMemory(const Object& root, std::uint64_t& memory_bytes) {
  constexpr Range kRange{.least = kLeastMemoryBytes, .most = kMostMemoryBytes};
  ASR_CHECK(ReadNumber(root, "memoryBytes", kRange, memory_bytes));
  std::string text;
  ASR_CHECK(ReadText(root, "memory", text));
  if (root.Find("memory") == nullptr) return {};
  if (root.Find("memoryBytes") != nullptr) {
    return Fail(Bad("give memory or memoryBytes, not both"));
  }
  const auto size_bytes = ParseSize(text);
  if (!size_bytes || *size_bytes < kLeastMemoryBytes) {
    return Fail(Bad(fmt::format("memory '{}' is no size from 32MiB to 16TiB", text)));
  }
  memory_bytes = *size_bytes;
  return {};
}

Status ReadSignOfLife(const Object& root, VmDescription& description) {
  const Json* value = root.Find("signOfLife");
  if (value == nullptr) return {};
  if (!value->is_object()) return Fail(Bad("signOfLife must be an object"));
  const Object object{*value, "signOfLife."};
  WarnOfUnknownKeys(object, {"serialText", "tcpPort", "guestAgent", "waitSeconds"},
                    description.warnings);
  SignOfLife& sign = description.settings.sign_of_life;
  ASR_CHECK(ReadText(object, "serialText", sign.serial_text));
  std::uint64_t port = 0;
  ASR_CHECK(ReadNumber(object, "tcpPort", {.least = 1, .most = kHighestTcpPort}, port));
  sign.tcp_port = static_cast<std::uint16_t>(port);
  if (const Json* agent = object.Find("guestAgent")) {
    if (!agent->is_boolean()) return Fail(Bad("signOfLife.guestAgent must be true or false"));
    sign.guest_agent = agent->get<bool>();
  }
  const int signs = (sign.serial_text.empty() ? 0 : 1) + (port != 0 ? 1 : 0) + sign.guest_agent;
  if (signs > 1) {
    return Fail(Bad("signOfLife: give one of serialText, tcpPort and guestAgent"));
  }
  auto wait = static_cast<std::uint64_t>(sign.wait.count());
  ASR_CHECK(ReadNumber(object, "waitSeconds", {.least = 1, .most = kMostWaitSeconds}, wait));
  sign.wait = std::chrono::seconds{wait};
  return {};
}

Status ReadNetwork(const Object& root, MachineSettings& settings) {
  std::string name(GuestNetworkName(settings.network));
  ASR_CHECK(ReadText(root, "network", name));
  const auto network = ParseGuestNetwork(name);
  if (!network) return Fail(Bad(fmt::format("network '{}' is none of none, isolated", name)));
  if (*network == GuestNetwork::kNone && root.Find("network") != nullptr &&
      settings.has_network()) {
    return Fail(Bad("signOfLife.tcpPort cannot be reached without a network"));
  }
  settings.network = *network;
  return {};
}

// Without "." and doubled slashes; nullopt if it is absolute, empty, or climbs with "..".
std::optional<std::string> NormalPath(const std::string& path) {
  if (path.empty() || path.front() == '/' || path.find('\0') != std::string::npos) {
    return std::nullopt;
  }
  std::string normal;
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string part = path.substr(begin, end - begin);
    begin = end + 1;
    if (part == "..") return std::nullopt;
    if (!part.empty() && part != ".") normal = JoinPath(normal, part);
  }
  if (normal.empty()) return std::nullopt;
  return normal;
}

Result<DescribedDisk> ReadDisk(const Object& object) {
  DescribedDisk disk;
  ASR_CHECK(ReadText(object, "path", disk.path));
  ASR_CHECK(ReadText(object, "format", disk.format));
  const auto path = NormalPath(disk.path);
  if (!path) {
    return Fail(Bad(fmt::format("{}path '{}' must be relative and stay in the VM's folder",
                                object.where, disk.path)));
  }
  disk.path = *path;
  const bool is_format = std::find(kFormats.begin(), kFormats.end(), disk.format) != kFormats.end();
  if (object.Find("format") != nullptr && !is_format) {
    return Fail(Bad(fmt::format("{}format '{}' is none of {}", object.where, disk.format,
                                fmt::join(kFormats, ", "))));
  }
  return disk;
}

Status ReadDisks(const Object& root, VmDescription& description) {
  const Json* value = root.Find("disks");
  if (value == nullptr) return {};
  if (!value->is_array()) return Fail(Bad("disks must be a list"));
  for (const Json& element : *value) {
    const std::string where = fmt::format("disks[{}]", description.disks.size());
    if (!element.is_object()) return Fail(Bad(fmt::format("{} must be an object", where)));
    const Object object{element, where + "."};
    WarnOfUnknownKeys(object, {"path", "format"}, description.warnings);
    ASR_TRY(DescribedDisk disk, ReadDisk(object));
    description.disks.push_back(std::move(disk));
  }
  return {};
}

Status ReadName(const Object& root, std::string& name) {
  ASR_CHECK(ReadText(root, "name", name));
  if (root.Find("name") == nullptr) return {};
  // HOST/NAME is how a VM is addressed, and a line of a terminal how it is shown.
  const bool plain = std::none_of(name.begin(), name.end(), [](char letter) {
    return letter == '/' || static_cast<unsigned char>(letter) < 0x20 || letter == 0x7F;
  });
  if (plain && !name.empty() && name.size() <= kLongestName) return {};
  return Fail(Bad(fmt::format("name must have 1 to {} characters, no '/' and no control character",
                              kLongestName)));
}

}  // namespace

Result<VmDescription> ParseVmDescription(const std::string& text) {
  const Json document = Json::parse(text, nullptr, false);
  if (document.is_discarded()) return Fail(Bad("is not valid JSON"));
  if (!document.is_object()) return Fail(Bad("must hold a JSON object"));
  const Object root{document, ""};
  VmDescription description;
  WarnOfUnknownKeys(
      root,
      {"name", "generation", "cpuCount", "memoryBytes", "memory", "disks", "signOfLife", "network"},
      description.warnings);
  ASR_CHECK(ReadName(root, description.name));
  MachineSettings& settings = description.settings;
  auto generation = static_cast<std::uint64_t>(settings.generation);
  auto cpu_count = static_cast<std::uint64_t>(settings.cpu_count);
  ASR_CHECK(ReadNumber(root, "generation", {.least = 1, .most = 2}, generation));
  ASR_CHECK(ReadNumber(root, "cpuCount", {.least = 1, .most = kMostCpus}, cpu_count));
  settings.generation = static_cast<int>(generation);
  settings.cpu_count = static_cast<int>(cpu_count);
  ASR_CHECK(ReadMemory(root, settings.memory_bytes));
  ASR_CHECK(ReadDisks(root, description));
  ASR_CHECK(ReadSignOfLife(root, description));
  ASR_CHECK(ReadNetwork(root, settings));
  return description;
}

}  // namespace asr
