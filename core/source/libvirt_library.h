// libvirt, loaded when the first host of its kind is looked at: it would cost every start of the
// program five milliseconds.
#pragma once

#include <libvirt/libvirt-qemu.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include "storage/base/result.h"

namespace asr {

// The functions that we use, each by its name in libvirt's reference without `vir`.
struct LibvirtLibrary {
  decltype(&virInitialize) Initialize;
  decltype(&virSetErrorFunc) SetErrorFunc;
  decltype(&virGetLastError) GetLastError;
  decltype(&virConnectOpen) ConnectOpen;
  decltype(&virConnectOpenReadOnly) ConnectOpenReadOnly;
  decltype(&virConnectClose) ConnectClose;
  decltype(&virConnectListAllDomains) ConnectListAllDomains;
  decltype(&virConnectGetLibVersion) ConnectGetLibVersion;
  decltype(&virConnectGetVersion) ConnectGetVersion;
  decltype(&virDomainLookupByUUIDString) DomainLookupByUUIDString;
  decltype(&virDomainFree) DomainFree;
  decltype(&virDomainGetName) DomainGetName;
  decltype(&virDomainGetID) DomainGetID;
  decltype(&virDomainGetState) DomainGetState;
  decltype(&virDomainGetXMLDesc) DomainGetXMLDesc;
  decltype(&virDomainGetBlockInfo) DomainGetBlockInfo;
  decltype(&virDomainResume) DomainResume;
  decltype(&virDomainFSFreeze) DomainFSFreeze;
  decltype(&virDomainFSThaw) DomainFSThaw;
  decltype(&virDomainGetJobInfo) DomainGetJobInfo;
  decltype(&virDomainGetBlockJobInfo) DomainGetBlockJobInfo;
  decltype(&virDomainBlockJobAbort) DomainBlockJobAbort;
  decltype(&virDomainAgentSetResponseTimeout) DomainAgentSetResponseTimeout;
  decltype(&virDomainAbortJob) DomainAbortJob;
  decltype(&virDomainBackupBegin) DomainBackupBegin;
  decltype(&virDomainBackupGetXMLDesc) DomainBackupGetXMLDesc;
  decltype(&virDomainListAllCheckpoints) DomainListAllCheckpoints;
  decltype(&virDomainCheckpointLookupByName) DomainCheckpointLookupByName;
  decltype(&virDomainCheckpointGetName) DomainCheckpointGetName;
  decltype(&virDomainCheckpointDelete) DomainCheckpointDelete;
  decltype(&virDomainCheckpointFree) DomainCheckpointFree;
  decltype(&virDomainListAllSnapshots) DomainListAllSnapshots;
  decltype(&virDomainSnapshotGetName) DomainSnapshotGetName;
  decltype(&virDomainSnapshotFree) DomainSnapshotFree;
  decltype(&virEventRegisterDefaultImpl) EventRegisterDefaultImpl;
  decltype(&virEventRunDefaultImpl) EventRunDefaultImpl;
  decltype(&virEventAddTimeout) EventAddTimeout;
  decltype(&virEventUpdateTimeout) EventUpdateTimeout;
  decltype(&virConnectDomainEventRegisterAny) ConnectDomainEventRegisterAny;
  decltype(&virConnectDomainEventDeregisterAny) ConnectDomainEventDeregisterAny;
  decltype(&virConnectRegisterCloseCallback) ConnectRegisterCloseCallback;
  decltype(&virConnectUnregisterCloseCallback) ConnectUnregisterCloseCallback;
  decltype(&virConnectSetKeepAlive) ConnectSetKeepAlive;
  decltype(&virDomainGetUUIDString) DomainGetUUIDString;
  // Of libvirt-qemu.
  decltype(&virDomainQemuMonitorCommand) DomainQemuMonitorCommand;
};

// kUnsupported, with the package's name, if it is not installed. It stays loaded.
[[nodiscard]] Result<const LibvirtLibrary*> LoadLibvirt();

}  // namespace asr
