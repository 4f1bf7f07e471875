// Forms that are sent to Entra ID.
#pragma once

#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "storage/base/result.h"
#include "storage/http/http_client.h"

namespace asr {

using FormFields = std::vector<std::pair<std::string, std::string>>;

// The reply: 2xx, 400, 401, 403 or 404. `fields`, which may be secrets, are wiped. `what` begins
// each error.
[[nodiscard]] Result<HttpResponse> PostToAuthority(HttpClient& client, const std::string& url,
                                                   FormFields fields, std::string what,
                                                   const std::stop_token& stop);

}  // namespace asr
