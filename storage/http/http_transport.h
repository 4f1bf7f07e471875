// The one seam to the network for HTTP: libcurl in the product, fakes in tests.
#pragma once

#include <stop_token>

#include "storage/base/result.h"
#include "storage/http/http_message.h"

namespace asr {

class HttpTransport {
 public:
  virtual ~HttpTransport() = default;
  // One try. Any status is a reply, redirections too; an Error is trouble on the way: kUnreachable,
  // kTlsUntrusted, kBadReply, or kCancelled once `stop` is set, also in the middle of a transfer.
  // Its `retryable` says whether another try may help. After an Error the server may have done what
  // was asked all the same. A kept connection that turns out to be closed before a byte of a reply
  // came is no error, unless the request says so: it goes out again on a new one. Thread-safe.
  [[nodiscard]] virtual Result<HttpResponse> Send(const HttpRequest& request,
                                                  const std::stop_token& stop) = 0;
};

}  // namespace asr
