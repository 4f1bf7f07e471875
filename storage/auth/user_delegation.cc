#include "storage/auth/user_delegation.h"

#include <chrono>

#include <fmt/format.h>
#include <pugixml.hpp>

namespace asr {
namespace {

std::string Seconds(Timestamp time) { return FormatTime(time).substr(0, 19) + "Z"; }

Result<UserDelegationKey> ReadKey(const std::string& body) {
  pugi::xml_document document;
  static_cast<void>(document.load_buffer(body.data(), body.size()));
  const pugi::xml_node node = document.child("UserDelegationKey");
  UserDelegationKey key;
  key.object_id = node.child_value("SignedOid");
  key.tenant_id = node.child_value("SignedTid");
  key.starts_at = node.child_value("SignedStart");
  key.expires_at = node.child_value("SignedExpiry");
  key.service = node.child_value("SignedService");
  key.version = node.child_value("SignedVersion");
  key.value = Secret(node.child_value("Value"));
  if (key.value.empty() || key.object_id.empty() || key.tenant_id.empty()) {
    return Fail(MakeError(ErrorKind::kIo, ErrorCode::kBadReply,
                          "the server's reply holds no user delegation key"));
  }
  return key;
}

}  // namespace

Result<UserDelegationKey> GetUserDelegationKey(HttpClient& client, const StorageLocation& location,
                                               Authorizer& authorizer, Timestamp now,
                                               Timestamp expires_at, const std::stop_token& stop) {
  if (expires_at <= now || expires_at - now > std::chrono::hours(7 * 24)) {
    return Fail(MakeError(ErrorKind::kUsage, ErrorCode::kUsage,
                          "a hand-out signed by a user holds at most 7 days")
                    .WithAction("give an end within 7 days, or sign with the account's key"));
  }
  // Else a clock that is a little ahead would make what is handed out good for nothing at first.
  constexpr std::chrono::minutes kClockDifference{15};
  const std::string body = fmt::format(
      "<?xml version=\"1.0\" encoding=\"utf-8\"?><KeyInfo><Start>{}</Start><Expiry>{}</Expiry>"
      "</KeyInfo>",
      Seconds(now - kClockDifference), Seconds(expires_at));
  HttpRequest request;
  request.method = HttpMethod::kPost;
  request.url = location.endpoint + "/?restype=service&comp=userdelegationkey";
  request.headers.Set("x-ms-version", "2023-11-03");
  request.headers.Set("content-type", "application/xml");
  request.body = AsBytes(body);
  HttpCall call;
  call.what = fmt::format("cannot get a user delegation key of {}", location.account);
  call.authorizer = &authorizer;
  ASR_TRY(const HttpResponse reply, client.Send(std::move(request), call, stop));
  return ReadKey(reply.body);
}

}  // namespace asr
