#include "tests/support/page_blob_server/session.h"

#include <poll.h>

#include <algorithm>
#include <chrono>
#include <exception>

#include "storage/base/text.h"

namespace asr::testing::page_blob {
namespace {

constexpr std::size_t kPiece = 256 * kKiB;
constexpr std::uint64_t kNever = ~std::uint64_t{0};

bool Is(const FaultRule* fault, FaultAction action) {
  return fault != nullptr && fault->action == action;
}

}  // namespace

void Session::Run() {
  while (!shared_.stopper.is_stopped() &&
         connection_.WaitForRequest(shared_.options.idle_timeout_seconds) && ServeOne()) {
  }
}

bool Session::ServeOne() {
  const std::string head = connection_.ReadHead();
  if (head.empty()) return false;
  auto request = ParseRequestHead(head);
  if (!request) {
    connection_.Write(
        AsBytes("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n"
                "Content-Length: 0\r\n\r\n"));
    return false;
  }
  request->is_tls = connection_.is_tls();
  // The service wants to know the length; where a chunked body ends is not looked for.
  const bool closes = AsciiLowerCase(request->HeaderOr("connection", "")) == "close" ||
                      request->Header("transfer-encoding") != nullptr;
  const bool goes_on = request->path.starts_with("/-/") ? ServeControl(*request) : Serve(*request);
  record_ = {};
  return goes_on && !closes;
}

bool Session::ServeControl(ServerRequest& request) {
  const bool is_sink = request.path == "/-/sink";
  record_.expects_continue = request.Header("expect") != nullptr;
  if (ReceiveBody(request, !is_sink, kNever) != Body::kComplete) return false;
  ServerReply reply;
  if (is_sink) return SendReply(reply, false, nullptr);
  try {
    reply.body = shared_.control(request.method, request.path, std::string(AsText(request.body)));
  } catch (const std::exception& error) {
    reply.status = 400;
    reply.body = std::string(error.what()) + "\n";
  }
  return SendReply(reply, false, nullptr);
}

bool Session::Serve(ServerRequest& request) {
  record_.connection = number_;
  Target target;
  try {
    target = ParseTarget(request);
    record_ = MakeRecord(request, target);
    record_.connection = number_;
    return ServeParsed(request, target);
  } catch (const ServiceError& error) {
    record_.operation = record_.operation.empty() ? "Unknown" : record_.operation;
    // A body that nobody wants is read still, so that the client reads its answer.
    if (ReceiveBody(request, false, kNever) != Body::kComplete) {
      Record(nullptr);
      return false;
    }
    ServerReply reply = shared_.service.AnswerError(request, error);
    Record(&reply);
    return SendReply(reply, request.method == "HEAD", nullptr);
  }
}

bool Session::ServeParsed(ServerRequest& request, const Target& target) {
  const auto rule = shared_.faults.Match(record_.operation, record_.blob);
  const FaultRule* const fault = rule ? &*rule : nullptr;
  record_.is_faulty = rule.has_value();
  const Body body = ReadBody(request, target, fault);
  if (body == Body::kGone) {
    Record(nullptr);
    return false;
  }
  const bool is_head = request.method == "HEAD";
  if (body == Body::kTooSlow) {
    ServerReply reply = shared_.service.AnswerError(request, {"OperationTimedOut", {}, {}});
    reply.Add("Connection", "close");
    Record(&reply);
    SendReply(reply, is_head, nullptr);
    return false;
  }
  auto reply = Perform(request, target, fault);
  if (!reply) {
    Record(nullptr);
    return false;
  }
  // Recorded before the client can know of it, so that a test that got its answer finds it.
  Record(&*reply);
  const bool is_sent = SendReply(*reply, is_head, fault);
  shared_.service.Drop(*reply);
  return is_sent;
}

Session::Body Session::ReadBody(ServerRequest& request, const Target& target,
                                const FaultRule* fault) {
  CheckBodyLength(request, target);
  const bool is_discarded = shared_.options.discard && target.operation == Operation::kPutPage &&
                            !Is(fault, FaultAction::kDelay);
  looks_at_body_ = !is_discarded;
  const std::uint64_t cut_after = Is(fault, FaultAction::kCutRequest) ? fault->after_bytes : kNever;
  const Body body = ReceiveBody(request, !is_discarded, cut_after);
  if (body == Body::kComplete && Is(fault, FaultAction::kCutRequest)) {
    connection_.Abort();
    return Body::kGone;
  }
  return body;
}

Session::Body Session::ReceiveBody(ServerRequest& request, bool is_kept, std::uint64_t cut_after) {
  if (request.content_length > 0 && record_.expects_continue) {
    connection_.Write(AsBytes("HTTP/1.1 100 Continue\r\n\r\n"));
  }
  if (is_kept && body_.size() < request.content_length) body_.resize(request.content_length);
  const auto start = std::chrono::steady_clock::now();
  const double limit = shared_.options.operation_timeout_seconds;
  for (std::uint64_t done = 0; done < request.content_length;) {
    std::uint64_t piece = std::min<std::uint64_t>(kPiece, request.content_length - done);
    piece = std::min(piece, cut_after - done);
    const bool is_read = is_kept ? connection_.Read(MutableByteSpan(body_).subspan(done, piece))
                                 : connection_.Skip(piece);
    if (!is_read) return Body::kGone;
    done += piece;
    record_.received_bytes += piece;
    if (done == cut_after) {
      connection_.Abort();
      return Body::kGone;
    }
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    if (limit > 0 && taken.count() > limit) return Body::kTooSlow;
  }
  request.body = is_kept ? ByteSpan(body_).first(request.content_length) : ByteSpan();
  return Body::kComplete;
}

ServerReply Session::Answer(const ServerRequest& request, const Target& target) {
  std::optional<std::uint64_t> crc;
  if (looks_at_body_) crc = Crc64(request.body);
  return shared_.service.Answer(request, target, crc);
}

ServerReply Session::Refusal(const ServerRequest& request, const FaultRule& fault) {
  ServiceError error{fault.code, {}, fault.headers, fault.status};
  if (fault.retry_after_seconds >= 0) {
    error.headers.emplace_back("Retry-After",
                               std::to_string(static_cast<int>(fault.retry_after_seconds)));
  }
  return shared_.service.AnswerError(request, error);
}

std::optional<ServerReply> Session::Perform(ServerRequest& request, const Target& target,
                                            const FaultRule* fault) {
  if (Is(fault, FaultAction::kDelay)) {
    shared_.service.Delay(request, target);
    if (fault->cuts) return std::nullopt;
    return Refusal(request, *fault);
  }
  if (Is(fault, FaultAction::kRefuse)) {
    if (fault->performs) {
      ServerReply done = Answer(request, target);
      shared_.service.Drop(done);
    }
    return Refusal(request, *fault);
  }
  if (Is(fault, FaultAction::kStall)) {
    if (fault->seconds <= 0) {
      StallUntilGone();
      return std::nullopt;
    }
    shared_.stopper.Sleep(fault->seconds);
  }
  if (Is(fault, FaultAction::kExpireCredential)) shared_.service.ExpireCredential(request, target);
  if (Is(fault, FaultAction::kLoseLease)) shared_.service.LoseLease(target, fault->seconds);
  ServerReply reply = Answer(request, target);
  shared_.service.DoDelayedLike(request, target);
  return reply;
}

// Returns when the client has closed its end, or the server stops.
bool Session::StallUntilGone() {
  while (shared_.stopper.Sleep(0.01)) {
    pollfd waiting{connection_.socket(), POLLRDHUP, 0};
    if (::poll(&waiting, 1, 0) == 1) return true;
  }
  return false;
}

bool Session::SendReply(const ServerReply& reply, bool is_head, const FaultRule* fault) {
  std::string head = FormatReplyHead(reply);
  const bool has_small_body = !is_head && !reply.pages && fault == nullptr;
  if (Is(fault, FaultAction::kCutAnswer) && fault->after_bytes < head.size()) {
    connection_.Write(AsBytes(head).first(fault->after_bytes));
    connection_.Abort();
    return false;
  }
  // One packet for most answers.
  if (has_small_body) return connection_.Write(AsBytes(head += reply.body));
  if (!connection_.Write(AsBytes(head))) return false;
  return is_head || SendBody(reply, fault);
}

bool Session::SendBody(const ServerReply& reply, const FaultRule* fault) {
  const std::uint64_t length = reply.body_bytes();
  std::uint64_t stop_at = kNever;
  if (Is(fault, FaultAction::kCutAnswer)) {
    const std::uint64_t head_bytes = FormatReplyHead(reply).size();
    stop_at = std::min(length, fault->after_bytes - head_bytes);
  } else if (Is(fault, FaultAction::kStallAnswer)) {
    stop_at = std::min(length, fault->after_bytes);
  }
  const std::uint64_t wrong_at =
      Is(fault, FaultAction::kWrongBytes) ? std::min(fault->after_bytes, length - 1) : kNever;
  std::vector<std::byte> piece(std::min<std::uint64_t>(kPiece, length));
  for (std::uint64_t at = 0; at < length;) {
    if (at == stop_at) break;
    std::uint64_t bytes = std::min<std::uint64_t>(piece.size(), length - at);
    bytes = std::min(bytes, stop_at > at ? stop_at - at : bytes);
    const MutableByteSpan out = MutableByteSpan(piece).first(bytes);
    if (reply.pages) {
      reply.pages->Read(reply.pages->range.offset_bytes + at, out);
    } else {
      std::ranges::copy(AsBytes(reply.body).subspan(at, bytes), out.begin());
    }
    if (wrong_at >= at && wrong_at < at + bytes) out[wrong_at - at] ^= std::byte{0x10};
    if (!connection_.Write(out)) return false;
    at += bytes;
    if (at != stop_at || !Is(fault, FaultAction::kStallAnswer)) continue;
    if (fault->seconds <= 0) {
      StallUntilGone();
      return false;
    }
    shared_.stopper.Sleep(fault->seconds);
    stop_at = kNever;
  }
  if (Is(fault, FaultAction::kCutAnswer)) {
    connection_.Abort();
    return false;
  }
  return true;
}

void Session::Record(const ServerReply* reply) {
  if (reply != nullptr) {
    record_.status = reply->status;
    record_.error_code = reply->error_code;
    record_.sent_bytes = reply->body_bytes();
    for (const auto& [name, value] : reply->headers) {
      if (name == "x-ms-request-id") record_.request_id = value;
    }
  }
  shared_.service.Record(record_, !shared_.options.discard);
}

}  // namespace asr::testing::page_blob
