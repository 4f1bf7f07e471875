// Leases, by the table of states in the documentation of Lease Blob.
#include <algorithm>

#include "storage/base/checksum.h"
#include "storage/base/guid.h"
#include "storage/base/text.h"
#include "tests/support/page_blob_server/call.h"
#include "tests/support/page_blob_server/service_error.h"

namespace asr::testing::page_blob {
namespace {

// Lower-case; 400 if it is no GUID.
std::string ReadId(const std::string& header, const std::string& value) {
  const std::string id = AsciiLowerCase(value);
  const bool is_guid = id.size() == 36 && id[8] == '-' && id[13] == '-' && id[18] == '-' &&
                       id[23] == '-' && std::ranges::count(id, '-') == 4 &&
                       id.find_first_not_of("0123456789abcdef-") == std::string::npos;
  if (!is_guid) RefuseHeader("InvalidHeaderValue", header, value);
  return id;
}

std::string RequiredId(const ServerRequest& request, const std::string& header) {
  const std::string* const value = request.Header(header);
  if (value == nullptr) RefuseHeader("MissingRequiredHeader", header);
  return ReadId(header, *value);
}

void Start(Call& call, BlobLease& lease) {
  lease.state = LeaseState::kLeased;
  lease.ends = call.now + std::chrono::seconds(std::max(lease.duration_seconds, 0));
  lease.is_renewable = true;
}

void Acquire(Call& call, BlobLease& lease) {
  const std::string* const text = call.request.Header("x-ms-lease-duration");
  if (text == nullptr) RefuseHeader("MissingRequiredHeader", "x-ms-lease-duration");
  const auto seconds = ParseNumber(*text);
  if (*text != "-1" && (!seconds || *seconds < 15 || *seconds > 60)) {
    RefuseHeader("InvalidHeaderValue", "x-ms-lease-duration", *text);
  }
  const std::string* const proposed = call.request.Header("x-ms-proposed-lease-id");
  const std::string id =
      proposed != nullptr ? ReadId("x-ms-proposed-lease-id", *proposed) : GuidText(RandomBits());
  if (lease.state == LeaseState::kLeased && id != lease.id) Refuse("LeaseAlreadyPresent");
  if (lease.state == LeaseState::kBreaking) {
    Refuse(id == lease.id ? "LeaseIsBreakingAndCannotBeAcquired" : "LeaseAlreadyPresent");
  }
  lease.id = id;
  lease.duration_seconds = seconds ? static_cast<int>(*seconds) : -1;
  Start(call, lease);
}

void CheckId(const BlobLease& lease, const std::string& id) {
  if (lease.state == LeaseState::kAvailable) Refuse("LeaseNotPresentWithLeaseOperation");
  if (id != lease.id) Refuse("LeaseIdMismatchWithLeaseOperation");
}

void Renew(Call& call, BlobLease& lease) {
  CheckId(lease, RequiredId(call.request, "x-ms-lease-id"));
  if (lease.state == LeaseState::kBroken || lease.state == LeaseState::kBreaking) {
    Refuse("LeaseIsBrokenAndCannotBeRenewed");
  }
  if (lease.state == LeaseState::kExpired && !lease.is_renewable) {
    Refuse("LeaseNotPresentWithLeaseOperation");
  }
  Start(call, lease);
}

void Change(Call& call, BlobLease& lease) {
  const std::string id = RequiredId(call.request, "x-ms-lease-id");
  const std::string proposed = RequiredId(call.request, "x-ms-proposed-lease-id");
  if (lease.state == LeaseState::kAvailable || lease.state == LeaseState::kExpired ||
      lease.state == LeaseState::kBroken) {
    Refuse("LeaseNotPresentWithLeaseOperation");
  }
  if (id != lease.id && proposed != lease.id) Refuse("LeaseIdMismatchWithLeaseOperation");
  if (lease.state == LeaseState::kBreaking) Refuse("LeaseIsBreakingAndCannotBeChanged");
  lease.id = proposed;
}

void Release(Call& call, BlobLease& lease) {
  CheckId(lease, RequiredId(call.request, "x-ms-lease-id"));
  lease = BlobLease{};
}

// Seconds until the lease is over.
std::uint64_t Break(Call& call, BlobLease& lease) {
  if (lease.state == LeaseState::kAvailable) Refuse("LeaseNotPresentWithLeaseOperation");
  const auto period = NumberHeader(call.request, "x-ms-lease-break-period");
  if (period && *period > 60) RefuseHeader("InvalidHeaderValue", "x-ms-lease-break-period");
  if (lease.state == LeaseState::kExpired || lease.state == LeaseState::kBroken) {
    lease.state = LeaseState::kBroken;
    return 0;
  }
  std::uint64_t seconds = period.value_or(lease.duration_seconds < 0 ? 0 : 60);
  const bool has_end = lease.state == LeaseState::kBreaking || lease.duration_seconds > 0;
  if (has_end) {
    const auto left = std::chrono::ceil<std::chrono::seconds>(lease.ends - call.now).count();
    seconds = std::min(seconds, static_cast<std::uint64_t>(std::max<std::int64_t>(left, 0)));
  }
  lease.state = LeaseState::kBreaking;
  lease.ends =
      std::min(call.now + std::chrono::seconds(seconds), has_end ? lease.ends : ServiceTime::max());
  lease.Refresh(call.now);
  return seconds;
}

}  // namespace

ServerReply LeaseBlob(Call& call) {
  StoredBlob& blob = FindBlob(call);
  CheckConditions(call, blob.base);
  ServerReply reply{200};
  switch (call.target.operation) {
    case Operation::kAcquireLease:
      Acquire(call, blob.lease);
      reply.status = 201;
      break;
    case Operation::kRenewLease:
      Renew(call, blob.lease);
      break;
    case Operation::kChangeLease:
      Change(call, blob.lease);
      break;
    case Operation::kReleaseLease:
      Release(call, blob.lease);
      break;
    default:
      reply.status = 202;
      reply.Add("x-ms-lease-time", std::to_string(Break(call, blob.lease)));
  }
  AddEtag(reply, blob.base);
  const bool has_id = call.target.operation != Operation::kReleaseLease &&
                      call.target.operation != Operation::kBreakLease;
  if (has_id) reply.Add("x-ms-lease-id", blob.lease.id);
  return reply;
}

}  // namespace asr::testing::page_blob
