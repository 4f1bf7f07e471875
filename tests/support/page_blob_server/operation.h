// Which operation of the service a request asks for.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tests/support/page_blob_server/http_message.h"

namespace asr::testing::page_blob {

enum class Operation : std::uint8_t {
  kListContainers,
  kGetAccountInformation,
  kGetUserDelegationKey,
  kCreateContainer,
  kDeleteContainer,
  kGetContainerProperties,
  kListBlobs,
  kPutBlob,
  kGetBlob,
  kGetBlobProperties,
  kDeleteBlob,
  kDeleteSnapshot,
  kSetBlobProperties,
  kGetBlobMetadata,
  kSetBlobMetadata,
  kPutPage,
  kClearPages,
  kPutPageFromUrl,
  kGetPageRanges,
  kGetPageRangesDiff,
  kSnapshotBlob,
  kCopyBlob,
  kAbortCopyBlob,
  kAcquireLease,
  kRenewLease,
  kChangeLease,
  kReleaseLease,
  kBreakLease,
};

// What the request may be refused for before anything is looked at.
struct OperationTraits {
  std::string_view name;         // "PutPage"
  char resource_type;            // of an account SAS: service, container, object
  std::string_view permissions;  // any one of these; empty: none is needed
};

[[nodiscard]] const OperationTraits& TraitsOf(Operation operation);

// A request, taken apart.
struct Target {
  std::string account;
  std::string container;
  std::string blob;  // decoded
  std::string snapshot;
  bool is_path_style = true;  // the account is the first part of the path, not of the host's name
  Operation operation = Operation::kGetBlob;
};

// Throws ServiceError for what the service does not know, or this server does not do (501).
[[nodiscard]] Target ParseTarget(const ServerRequest& request);
// Account, container and blob of a path alone, for sources of copies and messages.
[[nodiscard]] Target ParsePlace(const std::string& path, const std::string& host);

}  // namespace asr::testing::page_blob
