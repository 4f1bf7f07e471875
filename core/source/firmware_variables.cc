#include "core/source/firmware_variables.h"

#include <fmt/format.h>

#include "core/source/domain_xml.h"
#include "storage/base/bytes.h"
#include "storage/base/checksum.h"
#include "storage/base/text.h"

namespace asr {
namespace {

constexpr std::uint64_t kMostBytes = 64 * kMiB;
constexpr int kReadTries = 5;

Result<std::string> ReadThere(SshLine& line, const std::string& path) {
  ASR_TRY(SshLine::Answer answer,
          line.Run(fmt::format("head -c {} -- {} 2>/dev/null", kMostBytes + 1, ShellQuote(path))));
  if (answer.exit_code == 0) return std::move(answer.output);
  return Fail(ErrorKind::kNotFound, ErrorCode::kFileNotFound,
              fmt::format("{} cannot be read on its host", path));
}

Result<std::string> ReadHere(FileSystem& fs, const std::string& path) {
  ASR_TRY(const FileStamp stamp, fs.Stat(path));
  if (stamp.size_bytes > kMostBytes) return std::string(kMostBytes + 1, '\0');
  return ReadWholeFile(fs, path);
}

// The guest may write a variable meanwhile: what is read twice in a row is one state of it.
Result<std::string> ReadSteady(FileSystem& fs, SshLine* line, const std::string& path) {
  std::string before;
  for (int i = 0; i < kReadTries; ++i) {
    ASR_TRY(std::string content, line != nullptr ? ReadThere(*line, path) : ReadHere(fs, path));
    if (content.size() > kMostBytes) {
      return Fail(ErrorKind::kUnsupported, ErrorCode::kVmDescription,
                  fmt::format("{} has more than 64 MiB", path));
    }
    if (content.empty()) {
      return Fail(ErrorKind::kCorrupt, ErrorCode::kVmDescription, fmt::format("{} is empty", path));
    }
    if (content == before) return content;
    before = std::move(content);
  }
  return Fail(ErrorKind::kBusy, ErrorCode::kImageChanged,
              fmt::format("{} changes all the time", path));
}

// Of a VM whose firmware libvirt chooses by itself, it names the file only while the VM runs.
std::string UnnamedPath(const DomainDescription& description) {
  return fmt::format("/var/lib/libvirt/qemu/nvram/{}_VARS.fd", description.name);
}

}  // namespace

std::optional<FirmwareVariables> FirmwareOrWarning(
    FileSystem& fs, SshLine* line, const std::string& domain_xml, const std::string& vm_name,
    const std::function<void(const std::string&)>& warn) {
  if (domain_xml.empty()) return std::nullopt;
  const auto description = ParseDomainXml(domain_xml);
  if (!description || description->settings.generation != 2) return std::nullopt;
  const bool is_named = !description->nvram_path.empty();
  auto content =
      ReadSteady(fs, line, is_named ? description->nvram_path : UnnamedPath(*description));
  if (!content && !is_named && IsNotFound(content.error())) return std::nullopt;
  if (!content) {
    warn(fmt::format("VM {}: its firmware variables are not kept with the recovery point: {}",
                     vm_name, content.error().Line()));
    return std::nullopt;
  }
  FirmwareVariables firmware{.format = description->nvram_format,
                             .size_bytes = content->size(),
                             .sha256 = ToHex(ComputeSha256(AsBytes(*content))),
                             .content = ""};
  firmware.content = *std::move(content);
  return firmware;
}

}  // namespace asr
