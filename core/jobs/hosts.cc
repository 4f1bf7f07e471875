#include "core/jobs/hosts.h"

#include <fmt/format.h>

#include "core/source/folder_source.h"
#include "core/source/libvirt_source.h"
#include "core/source/libvirt_uri.h"
#include "storage/base/text.h"

namespace asr {
namespace {

void WarnOfHost(Environment& environment, const HostRegistration& host, const Error& error) {
  environment.progress.Warn(
      fmt::format("host {} cannot be looked at: {}", host.name, error.Line()));
}

Result<HostRegistration> RegisterHost(Environment& environment, const HostRegistration& host) {
  ASR_TRY(const auto hosts, environment.state.ListHosts());
  for (const HostRegistration& known : hosts) {
    if (known.name != host.name) continue;
    if (known == host) return known;
    return Fail(MakeError(ErrorKind::kState, ErrorCode::kHostExists,
                          fmt::format("host '{}' is registered already, with {} {}", host.name,
                                      known.kind, known.path))
                    .WithAction(fmt::format("take another name, or remove it first: asr host "
                                            "remove {}",
                                            host.name)));
  }
  ASR_CHECK(environment.state.AddHost(host));
  return host;
}

Result<std::vector<VirtualMachine>> ListVmsOf(Environment& environment,
                                              const HostRegistration& host) {
  if (host.kind == kLibvirtKind) return ListLibvirtVms({.name = host.name, .uri = host.path});
  return ListFolderVms(environment.fs, {.name = host.name, .path = host.path});
}

Result<std::vector<std::string>> ListVmNamesOf(Environment& environment,
                                               const HostRegistration& host) {
  if (host.kind == kLibvirtKind) return ListLibvirtVmNames({.name = host.name, .uri = host.path});
  return ListFolderVmNames(environment.fs, {.name = host.name, .path = host.path});
}

Result<NamedVms> FindVmsOf(Environment& environment, const HostRegistration& host,
                           const std::string& name) {
  if (host.kind == kLibvirtKind) return FindLibvirtVms({.name = host.name, .uri = host.path}, name);
  return FindFolderVms(environment.fs, {.name = host.name, .path = host.path}, name);
}

}  // namespace

Result<HostRegistration> AddFolderHost(Environment& environment, const std::string& name,
                                       const std::string& path) {
  ASR_TRY(const std::string absolute, environment.fs.Canonical(path));
  ASR_TRY(const FileStamp stamp, environment.fs.Stat(absolute));
  if (stamp.type != FileType::kDirectory) {
    return Fail(MakeError(ErrorKind::kNotFound, ErrorCode::kFileNotFound,
                          fmt::format("{} is not a directory", absolute))
                    .WithAction("give the directory whose sub-directories hold the VMs' disks"));
  }
  return RegisterHost(environment, {.name = name, .kind = "folder", .path = absolute});
}

Result<HostRegistration> AddLibvirtHost(Environment& environment, const std::string& name,
                                        const std::string& uri) {
  ASR_CHECK(ParseLibvirtUri(uri));
  ASR_CHECK(ListLibvirtVmNames({.name = name, .uri = uri}));
  return RegisterHost(environment, {.name = name, .kind = kLibvirtKind, .path = uri});
}

Result<std::vector<VirtualMachine>> ListVms(Environment& environment, const std::string& host) {
  if (!host.empty()) {
    ASR_TRY(const HostRegistration registration, environment.state.FindHost(host));
    return ListVmsOf(environment, registration);
  }
  ASR_TRY(const auto hosts, environment.state.ListHosts());
  std::vector<VirtualMachine> all;
  for (const HostRegistration& registration : hosts) {
    auto vms = ListVmsOf(environment, registration);
    if (!vms) {
      WarnOfHost(environment, registration, vms.error());
      continue;
    }
    all.insert(all.end(), vms->begin(), vms->end());
  }
  return all;
}

Result<std::vector<VmName>> ListVmNames(Environment& environment) {
  ASR_TRY(const auto hosts, environment.state.ListHosts());
  std::vector<VmName> all;
  for (const HostRegistration& host : hosts) {
    const auto names = ListVmNamesOf(environment, host);
    if (!names) {
      WarnOfHost(environment, host, names.error());
      continue;
    }
    for (const std::string& name : *names) all.push_back({.host = host.name, .name = name});
  }
  return all;
}

Result<VirtualMachine> FindVm(Environment& environment, const std::string& name) {
  ASR_TRY(const auto hosts, environment.state.ListHosts());
  // No VM's name has a slash in it.
  const std::size_t slash = name.rfind('/');
  const std::string vm_name = slash == std::string::npos ? name : name.substr(slash + 1);
  std::vector<VirtualMachine> found;
  std::vector<std::string> names;
  for (const HostRegistration& host : hosts) {
    if (slash != std::string::npos && host.name != name.substr(0, slash)) continue;
    auto named = FindVmsOf(environment, host, vm_name);
    // Asked for by its host, a VM is there or not only if the host can tell.
    if (!named && slash != std::string::npos) return Fail(named.error());
    if (!named) {
      WarnOfHost(environment, host, named.error());
      continue;
    }
    names.insert(names.end(), named->names.begin(), named->names.end());
    found.insert(found.end(), named->vms.begin(), named->vms.end());
  }
  if (found.size() == 1) return found.front();
  if (found.empty()) {
    const std::string nearest = NearestName(vm_name, names);
    return Fail(MakeError(ErrorKind::kNotFound, ErrorCode::kVmNotFound,
                          fmt::format("there is no VM '{}' on the registered hosts", name))
                    .WithCause("its name is another, or its host is not registered (asr host list)")
                    .WithAction(nearest.empty()
                                    ? "see what there is: asr vm list"
                                    : fmt::format("did you mean '{}'? All: asr vm list", nearest)));
  }
  std::vector<std::string> candidates;
  for (const VirtualMachine& vm : found) candidates.push_back(vm.host + "/" + vm.name);
  return Fail(MakeError(ErrorKind::kState, ErrorCode::kVmAmbiguous,
                        fmt::format("'{}' may be {}", name, fmt::join(candidates, " or ")))
                  .WithAction("give HOST/NAME"));
}

}  // namespace asr
