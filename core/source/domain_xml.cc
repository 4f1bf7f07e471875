#include "core/source/domain_xml.h"

#include <algorithm>
#include <sstream>
#include <string_view>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <pugixml.hpp>

#include "storage/base/bytes.h"

namespace asr {
namespace {

using Node = pugi::xml_node;

Error NoDescription(std::string what) {
  return MakeError(ErrorKind::kCorrupt, ErrorCode::kVmDescription,
                   fmt::format("libvirt's description of a VM cannot be read: {}", what))
      .WithAction("look at it: virsh dumpxml VM");
}

std::uint64_t MemoryBytes(const Node& memory) {
  const std::string_view unit = memory.attribute("unit").as_string("KiB");
  const std::uint64_t value = memory.text().as_ullong();
  if (unit == "b" || unit == "bytes") return value;
  if (unit == "KB") return value * 1000;
  if (unit == "MB") return value * 1'000'000;
  if (unit == "GB") return value * 1'000'000'000;
  if (unit == "M" || unit == "MiB") return value * kMiB;
  if (unit == "G" || unit == "GiB") return value * kGiB;
  if (unit == "T" || unit == "TiB") return value * kTiB;
  return value * kKiB;
}

bool IsUefi(const Node& os) {
  if (std::string_view(os.attribute("firmware").as_string()) == "efi") return true;
  return std::string_view(os.child("loader").attribute("type").as_string()) == "pflash";
}

MachineSettings SettingsOf(const Node& domain) {
  MachineSettings settings;
  settings.generation = IsUefi(domain.child("os")) ? 2 : 1;
  settings.cpu_count = std::clamp(domain.child("vcpu").text().as_int(1), 1, kMostCpus);
  const std::uint64_t memory = MemoryBytes(domain.child("memory"));
  settings.memory_bytes = std::clamp(memory, kLeastMemoryBytes, kMostMemoryBytes);
  return settings;
}

// What the card is connected to; which attribute of <source> says it depends on the type.
std::string NetworkOf(const Node& interface) {
  std::string type = interface.attribute("type").as_string();
  const Node source = interface.child("source");
  for (const char* name : {"network", "bridge", "dev"}) {
    if (const auto value = source.attribute(name)) {
      return fmt::format("{} {}", type, value.as_string());
    }
  }
  return type;
}

MachineHardware HardwareOf(const Node& domain) {
  MachineHardware hardware;
  hardware.machine_type = domain.child("os").child("type").attribute("machine").as_string();
  const Node devices = domain.child("devices");
  for (const Node& controller : devices.children("controller")) {
    if (std::string_view(controller.attribute("type").as_string()) != "scsi") continue;
    hardware.scsi_model = controller.attribute("model").as_string();
    break;
  }
  for (const Node& interface : devices.children("interface")) {
    hardware.cards.push_back({.mac = interface.child("mac").attribute("address").as_string(),
                              .model = interface.child("model").attribute("type").as_string(),
                              .network = NetworkOf(interface)});
  }
  return hardware;
}

// Where the boot order is told disk by disk, that counts; else the order of the description.
struct DiskElement {
  Node node;
  unsigned int boot = 0;
  std::size_t index = 0;
};

std::vector<DiskElement> DisksOf(const Node& domain) {
  std::vector<DiskElement> disks;
  for (const Node& node : domain.child("devices").children("disk")) {
    const unsigned int boot = node.child("boot").attribute("order").as_uint(~0U);
    disks.push_back({node, boot, disks.size()});
  }
  std::ranges::sort(disks, {},
                    [](const DiskElement& disk) { return std::tuple(disk.boot, disk.index); });
  return disks;
}

// Nothing in it could be lost.
bool HoldsNothing(const Node& disk) {
  const std::string_view device = disk.attribute("device").as_string("disk");
  return device == "cdrom" || device == "floppy";
}

std::string WhyLeftOut(const Node& disk) {
  if (disk.child("readonly")) return "it is read-only";
  if (disk.child("transient")) return "it is transient: what is written to it is thrown away";
  return "";
}

std::string WhyRefused(const Node& disk, const VmDisk& found) {
  const std::string_view device = disk.attribute("device").as_string("disk");
  const std::string_view type = disk.attribute("type").as_string();
  if (device == "lun") return "it is a device of the host that is passed through (device='lun')";
  if (disk.child("shareable")) {
    return "it is shared with other VMs, whose writes would not be noticed";
  }
  if (type != "file" && type != "block") {
    return fmt::format("it is of type '{}'; files and block devices can be replicated", type);
  }
  if (found.format != "qcow2" && found.format != "raw") {
    return fmt::format("its format is '{}'; qcow2 and raw can be replicated", found.format);
  }
  if (found.path.empty()) return "no image is in it";
  const Node source = disk.child("source");
  if (disk.child("encryption") || source.child("encryption")) {
    return "it is encrypted on the host: what QEMU shows of it is plain";
  }
  if (source.child("slices")) return "it is a slice of its image";
  return "";
}

VmDisk DiskOf(const Node& element) {
  VmDisk disk;
  const Node source = element.child("source");
  disk.name = {element.child("target").attribute("dev").as_string()};
  disk.bus = element.child("target").attribute("bus").as_string();
  disk.path = source.attribute("file").as_string(source.attribute("dev").as_string());
  // What libvirt follows, we follow: the chain is the administrator's, never the guest's.
  disk.folder = "/";
  disk.format = element.child("driver").attribute("type").as_string("raw");
  disk.logical_sector_bytes = element.child("blockio").attribute("logical_block_size").as_uint(512);
  disk.refusal = WhyRefused(element, disk);
  return disk;
}

bool HasGuestAgent(const Node& domain) {
  for (const Node& channel : domain.child("devices").children("channel")) {
    const Node target = channel.child("target");
    const std::string_view state = target.attribute("state").as_string();
    if (std::string_view(target.attribute("name").as_string()) == "org.qemu.guest_agent.0") {
      return state != "disconnected";
    }
  }
  return false;
}

void AddHostDevices(const Node& domain, DomainDescription& description) {
  for (const Node& device : domain.child("devices").children("hostdev")) {
    const std::string_view type = device.attribute("type").as_string();
    description.warnings.push_back(fmt::format(
        "a device of the host is passed through ({}); what lies on it is not replicated", type));
  }
}

std::string ToText(const pugi::xml_document& document) {
  std::ostringstream text;
  document.save(text, "", pugi::format_raw | pugi::format_no_declaration);
  return text.str();
}

}  // namespace

Result<DomainDescription> ParseDomainXml(const std::string& xml) {
  pugi::xml_document document;
  const pugi::xml_parse_result parsed = document.load_buffer(xml.data(), xml.size());
  if (!parsed) return Fail(NoDescription(parsed.description()));
  const Node domain = document.child("domain");
  DomainDescription description;
  description.name = domain.child("name").text().as_string();
  description.uuid = domain.child("uuid").text().as_string();
  if (description.name.empty() || description.uuid.empty()) {
    return Fail(NoDescription("it has no name or no UUID"));
  }
  description.settings = SettingsOf(domain);
  description.hardware = HardwareOf(domain);
  const Node nvram = domain.child("os").child("nvram");
  description.nvram_path =
      nvram.child("source").attribute("file").as_string(nvram.text().as_string());
  description.nvram_format = nvram.attribute("format").as_string("raw");
  description.has_guest_agent = HasGuestAgent(domain);
  for (const DiskElement& element : DisksOf(domain)) {
    if (HoldsNothing(element.node)) continue;
    VmDisk disk = DiskOf(element.node);
    if (const std::string why = WhyLeftOut(element.node); !why.empty()) {
      description.warnings.push_back(fmt::format("disk {} is left out: {}", disk.name.value, why));
      continue;
    }
    description.disks.push_back(std::move(disk));
  }
  AddHostDevices(domain, description);
  if (domain.child("devices").child("tpm")) {
    description.warnings.emplace_back(
        "what its TPM holds is not replicated: keys that are sealed there are lost with the host, "
        "so keep the recovery key of an encrypted disk elsewhere");
  }
  return description;
}

// virDomainDefGetShortName; libvirt takes UTF-8 apart.
std::string ShortDomainName(const std::string& name) {
  constexpr int kMostCharacters = 20;
  int characters = 0;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const bool continues = (static_cast<unsigned char>(name[i]) & 0xC0U) == 0x80;
    if (!continues && ++characters > kMostCharacters) return name.substr(0, i);
  }
  return name;
}

std::string BackupXml(const BackupDescription& backup) {
  pugi::xml_document document;
  Node root = document.append_child("domainbackup");
  root.append_attribute("mode") = "pull";
  Node server = root.append_child("server");
  server.append_attribute("transport") = "unix";
  server.append_attribute("socket") = backup.socket_path.c_str();
  Node disks = root.append_child("disks");
  for (const BackupDisk& disk : backup.disks) {
    Node node = disks.append_child("disk");
    node.append_attribute("name") = disk.target.c_str();
    node.append_attribute("backup") = "yes";
    node.append_attribute("type") = "file";
    node.append_attribute("backupmode") = disk.base_checkpoint.empty() ? "full" : "incremental";
    node.append_attribute("exportname") = disk.target.c_str();
    if (!disk.base_checkpoint.empty()) {
      node.append_attribute("incremental") = disk.base_checkpoint.c_str();
      node.append_attribute("exportbitmap") = kExportBitmap;
    }
    Node scratch = node.append_child("scratch");
    scratch.append_attribute("file") = disk.scratch_path.c_str();
  }
  for (const std::string& target : backup.other_targets) {
    Node node = disks.append_child("disk");
    node.append_attribute("name") = target.c_str();
    node.append_attribute("backup") = "no";
  }
  return ToText(document);
}

std::string CheckpointXml(const BackupDescription& backup) {
  if (std::ranges::none_of(backup.disks, &BackupDisk::has_checkpoint)) return "";
  pugi::xml_document document;
  Node root = document.append_child("domaincheckpoint");
  root.append_child("name").text() = backup.checkpoint.c_str();
  root.append_child("description").text() = "of asr, to note changes; asr deletes it by itself";
  Node disks = root.append_child("disks");
  const auto add = [&](const std::string& target, bool takes_part) {
    Node node = disks.append_child("disk");
    node.append_attribute("name") = target.c_str();
    node.append_attribute("checkpoint") = takes_part ? "bitmap" : "no";
  };
  for (const BackupDisk& disk : backup.disks) add(disk.target, disk.has_checkpoint);
  for (const std::string& target : backup.other_targets) add(target, false);
  return ToText(document);
}

std::string SocketOfBackup(const std::string& backup_xml) {
  pugi::xml_document document;
  if (!document.load_buffer(backup_xml.data(), backup_xml.size())) return "";
  return document.child("domainbackup").child("server").attribute("socket").as_string();
}

}  // namespace asr
