#include "storage/blob/azure_fence.h"

#include <charconv>

#include <fmt/format.h>

#include "storage/blob/azure_blob_version.h"
#include "storage/blob/blob_name.h"

namespace asr {
std::uint64_t SequenceNumberOf(const HttpResponse& reply) {
  const std::string_view text = reply.headers.Get("x-ms-blob-sequence-number");
  std::uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

Error BlobFence::Lost() const {
  return MakeError(ErrorKind::kBusy, ErrorCode::kLeaseLost,
                   fmt::format("{} has another writer now", name_))
      .WithCause("this process was stopped or cut off from the vault for a while")
      .WithAction("nothing was harmed; run the same command again once the other one is done")
      .Retryable();
}

Status BlobFence::RaiseTo(std::uint64_t number) {
  const std::lock_guard lock(mutex_);
  ASR_CHECK(Raise(number));
  return {};
}

Result<std::string> BlobFence::RaiseIf(const std::string& etag, std::uint64_t number) {
  const std::lock_guard lock(mutex_);
  return Raise(number, etag);
}

Status BlobFence::RaiseAbove(std::uint64_t seen) {
  const std::lock_guard lock(mutex_);
  if (number_.load() != seen) return {};
  ASR_CHECK(Raise(seen + 1));
  return {};
}

Status BlobFence::TakeUp(std::uint64_t seen) {
  const std::lock_guard lock(mutex_);
  if (number_.load() != seen) return {};
  if (lease_ == nullptr) return Fail(Lost());
  ASR_TRY(const HttpResponse head,
          client_.Send(
              {.method = HttpMethod::kHead, .blob = name_, .what = "cannot look at " + name_}));
  const std::uint64_t now = SequenceNumberOf(head);
  if (now <= seen || now > lease_->last()) return Fail(Lost());
  number_ = now;
  return {};
}

Result<std::string> BlobFence::EtagOfOurs() {
  while (true) {
    const std::uint64_t seen = number();
    ASR_TRY(const HttpResponse head, HeadOf({&client_, name_}));
    if (SequenceNumberOf(head) == seen) return std::string(head.headers.Get("etag"));
    ASR_CHECK(TakeUp(seen));
  }
}

Status BlobFence::Resize(std::uint64_t size_bytes) {
  std::uint64_t number = 0;
  const auto set_condition = [&](HttpHeaders& headers) -> Status {
    number = number_.load();
    ASR_TRY(const std::string etag, EtagOfOurs());
    headers.Set("If-Match", etag);
    return {};
  };
  AzureRequest request{.method = HttpMethod::kPut,
                       .blob = name_,
                       .query = {{"comp", "properties"}},
                       .what = "cannot resize " + name_,
                       .expected = {404, 412}};
  request.headers.Set("x-ms-blob-content-length", std::to_string(size_bytes));
  request.before_repeat = [&](HttpRequest& repeated, bool may_still_come) -> Status {
    if (may_still_come) ASR_CHECK(RaiseAbove(number));
    return set_condition(repeated.headers);
  };
  for (int i = 0; i < kMostRaces; ++i) {
    ASR_CHECK(set_condition(request.headers));
    ASR_TRY(const HttpResponse reply, client_.Send(request));
    if (reply.status == 404) return Fail(BlobNotFound(name_));
    if (reply.status != 412) return {};
  }
  return Fail(Lost());
}

// The ETag afterwards; empty if it was not `etag` before, where that is given.
Result<std::string> BlobFence::Raise(std::uint64_t number, const std::string& etag) {
  AzureRequest request{.method = HttpMethod::kPut,
                       .blob = name_,
                       .query = {{"comp", "properties"}},
                       .what = "cannot set the sequence number of " + name_,
                       .expected = {404}};
  // Without that condition a refusal is an error: nothing would be kept out.
  if (!etag.empty()) {
    request.headers.Set("If-Match", etag);
    request.expected.push_back(412);
  }
  // A number that is higher already stays, so that this can be repeated, and come late.
  request.headers.Set("x-ms-sequence-number-action", "max");
  request.headers.Set("x-ms-blob-sequence-number", std::to_string(number));
  ASR_TRY(const HttpResponse reply, client_.Send(request));
  if (reply.status == 404) return Fail(BlobNotFound(name_));
  if (reply.status == 412) return std::string();
  if (SequenceNumberOf(reply) != number) return Fail(Lost());
  number_ = number;
  return std::string(reply.headers.Get("etag"));
}

}  // namespace asr
