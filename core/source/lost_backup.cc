#include "core/source/lost_backup.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "core/source/domain_xml.h"

namespace asr {
namespace {

using Json = nlohmann::json;

Result<std::vector<std::string>> DisksWithCopies(const LibvirtDomain& domain) {
  ASR_TRY(const std::string xml, domain.Xml());
  ASR_TRY(const DomainDescription description, ParseDomainXml(xml));
  std::vector<std::string> targets;
  for (const VmDisk& disk : description.disks) {
    ASR_TRY(const bool is_copied, domain.HasBackupOf(disk.name.value));
    if (is_copied) targets.push_back(disk.name.value);
  }
  return targets;
}

// Ours if what it serves was set up by libvirt, which does that for backup jobs alone. There are
// none of these now.
bool IsLibvirts(const std::string& exports) {
  const Json answer = Json::parse(exports, nullptr, false);
  if (!answer.is_object() || !answer.contains("return") || !answer["return"].is_array()) {
    return false;
  }
  return std::ranges::all_of(answer["return"], [](const Json& one) {
    return one.is_object() && one.value("id", "").starts_with("libvirt-");
  });
}

}  // namespace

Result<bool> HasBackupCopies(const LibvirtDomain& domain) {
  ASR_TRY(const auto targets, DisksWithCopies(domain));
  return !targets.empty();
}

Result<bool> EndLostBackup(LibvirtDomain& domain) {
  ASR_CHECK(domain.RequireNoJob());
  ASR_TRY(const auto targets, DisksWithCopies(domain));
  for (const std::string& target : targets) {
    // Somebody may have begun one meanwhile.
    ASR_CHECK(domain.RequireNoJob());
    ASR_CHECK(domain.EndBackupOf(target));
  }
  const bool has_ended = !targets.empty();
  ASR_TRY(const std::string exports, domain.AskQemu(R"({"execute": "query-block-exports"})"));
  if (!IsLibvirts(exports)) return has_ended;
  ASR_CHECK(domain.RequireNoJob());
  ASR_TRY(const std::string stopped, domain.AskQemu(R"({"execute": "nbd-server-stop"})"));
  return has_ended || stopped.find("\"error\"") == std::string::npos;
}

}  // namespace asr
