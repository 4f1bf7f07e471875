#include "storage/http/http_client.h"

#include <algorithm>
#include <random>
#include <utility>

#include <fmt/format.h>

#include "storage/base/checksum.h"
#include "storage/base/guid.h"
#include "storage/http/server_problem.h"
#include "storage/http/wait.h"

namespace asr {
namespace {

constexpr std::string_view kClientRequestId = "x-ms-client-request-id";

double RandomUniform() {
  thread_local std::mt19937_64 engine{LoadLittle<std::uint64_t>(RandomBits(), 0)};
  return std::uniform_real_distribution<double>(0, 1)(engine);
}

HttpClientOptions WithRandom(HttpClientOptions options) {
  if (!options.random) options.random = RandomUniform;
  return options;
}

TransferOutcome OutcomeOf(const Result<HttpResponse>& reply, bool has_stalled) {
  if (reply) return IsCongestion(*reply) ? TransferOutcome::kCongested : TransferOutcome::kDone;
  const bool is_congested = has_stalled && reply.error().code == ErrorCode::kUnreachable;
  return is_congested ? TransferOutcome::kCongested : TransferOutcome::kFailed;
}

// A credential that is missing says nothing of whether what it is for exists.
Error AsTrouble(Error error) {
  if (error.kind == ErrorKind::kNotFound) error.kind = ErrorKind::kState;
  return error;
}

// The server does not take what the request was signed with. A SAS is refused with 403.
bool IsOfProof(const HttpResponse& reply) {
  return reply.status == 401 ||
         (reply.status == 403 && ReadServerProblem(reply).code == "AuthenticationFailed");
}

}  // namespace

// The tries of one request.
class HttpClient::Sending {
 public:
  Sending(HttpClient& client, HttpRequest request, const HttpCall& call,
          const std::stop_token& stop)
      : client_(client),
        request_(std::move(request)),
        call_(call),
        stop_(stop),
        policy_(call.retry.value_or(client.options_.retry)),
        origin_(OriginOf(request_.url)),
        start_seconds_(client.clock_.MonotonicSeconds()) {
    if (!request_.headers.Has(kClientRequestId)) {
      request_.headers.Set(kClientRequestId, GuidText(RandomBits()));
    }
  }

  Result<HttpResponse> Run() {
    while (true) {
      ASR_TRY(std::optional<HttpResponse> reply, TryOnce());
      if (reply) return *std::move(reply);
    }
  }

 private:
  // A reply that is the caller's, an error that is final, or nothing: another try is due now.
  Result<std::optional<HttpResponse>> TryOnce() {
    if (tries_ > 0 && call_.before_repeat) {
      ASR_CHECK(call_.before_repeat(request_, std::exchange(may_still_come_, false)));
    }
    HttpRequest request = request_;
    if (call_.authorizer != nullptr) {
      auto is_signed = call_.authorizer->Sign(request, stop_);
      if (!is_signed) return Fail(Explained(AsTrouble(std::move(is_signed).error())));
    }
    ++tries_;
    ++client_.tries_;
    if (tries_ > 1) ++client_.repeats_;
    auto reply = client_.SendMetered(request, stop_);
    if (!reply) return AfterTrouble(std::move(reply).error());
    client_.NoteAnswer(origin_);
    reply->headers.Set(kClientRequestId, request_.headers.Get(kClientRequestId));
    if (reply->IsSuccess() || IsExpected(reply->status)) {
      return std::optional(*std::move(reply));
    }
    return AfterRefusal(request, *reply);
  }

  bool IsExpected(int status) const {
    return std::find(call_.expected.begin(), call_.expected.end(), status) != call_.expected.end();
  }

  Result<std::optional<HttpResponse>> AfterTrouble(Error error) {
    if (error.code == ErrorCode::kCancelled) return Fail(std::move(error));
    may_still_come_ = true;
    const bool is_stranger = !client_.HasAnswered(origin_);
    const bool is_useless =
        !error.retryable || (is_stranger && tries_ >= policy_.first_contact_tries);
    error.message = fmt::format("{}: {}", call_.what, error.message);
    error.context.push_back(fmt::format("request {}", request_.headers.Get(kClientRequestId)));
    if (is_useless) return Fail(Explained(std::move(error)));
    return WaitForNextTry(std::move(error), std::nullopt);
  }

  Result<std::optional<HttpResponse>> AfterRefusal(const HttpRequest& request,
                                                   const HttpResponse& reply) {
    // A server that gave up may do it all the same; one that is too busy has not begun. But a proxy
    // that says so, which knows no ids of requests, may have passed it on.
    const bool has_not_begun = reply.status == 503 && reply.headers.Has("x-ms-request-id");
    may_still_come_ |= reply.status >= 500 && !has_not_begun;
    if (IsOfProof(reply) && call_.authorizer != nullptr && !std::exchange(was_renewed_, true)) {
      auto is_new = call_.authorizer->Renew(request, reply, stop_);
      if (!is_new) return Fail(Explained(AsTrouble(std::move(is_new).error())));
      if (*is_new) return std::optional<HttpResponse>();
    }
    Error error = RefusalError(reply, call_.what, client_.clock_.Now());
    if (!error.retryable) return Fail(Explained(std::move(error)));
    return WaitForNextTry(std::move(error), RetryAfterSeconds(reply, client_.clock_.Now()));
  }

  Result<std::optional<HttpResponse>> WaitForNextTry(Error error,
                                                     std::optional<double> server_seconds) {
    const double delay =
        RetryDelaySeconds(policy_, tries_ + 1, client_.options_.random(), server_seconds);
    const double spent = client_.clock_.MonotonicSeconds() - start_seconds_;
    if (spent + delay > policy_.budget_seconds) {
      if (server_seconds) {
        error.causes.push_back(
            fmt::format("the server asks to wait {:.0f} seconds", *server_seconds));
      }
      return Fail(Explained(std::move(error)));
    }
    ASR_CHECK(WaitSeconds(client_.clock_, delay, stop_));
    return std::optional<HttpResponse>();
  }

  Error Explained(Error error) const {
    if (tries_ > 1) error.context.push_back(fmt::format("after {} tries", tries_));
    return error;
  }

  HttpClient& client_;
  HttpRequest request_;
  const HttpCall& call_;
  const std::stop_token& stop_;
  const RetryPolicy policy_;
  const std::string origin_;
  const double start_seconds_;
  int tries_ = 0;
  bool was_renewed_ = false;
  bool may_still_come_ = false;  // what the tries since the last call of before_repeat asked
};

HttpClient::HttpClient(HttpTransport& transport, Clock& clock, HttpClientOptions options)
    : transport_(transport),
      clock_(clock),
      options_(WithRandom(std::move(options))),
      uploads_(clock, options_.limits),
      downloads_(clock, options_.limits) {}

Result<HttpResponse> HttpClient::Send(HttpRequest request, const HttpCall& call,
                                      const std::stop_token& stop) {
  return Sending(*this, std::move(request), call, stop).Run();
}

Result<HttpResponse> HttpClient::SendMetered(const HttpRequest& request,
                                             const std::stop_token& stop) {
  const bool is_upload = request.body.size() >= request.into.size();
  TransferLimiter& limiter = is_upload ? uploads_ : downloads_;
  ASR_TRY(auto permit, limiter.Acquire(std::max(request.body.size(), request.into.size()), stop));
  const double start_seconds = clock_.MonotonicSeconds();
  auto reply = transport_.Send(request, stop);
  const double seconds = clock_.MonotonicSeconds() - start_seconds;
  permit.Finish(OutcomeOf(reply, seconds >= request.stall_timeout_seconds));
  return reply;
}

bool HttpClient::HasAnswered(const std::string& origin) {
  const std::lock_guard lock(mutex_);
  return answered_.contains(origin);
}

void HttpClient::NoteAnswer(const std::string& origin) {
  const std::lock_guard lock(mutex_);
  answered_.insert(origin);
}

}  // namespace asr
