#include "core/source/libvirt_source.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/source/domain_xml.h"
#include "core/source/libvirt_host.h"

namespace asr {
namespace {

// What is wrong with one VM hides no other.
VirtualMachine Describe(const LibvirtSource& host, const LibvirtDomain& domain) {
  VirtualMachine vm;
  vm.name = domain.name();
  vm.host = host.name;
  const auto describe = [&]() -> Status {
    ASR_TRY(vm.power_state, domain.State());
    ASR_TRY(const bool was_migrated, domain.WasMigrated());
    // Its images here, if there are any, are not what it writes to.
    if (was_migrated) vm.reasons.emplace_back("it was migrated, and runs on another host");
    ASR_TRY(const std::string xml, domain.Xml());
    ASR_TRY(DomainDescription description, ParseDomainXml(xml));
    vm.uuid = description.uuid;
    vm.settings = description.settings;
    vm.hardware = std::move(description.hardware);
    vm.has_guest_agent = description.has_guest_agent;
    ASR_TRY(vm.settings.domain_xml, domain.DefinedXml());
    vm.warnings = std::move(description.warnings);
    for (VmDisk& disk : description.disks) {
      if (disk.refusal.empty()) {
        const auto size = domain.SizeOfDisk(disk.name.value);
        if (!size) disk.refusal = size.error().Line();
        if (size) disk.size_bytes = size->size_bytes;
        if (size) disk.allocated_bytes = std::min(size->allocated_bytes, size->size_bytes);
      }
      if (!disk.refusal.empty()) vm.reasons.push_back(RefusalReason(disk));
      vm.disks.push_back(std::move(disk));
    }
    if (vm.disks.empty()) vm.reasons.emplace_back("it has no disk that could be replicated");
    ASR_TRY(const auto snapshots, domain.ListInternalSnapshots());
    if (!snapshots.empty()) {
      vm.warnings.push_back(fmt::format(
          "it has internal snapshots, the first '{}': reverting to one fails while changes are "
          "tracked, and leaves the VM shut off; before you do, run: asr pause VM "
          "--release-tracking",
          snapshots.front()));
    }
    return {};
  };
  if (const Status described = describe(); !described) {
    vm.reasons.push_back(described.error().Line());
  }
  return vm;
}

}  // namespace

Result<std::vector<VirtualMachine>> ListLibvirtVms(const LibvirtSource& host) {
  ASR_TRY(const LibvirtHost connected, LibvirtHost::Connect(host.uri));
  ASR_TRY(const auto domains, connected.ListDomains());
  std::vector<VirtualMachine> vms;
  vms.reserve(domains.size());
  for (const LibvirtDomain& domain : domains) vms.push_back(Describe(host, domain));
  std::ranges::sort(vms, {}, &VirtualMachine::name);
  return vms;
}

Result<std::vector<std::string>> ListLibvirtVmNames(const LibvirtSource& host) {
  ASR_TRY(const LibvirtHost connected, LibvirtHost::Connect(host.uri));
  ASR_TRY(const auto domains, connected.ListDomains());
  std::vector<std::string> names;
  names.reserve(domains.size());
  for (const LibvirtDomain& domain : domains) names.push_back(domain.name());
  std::ranges::sort(names);
  return names;
}

Result<NamedVms> FindLibvirtVms(const LibvirtSource& host, const std::string& name) {
  ASR_TRY(const LibvirtHost connected, LibvirtHost::Connect(host.uri));
  ASR_TRY(const auto domains, connected.ListDomains());
  NamedVms found;
  for (const LibvirtDomain& domain : domains) {
    found.names.push_back(domain.name());
    if (domain.name() == name) found.vms.push_back(Describe(host, domain));
  }
  return found;
}

Status RequireVmIsOff(const std::string& uri, const std::string& uuid, const std::string& name) {
  ASR_TRY(const LibvirtHost host, LibvirtHost::Connect(uri));
  ASR_TRY(const LibvirtDomain domain, host.FindDomain(uuid));
  ASR_TRY(const VmPowerState state, domain.State());
  if (state == VmPowerState::kOff) return {};
  return Fail(MakeError(ErrorKind::kBusy, ErrorCode::kVmStateChanged,
                        fmt::format("VM {} was started just now", name))
                  .WithAction("nothing: the next try takes it as it runs")
                  .Retryable());
}

}  // namespace asr
