#include "core/source/libvirt_library.h"

#include "storage/base/shared_library.h"

namespace asr {
namespace {

bool FindAll(SharedLibrary library, LibvirtLibrary& libvirt) {
  return library.Find("virInitialize", libvirt.Initialize)
      .Find("virSetErrorFunc", libvirt.SetErrorFunc)
      .Find("virGetLastError", libvirt.GetLastError)
      .Find("virConnectOpen", libvirt.ConnectOpen)
      .Find("virConnectOpenReadOnly", libvirt.ConnectOpenReadOnly)
      .Find("virConnectClose", libvirt.ConnectClose)
      .Find("virConnectListAllDomains", libvirt.ConnectListAllDomains)
      .Find("virConnectGetLibVersion", libvirt.ConnectGetLibVersion)
      .Find("virConnectGetVersion", libvirt.ConnectGetVersion)
      .Find("virDomainLookupByUUIDString", libvirt.DomainLookupByUUIDString)
      .Find("virDomainFree", libvirt.DomainFree)
      .Find("virDomainGetName", libvirt.DomainGetName)
      .Find("virDomainGetID", libvirt.DomainGetID)
      .Find("virDomainGetState", libvirt.DomainGetState)
      .Find("virDomainGetXMLDesc", libvirt.DomainGetXMLDesc)
      .Find("virDomainGetBlockInfo", libvirt.DomainGetBlockInfo)
      .Find("virDomainResume", libvirt.DomainResume)
      .Find("virDomainFSFreeze", libvirt.DomainFSFreeze)
      .Find("virDomainFSThaw", libvirt.DomainFSThaw)
      .Find("virDomainGetJobInfo", libvirt.DomainGetJobInfo)
      .Find("virDomainGetBlockJobInfo", libvirt.DomainGetBlockJobInfo)
      .Find("virDomainBlockJobAbort", libvirt.DomainBlockJobAbort)
      .Find("virDomainAgentSetResponseTimeout", libvirt.DomainAgentSetResponseTimeout)
      .Find("virDomainAbortJob", libvirt.DomainAbortJob)
      .Find("virDomainBackupBegin", libvirt.DomainBackupBegin)
      .Find("virDomainBackupGetXMLDesc", libvirt.DomainBackupGetXMLDesc)
      .Find("virDomainListAllCheckpoints", libvirt.DomainListAllCheckpoints)
      .Find("virDomainCheckpointLookupByName", libvirt.DomainCheckpointLookupByName)
      .Find("virDomainCheckpointGetName", libvirt.DomainCheckpointGetName)
      .Find("virDomainCheckpointDelete", libvirt.DomainCheckpointDelete)
      .Find("virDomainCheckpointFree", libvirt.DomainCheckpointFree)
      .Find("virDomainListAllSnapshots", libvirt.DomainListAllSnapshots)
      .Find("virDomainSnapshotGetName", libvirt.DomainSnapshotGetName)
      .Find("virDomainSnapshotFree", libvirt.DomainSnapshotFree)
      .Find("virEventRegisterDefaultImpl", libvirt.EventRegisterDefaultImpl)
      .Find("virEventRunDefaultImpl", libvirt.EventRunDefaultImpl)
      .Find("virEventAddTimeout", libvirt.EventAddTimeout)
      .Find("virEventUpdateTimeout", libvirt.EventUpdateTimeout)
      .Find("virConnectDomainEventRegisterAny", libvirt.ConnectDomainEventRegisterAny)
      .Find("virConnectDomainEventDeregisterAny", libvirt.ConnectDomainEventDeregisterAny)
      .Find("virConnectRegisterCloseCallback", libvirt.ConnectRegisterCloseCallback)
      .Find("virConnectUnregisterCloseCallback", libvirt.ConnectUnregisterCloseCallback)
      .Find("virConnectSetKeepAlive", libvirt.ConnectSetKeepAlive)
      .Find("virDomainGetUUIDString", libvirt.DomainGetUUIDString)
      .has_all();
}

// It prints what goes wrong, unless somebody else takes it.
void Ignore(void* /*user_data*/, virErrorPtr /*error*/) {}

const LibvirtLibrary* Load() {
  static LibvirtLibrary libvirt{};
  if (!FindAll(SharedLibrary("libvirt.so.0"), libvirt)) return nullptr;
  // Of the same package.
  const bool has_qemu = SharedLibrary("libvirt-qemu.so.0")
                            .Find("virDomainQemuMonitorCommand", libvirt.DomainQemuMonitorCommand)
                            .has_all();
  if (!has_qemu) return nullptr;
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
