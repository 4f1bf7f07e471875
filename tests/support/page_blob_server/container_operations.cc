// What is done to containers and to the account.
#include <fmt/format.h>

#include <algorithm>

#include "tests/support/page_blob_server/call.h"
#include "tests/support/page_blob_server/service_error.h"

namespace asr::testing::page_blob {
namespace {

bool IsContainerName(const std::string& name) {
  const auto is_letter_or_digit = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
  };
  return is_letter_or_digit(name.front()) && is_letter_or_digit(name.back()) &&
         name.find("--") == std::string::npos &&
         std::ranges::all_of(name, [&](char c) { return is_letter_or_digit(c) || c == '-'; });
}

ServerReply CreateContainer(Call& call) {
  const std::string& name = call.target.container;
  if (name.size() < 3 || name.size() > 63) Refuse("OutOfRangeInput");
  if (!IsContainerName(name)) Refuse("InvalidResourceName");
  if (call.request.Header("x-ms-blob-public-access") != nullptr) Refuse("PublicAccessNotPermitted");
  const auto deleted = call.account.deleted_containers.find(name);
  if (deleted != call.account.deleted_containers.end()) {
    const std::chrono::duration<double> since = call.now - deleted->second;
    if (since.count() < call.rules.container_deletion_seconds) Refuse("ContainerBeingDeleted");
    call.account.deleted_containers.erase(deleted);
  }
  if (call.account.containers.contains(name)) Refuse("ContainerAlreadyExists");
  Metadata metadata = ReadMetadata(call.request);
  StoredContainer& container = call.account.containers[name];
  container.metadata = std::move(metadata);
  container.etag = call.account.NextEtag();
  container.modified = call.now;
  ServerReply reply{201};
  reply.Add("ETag", container.etag);
  reply.Add("Last-Modified", FormatHttpDate(container.modified));
  return reply;
}

ServerReply DeleteContainer(Call& call) {
  StoredContainer& container = FindContainer(call);
  static_cast<void>(container);
  call.account.containers.erase(call.target.container);
  call.account.deleted_containers[call.target.container] = call.now;
  return {202};
}

ServerReply GetContainerProperties(Call& call) {
  const StoredContainer& container = FindContainer(call);
  ServerReply reply{200};
  reply.Add("ETag", container.etag);
  reply.Add("Last-Modified", FormatHttpDate(container.modified));
  for (const auto& [name, value] : container.metadata) reply.Add("x-ms-meta-" + name, value);
  reply.Add("x-ms-lease-status", "unlocked");
  reply.Add("x-ms-lease-state", "available");
  reply.Add("x-ms-has-immutability-policy", "false");
  reply.Add("x-ms-has-legal-hold", "false");
  return reply;
}

ServerReply GetAccountInformation(const Call& call) {
  ServerReply reply{200};
  reply.Add("x-ms-sku-name", call.rules.is_premium ? "Premium_LRS" : "Standard_LRS");
  reply.Add("x-ms-account-kind", call.rules.is_premium ? "StorageV2" : "StorageV2");
  reply.Add("x-ms-is-hns-enabled", "false");
  return reply;
}

std::string RequiredElement(std::string_view document, const std::string& name) {
  const std::size_t begin = document.find("<" + name + ">");
  const std::size_t end = document.find("</" + name + ">");
  if (begin == std::string_view::npos || end == std::string_view::npos || end < begin) {
    Refuse("InvalidXmlDocument");
  }
  return std::string(document.substr(begin + name.size() + 2, end - begin - name.size() - 2));
}

ServerReply GetUserDelegationKey(const Call& call) {
  const std::string start = RequiredElement(AsText(call.request.body), "Start");
  const std::string expiry = RequiredElement(AsText(call.request.body), "Expiry");
  const auto starts = ParseIsoTime(start);
  const auto ends = ParseIsoTime(expiry);
  if (!starts || !ends || *ends <= *starts || *ends <= call.now ||
      *ends - *starts > std::chrono::hours(24 * 7) ||
      *ends - call.now > std::chrono::hours(24 * 7)) {
    Refuse("OutOfRangeInput");
  }
  const Credentials& credentials = call.credentials;
  const std::string version = call.request.HeaderOr("x-ms-version", "");
  const std::string key =
      UserDelegationKey(credentials, FormatSeconds(*starts), FormatSeconds(*ends), version);
  ServerReply reply{200};
  reply.Add("Content-Type", "application/xml");
  reply.body = XmlDocument(fmt::format(
      "<UserDelegationKey><SignedOid>{}</SignedOid><SignedTid>{}</SignedTid>"
      "<SignedStart>{}</SignedStart><SignedExpiry>{}</SignedExpiry>"
      "<SignedService>b</SignedService><SignedVersion>{}</SignedVersion><Value>{}</Value>"
      "</UserDelegationKey>",
      credentials.object_id, credentials.tenant, FormatSeconds(*starts), FormatSeconds(*ends),
      version, key));
  return reply;
}

}  // namespace

ServerReply ContainerCall(Call& call) {
  switch (call.target.operation) {
    case Operation::kCreateContainer:
      return CreateContainer(call);
    case Operation::kDeleteContainer:
      return DeleteContainer(call);
    case Operation::kGetContainerProperties:
      return GetContainerProperties(call);
    case Operation::kGetAccountInformation:
      return GetAccountInformation(call);
    case Operation::kGetUserDelegationKey:
      return GetUserDelegationKey(call);
    default:
      Refuse("NotImplemented");
  }
}

}  // namespace asr::testing::page_blob
