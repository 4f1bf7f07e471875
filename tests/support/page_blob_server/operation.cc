#include "tests/support/page_blob_server/operation.h"

#include <algorithm>
#include <array>

#include "storage/base/text.h"
#include "tests/support/page_blob_server/encoding.h"
#include "tests/support/page_blob_server/service_error.h"

namespace asr::testing::page_blob {
namespace {

// In the order of the enumeration.
constexpr std::array kTraits = {
    OperationTraits{"ListContainers", 's', "l"},
    OperationTraits{"GetAccountInformation", '*', ""},
    OperationTraits{"GetUserDelegationKey", 's', ""},
    OperationTraits{"CreateContainer", 'c', "cw"},
    OperationTraits{"DeleteContainer", 'c', "d"},
    OperationTraits{"GetContainerProperties", 'c', "r"},
    OperationTraits{"ListBlobs", 'c', "l"},
    OperationTraits{"PutBlob", 'o', "cw"},
    OperationTraits{"GetBlob", 'o', "r"},
    OperationTraits{"GetBlobProperties", 'o', "r"},
    OperationTraits{"DeleteBlob", 'o', "d"},
    OperationTraits{"DeleteSnapshot", 'o', "d"},
    OperationTraits{"SetBlobProperties", 'o', "w"},
    OperationTraits{"GetBlobMetadata", 'o', "r"},
    OperationTraits{"SetBlobMetadata", 'o', "w"},
    OperationTraits{"PutPage", 'o', "w"},
    OperationTraits{"ClearPages", 'o', "w"},
    OperationTraits{"PutPageFromURL", 'o', "w"},
    OperationTraits{"GetPageRanges", 'o', "r"},
    OperationTraits{"GetPageRangesDiff", 'o', "r"},
    OperationTraits{"SnapshotBlob", 'o', "cw"},
    OperationTraits{"CopyBlob", 'o', "cw"},
    OperationTraits{"AbortCopyBlob", 'o', "w"},
    OperationTraits{"AcquireLease", 'o', "w"},
    OperationTraits{"RenewLease", 'o', "w"},
    OperationTraits{"ChangeLease", 'o', "w"},
    OperationTraits{"ReleaseLease", 'o', "w"},
    OperationTraits{"BreakLease", 'o', "wd"},
};

[[noreturn]] void RefuseUnknown(const ServerRequest& request, const std::string& comp) {
  constexpr std::array<std::string_view, 17> kKnownElsewhere = {
      "acl",      "appendblock", "batch",  "block",           "blocklist", "blobs",
      "expiry",   "filterblobs", "query",  "incrementalcopy", "rename",    "seal",
      "undelete", "tags",        "policy", "legalhold",       "tier"};
  if (std::ranges::find(kKnownElsewhere, comp) != kKnownElsewhere.end()) Refuse("NotImplemented");
  if (!comp.empty()) RefuseQuery("InvalidQueryParameterValue", "comp", comp);
  const bool is_verb = request.method == "GET" || request.method == "HEAD" ||
                       request.method == "PUT" || request.method == "DELETE" ||
                       request.method == "POST" || request.method == "OPTIONS";
  Refuse(is_verb ? "UnsupportedHttpVerb" : "InvalidHttpVerb");
}

Operation LeaseOperation(const ServerRequest& request) {
  const std::string* const action = request.Header("x-ms-lease-action");
  if (action == nullptr) RefuseHeader("MissingRequiredHeader", "x-ms-lease-action");
  if (*action == "acquire") return Operation::kAcquireLease;
  if (*action == "renew") return Operation::kRenewLease;
  if (*action == "change") return Operation::kChangeLease;
  if (*action == "release") return Operation::kReleaseLease;
  if (*action == "break") return Operation::kBreakLease;
  RefuseHeader("InvalidHeaderValue", "x-ms-lease-action", *action);
}

Operation PageOperation(const ServerRequest& request) {
  const std::string* const write = request.Header("x-ms-page-write");
  if (write == nullptr) RefuseHeader("MissingRequiredHeader", "x-ms-page-write");
  if (*write == "clear") return Operation::kClearPages;
  if (*write != "update") RefuseHeader("InvalidHeaderValue", "x-ms-page-write", *write);
  return request.Header("x-ms-copy-source") != nullptr ? Operation::kPutPageFromUrl
                                                       : Operation::kPutPage;
}

Operation BlobOperation(const ServerRequest& request, const std::string& comp) {
  const std::string& method = request.method;
  if (method == "PUT") {
    if (comp.empty()) {
      return request.Header("x-ms-copy-source") != nullptr ? Operation::kCopyBlob
                                                           : Operation::kPutBlob;
    }
    if (comp == "page") return PageOperation(request);
    if (comp == "properties") return Operation::kSetBlobProperties;
    if (comp == "metadata") return Operation::kSetBlobMetadata;
    if (comp == "snapshot") return Operation::kSnapshotBlob;
    if (comp == "lease") return LeaseOperation(request);
    if (comp == "copy") return Operation::kAbortCopyBlob;
  } else if (method == "GET" || method == "HEAD") {
    if (comp.empty()) return method == "GET" ? Operation::kGetBlob : Operation::kGetBlobProperties;
    if (comp == "metadata") return Operation::kGetBlobMetadata;
    if (comp == "pagelist" && method == "GET") {
      const bool is_diff = request.Query("prevsnapshot") != nullptr ||
                           request.Header("x-ms-previous-snapshot-url") != nullptr;
      return is_diff ? Operation::kGetPageRangesDiff : Operation::kGetPageRanges;
    }
  } else if (method == "DELETE" && comp.empty()) {
    return request.Query("snapshot") != nullptr ? Operation::kDeleteSnapshot
                                                : Operation::kDeleteBlob;
  }
  RefuseUnknown(request, comp);
}

Operation ContainerOperation(const ServerRequest& request, const std::string& comp) {
  if (request.QueryOr("restype", "") != "container") {
    // A blob of the root container: no vault lies there.
    RefuseUnknown(request, comp);
  }
  const std::string& method = request.method;
  if (comp == "list" && method == "GET") return Operation::kListBlobs;
  if (!comp.empty()) {
    if (comp == "metadata" || comp == "lease") Refuse("NotImplemented");
    RefuseUnknown(request, comp);
  }
  if (method == "PUT") return Operation::kCreateContainer;
  if (method == "DELETE") return Operation::kDeleteContainer;
  if (method == "GET" || method == "HEAD") return Operation::kGetContainerProperties;
  RefuseUnknown(request, comp);
}

bool IsAddress(const std::string& host) {
  const std::string name = host.substr(0, host.find(':'));
  return host.starts_with('[') || name == "localhost" ||
         name.find_first_not_of("0123456789.") == std::string::npos;
}

std::string TakeSegment(std::string& path) {
  const std::size_t slash = path.find('/');
  std::string segment = path.substr(0, slash);
  path = slash == std::string::npos ? "" : path.substr(slash + 1);
  return segment;
}

}  // namespace

const OperationTraits& TraitsOf(Operation operation) {
  return kTraits[static_cast<std::size_t>(operation)];
}

Target ParsePlace(const std::string& path, const std::string& host) {
  Target target;
  std::string rest = path.substr(1);
  target.is_path_style = IsAddress(host);
  target.account = target.is_path_style ? DecodePercent(TakeSegment(rest))
                                        : host.substr(0, host.find_first_of(".:"));
  target.container = DecodePercent(TakeSegment(rest));
  target.blob = DecodePercent(rest);
  return target;
}

Target ParseTarget(const ServerRequest& request) {
  const std::string* const host = request.Header("host");
  if (host == nullptr) RefuseHeader("MissingRequiredHeader", "Host");
  Target target = ParsePlace(request.path, *host);
  target.snapshot = request.QueryOr("snapshot", "");
  const std::string comp = AsciiLowerCase(request.QueryOr("comp", ""));
  const std::string kind = AsciiLowerCase(request.QueryOr("restype", ""));
  const bool is_read = request.method == "GET" || request.method == "HEAD";
  if (kind == "account" && comp == "properties" && is_read) {
    target.operation = Operation::kGetAccountInformation;
  } else if (target.container.empty()) {
    if (comp == "list" && request.method == "GET") {
      target.operation = Operation::kListContainers;
    } else if (kind == "service" && comp == "userdelegationkey" && request.method == "POST") {
      target.operation = Operation::kGetUserDelegationKey;
    } else {
      if (kind == "service") Refuse("NotImplemented");
      Refuse("InvalidUri");
    }
  } else if (target.blob.empty()) {
    target.operation = ContainerOperation(request, comp);
  } else {
    target.operation = BlobOperation(request, comp);
  }
  return target;
}

}  // namespace asr::testing::page_blob
