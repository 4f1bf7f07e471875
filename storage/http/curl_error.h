// What went wrong on the way to a server, as errors that help.
#pragma once

#include <string>
#include <string_view>

#include <curl/curl.h>

#include "storage/base/error.h"

namespace asr {

// Of a transfer that libcurl ended. `origin` as OriginOf gives it; `proxy_status` is what a proxy
// answered to CONNECT, 0 if nothing; `said` are libcurl's words.
[[nodiscard]] Error CurlError(CURLcode code, long proxy_status, const std::string& origin,
                              std::string_view said);

// No byte moved for so long. kUnreachable, retryable.
[[nodiscard]] Error StalledError(const std::string& origin, double seconds);

// kBadReply; the same would come again.
[[nodiscard]] Error BadReplyError(const std::string& origin, std::string_view why);

// "https_proxy (http://proxy:3128)", without a password: the variable that names the proxy for this
// origin. Empty if there is none.
[[nodiscard]] std::string ProxyVariable(std::string_view origin);

}  // namespace asr
