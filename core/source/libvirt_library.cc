#include "core/source/libvirt_library.h"

#include <dlfcn.h>

namespace asr {
namespace {

template <class Function>
bool Find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  return function != nullptr;
}

bool FindAll(void* library, LibvirtLibrary& libvirt) {
  return Find(library, "virInitialize", libvirt.Initialize) &&
         Find(library, "virSetErrorFunc", libvirt.SetErrorFunc) &&
         Find(library, "virGetLastError", libvirt.GetLastError) &&
         Find(library, "virConnectOpen", libvirt.ConnectOpen) &&
         Find(library, "virConnectOpenReadOnly", libvirt.ConnectOpenReadOnly) &&
         Find(library, "virConnectClose", libvirt.ConnectClose) &&
         Find(library, "virConnectListAllDomains", libvirt.ConnectListAllDomains) &&
         Find(library, "virConnectGetLibVersion", libvirt.ConnectGetLibVersion) &&
         Find(library, "virDomainLookupByUUIDString", libvirt.DomainLookupByUUIDString) &&
         Find(library, "virDomainFree", libvirt.DomainFree) &&
         Find(library, "virDomainGetName", libvirt.DomainGetName) &&
         Find(library, "virDomainGetID", libvirt.DomainGetID) &&
         Find(library, "virDomainGetState", libvirt.DomainGetState) &&
         Find(library, "virDomainGetXMLDesc", libvirt.DomainGetXMLDesc) &&
         Find(library, "virDomainGetBlockInfo", libvirt.DomainGetBlockInfo) &&
         Find(library, "virDomainResume", libvirt.DomainResume) &&
         Find(library, "virDomainFSFreeze", libvirt.DomainFSFreeze) &&
         Find(library, "virDomainFSThaw", libvirt.DomainFSThaw) &&
         Find(library, "virDomainGetJobInfo", libvirt.DomainGetJobInfo) &&
         Find(library, "virDomainAgentSetResponseTimeout", libvirt.DomainAgentSetResponseTimeout) &&
         Find(library, "virDomainAbortJob", libvirt.DomainAbortJob) &&
         Find(library, "virDomainBackupBegin", libvirt.DomainBackupBegin) &&
         Find(library, "virDomainBackupGetXMLDesc", libvirt.DomainBackupGetXMLDesc) &&
         Find(library, "virDomainListAllCheckpoints", libvirt.DomainListAllCheckpoints) &&
         Find(library, "virDomainCheckpointLookupByName", libvirt.DomainCheckpointLookupByName) &&
         Find(library, "virDomainCheckpointGetName", libvirt.DomainCheckpointGetName) &&
         Find(library, "virDomainCheckpointDelete", libvirt.DomainCheckpointDelete) &&
         Find(library, "virDomainCheckpointFree", libvirt.DomainCheckpointFree) &&
         Find(library, "virDomainListAllSnapshots", libvirt.DomainListAllSnapshots) &&
         Find(library, "virDomainSnapshotGetName", libvirt.DomainSnapshotGetName) &&
         Find(library, "virDomainSnapshotFree", libvirt.DomainSnapshotFree) &&
         Find(library, "virEventRegisterDefaultImpl", libvirt.EventRegisterDefaultImpl) &&
         Find(library, "virEventRunDefaultImpl", libvirt.EventRunDefaultImpl) &&
         Find(library, "virEventAddTimeout", libvirt.EventAddTimeout) &&
         Find(library, "virEventUpdateTimeout", libvirt.EventUpdateTimeout) &&
         Find(library, "virConnectDomainEventRegisterAny", libvirt.ConnectDomainEventRegisterAny) &&
         Find(library, "virConnectDomainEventDeregisterAny",
              libvirt.ConnectDomainEventDeregisterAny) &&
         Find(library, "virConnectRegisterCloseCallback", libvirt.ConnectRegisterCloseCallback) &&
         Find(library, "virConnectUnregisterCloseCallback",
              libvirt.ConnectUnregisterCloseCallback) &&
         Find(library, "virConnectSetKeepAlive", libvirt.ConnectSetKeepAlive) &&
         Find(library, "virDomainGetUUIDString", libvirt.DomainGetUUIDString);
}

// It prints what goes wrong, unless somebody else takes it.
void Ignore(void* /*user_data*/, virErrorPtr /*error*/) {}

const LibvirtLibrary* Load() {
  static LibvirtLibrary libvirt{};
  void* library = ::dlopen("libvirt.so.0", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr || !FindAll(library, libvirt)) return nullptr;
  if (libvirt.Initialize() != 0) return nullptr;
  libvirt.SetErrorFunc(nullptr, Ignore);
  return &libvirt;
}

}  // namespace

Result<const LibvirtLibrary*> LoadLibvirt() {
  static const LibvirtLibrary* const loaded = Load();
  if (loaded != nullptr) return loaded;
  return Fail(MakeError(ErrorKind::kUnsupported, ErrorCode::kHostUnreachable,
                        "hosts of kind libvirt need libvirt 7.2 or newer, which is not installed "
                        "on this machine")
                  .WithAction("install it: apt install libvirt0"));
}

}  // namespace asr
