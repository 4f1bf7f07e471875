#include "storage/blob/azure_lease.h"

#include <algorithm>
#include <charconv>
#include <chrono>

#include <fmt/format.h>

#include "storage/base/checksum.h"
#include "storage/base/guid.h"
#include "storage/base/stop.h"
#include "storage/blob/azure_lists.h"
#include "storage/blob/blob_name.h"

namespace asr {
namespace {

constexpr int kLeaseSeconds = 60;  // the longest that is not for ever
constexpr double kRenewSeconds = 15;
constexpr double kTrustSeconds = 45;
constexpr std::string_view kTaken = "x-ms-meta-taken";
constexpr std::string_view kOwner = "x-ms-meta-owner";

Error HeldByThisMachine(const std::string& name) {
  return MakeError(ErrorKind::kBusy, ErrorCode::kLocked,
                   fmt::format("another process on this machine holds the lease of {}", name))
      .WithAction("wait until it is done: asr jobs list --state InProgress")
      .Retryable();
}

Error HeldBy(const std::string& name, std::string_view owner) {
  return MakeError(ErrorKind::kBusy, ErrorCode::kLocked,
                   fmt::format("{} holds the lease of {}",
                               owner.empty() ? "another machine" : fmt::format("machine {}", owner),
                               name))
      .WithCause("it replicates or recovers this VM now")
      .WithCause("it died less than a minute ago")
      .WithAction("let it end; a lease of a machine that died passes on after a minute")
      .Retryable();
}

// What a header may hold.
std::string HeaderText(std::string text) {
  std::erase_if(text, [](char c) { return c <= ' ' || c > '~'; });
  return text;
}

AzureRequest LeaseRequest(const std::string& name, std::string_view action, const std::string& id) {
  AzureRequest request{.method = HttpMethod::kPut,
                       .blob = LeaseBlob(name),
                       .query = {{"comp", "lease"}},
                       .what = fmt::format("cannot {} the lease of {}", action, name),
                       .expected = {404, 409, 412}};
  request.headers.Set("x-ms-lease-action", action);
  if (action == "acquire") {
    request.headers.Set("x-ms-lease-duration", std::to_string(kLeaseSeconds));
    request.headers.Set("x-ms-proposed-lease-id", id);
  } else {
    request.headers.Set("x-ms-lease-id", id);
  }
  return request;
}

// The lease's blob is made by whoever needs it first, and stays.
Status MakeLeaseBlob(AzureClient& client, const std::string& name) {
  AzureRequest request{.method = HttpMethod::kPut,
                       .blob = LeaseBlob(name),
                       .what = "cannot make the lease of " + name,
                       .expected = {409, 412}};
  request.headers.Set("x-ms-blob-type", "BlockBlob");
  request.headers.Set("If-None-Match", "*");
  ASR_CHECK(client.Send(request));
  return {};
}

Result<HttpResponse> LookAtLeaseBlob(AzureClient& client, const std::string& name) {
  return client.Send({.method = HttpMethod::kHead,
                      .blob = LeaseBlob(name),
                      .what = "cannot look at the lease of " + name});
}

// A blob that was deleted by hand counts anew: what was counted is in the sequence numbers of the
// page blobs, too. Of all below the directory that the lease is for.
Result<std::uint64_t> CountInPageBlobs(AzureClient& client, const std::string& name) {
  const std::string directory = name.substr(0, name.rfind('/') + 1);
  ASR_TRY(const BlobListing listing, ListBlobs(client, {.prefix = directory}));
  std::uint64_t count = 0;
  for (const ListedBlob& blob : listing.blobs) {
    if (!blob.is_page_blob) continue;
    ASR_TRY(const HttpResponse head, client.Send({.method = HttpMethod::kHead,
                                                  .blob = blob.name,
                                                  .what = "cannot look at " + blob.name,
                                                  .expected = {404}}));
    count = std::max(count, LeaseFence::TimesTaken(SequenceNumberOf(head)));
  }
  return count;
}

// The id under which this machine takes the lease; kept before it is used.
Result<std::string> KeptId(const LeaseKeeping& keeping, const std::string& file) {
  const auto known = ReadWholeFile(keeping.fs, file, 64);
  if (known && known->size() == 36) return *known;
  if (!known && known.error().kind != ErrorKind::kNotFound) return Fail(known.error());
  std::string id = GuidText(RandomBits());
  ASR_CHECK(WriteFileAtomic(keeping.fs, file, AsBytes(id)));
  return id;
}

}  // namespace

std::string LeaseBlob(const std::string& name) { return std::string(kLeaseBlobs) + name; }

Result<std::unique_ptr<AzureLease>> AzureLease::Acquire(AzureClient& client, Clock& clock,
                                                        const LeaseKeeping& keeping,
                                                        const std::string& name) {
  std::string flat = name;
  std::ranges::replace(flat, '/', '+');
  ASR_CHECK(keeping.fs.CreateDirectories(keeping.directory));
  const std::string file = JoinPath(keeping.directory, flat);
  auto local = keeping.fs.Lock(file + ".lock");
  if (!local && local.error().kind == ErrorKind::kBusy) return Fail(HeldByThisMachine(name));
  ASR_CHECK(local);
  ASR_TRY(std::string id, KeptId(keeping, file + ".id"));
  const double start_seconds = clock.MonotonicSeconds();
  ASR_TRY(HttpResponse reply, client.Send(LeaseRequest(name, "acquire", id)));
  if (reply.status == 404) {
    ASR_CHECK(MakeLeaseBlob(client, name));
    ASR_TRY(reply, client.Send(LeaseRequest(name, "acquire", id)));
  }
  if (!reply.IsSuccess()) {
    const auto head = LookAtLeaseBlob(client, name);
    return Fail(HeldBy(name, head ? head->headers.Get(kOwner) : ""));
  }
  std::unique_ptr<AzureLease> lease(
      new AzureLease(client, clock, name, *std::move(local), std::move(id), start_seconds));
  ASR_CHECK(lease->RaiseFence(HeaderText(keeping.owner)));
  lease->renewal_ =
      std::jthread([self = lease.get()](const std::stop_token& s) { self->RenewUntilStopped(s); });
  return lease;
}

AzureLease::AzureLease(AzureClient& client, Clock& clock, std::string name,
                       std::unique_ptr<FileLock> local, std::string id, double acquired_seconds)
    : client_(client),
      clock_(clock),
      name_(std::move(name)),
      local_(std::move(local)),
      id_(std::move(id)),
      renewed_seconds_(acquired_seconds) {}

AzureLease::~AzureLease() {
  renewal_.request_stop();
  if (renewal_.joinable()) renewal_.join();
  // One that cannot be given back expires.
  if (!lost_) static_cast<void>(client_.SendLast(LeaseRequest(name_, "release", id_)).has_value());
}

// How often the lease was taken is counted in its blob, which only its holder may write.
Status AzureLease::RaiseFence(const std::string& owner) {
  constexpr int kRaces = 5;
  for (int i = 0; i < kRaces; ++i) {
    ASR_TRY(const HttpResponse head, LookAtLeaseBlob(client_, name_));
    const std::string_view text = head.headers.Get(kTaken);
    std::uint64_t taken = 0;
    std::from_chars(text.data(), text.data() + text.size(), taken);
    if (taken == 0) {
      // With a gap: whoever held the blob that is gone may go on to count for a while.
      constexpr std::uint64_t kGap = 1024;
      ASR_TRY(taken, CountInPageBlobs(client_, name_));
      if (taken > 0) taken += kGap;
    }
    ++taken;
    AzureRequest request{.method = HttpMethod::kPut,
                         .blob = LeaseBlob(name_),
                         .query = {{"comp", "metadata"}},
                         .what = "cannot note who holds the lease of " + name_,
                         .expected = {412}};
    request.headers.Set("x-ms-lease-id", id_);
    // One that comes late, of an earlier run of this machine, must not set the count back.
    request.headers.Set("If-Match", head.headers.Get("etag"));
    request.headers.Set(kTaken, std::to_string(taken));
    if (!owner.empty()) request.headers.Set(kOwner, owner);
    ASR_TRY(const HttpResponse reply, client_.Send(request));
    if (reply.IsSuccess()) {
      fence_ = std::make_shared<const LeaseFence>(taken);
      return {};
    }
    if (AzureCode(reply) != "ConditionNotMet") return Fail(Lost());
  }
  return Fail(Lost());
}

void AzureLease::RenewUntilStopped(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, stop, std::chrono::duration<double>(kRenewSeconds),
                     [] { return false; });
    }
    if (stop.stop_requested()) return;
    Renew();
    if (lost_) return;
  }
}

void AzureLease::Renew() {
  const double start_seconds = clock_.MonotonicSeconds();
  const auto reply = client_.SendLast(LeaseRequest(name_, "renew", id_));
  // Two threads may renew at once: the later start counts.
  double known = renewed_seconds_;
  while (reply && reply->IsSuccess() && known < start_seconds &&
         !renewed_seconds_.compare_exchange_weak(known, start_seconds)) {
  }
  // The service knows of another holder, or of none: trouble on the way is neither.
  if (reply && !reply->IsSuccess()) lost_ = true;
}

bool AzureLease::IsTrusted() const {
  return !lost_ && clock_.MonotonicSeconds() - renewed_seconds_ < kTrustSeconds;
}

Error AzureLease::Lost() const {
  return MakeError(ErrorKind::kBusy, ErrorCode::kLeaseLost,
                   fmt::format("the lease of {} is lost", name_))
      .WithCause("this process was stopped or cut off from the vault for a while")
      .WithAction("nothing was harmed; run the same command again")
      .Retryable();
}

Status AzureLease::Check() {
  if (IsTrusted()) return {};
  const std::lock_guard lock(late_mutex_);
  // The request itself may have waited for a credential, and say nothing of the time since.
  constexpr int kTries = 2;
  for (int i = 0; i < kTries && !lost_ && !IsTrusted(); ++i) Renew();
  if (IsTrusted()) return {};
  ASR_CHECK(CheckStop(client_.stop()));
  // Whoever asks next need not wait as long as this one.
  lost_ = true;
  return Fail(Lost());
}

}  // namespace asr
