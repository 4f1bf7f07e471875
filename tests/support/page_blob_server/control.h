// What tests in other processes say to the server: JSON over HTTP, below "/-/".
#pragma once

#include <functional>
#include <string>

namespace asr::testing {

class PageBlobServer;

namespace page_blob {

// Method, path and body; the answer's body. Throws std::exception if it was asked wrongly.
using ControlFunction =
    std::function<std::string(const std::string&, const std::string&, const std::string&)>;

// GET    /-/log      requests as they were served
// GET    /-/counts   by operation
// DELETE /-/log      forgets both
// POST   /-/faults   adds a rule: {"action": "refuse", "operation": "PutPage", "skip": 2, ...}
// DELETE /-/faults   forgets the rules
// POST   /-/link     {"bytes_per_second": N, "bytes_per_second_of_each": N}
// POST   /-/clock    {"advance_seconds": N}
// POST   /-/tokens   {"token": "...", "seconds": N, "permissions": "rl", "may_delegate": false}
// POST   /-/release  does what was delayed
// POST   /-/cut      ends every connection
// PUT    /-/sink     takes a body of any length: what the loopback interface can do
// GET    /-/sas/PERMISSIONS  a SAS of the account for an hour
[[nodiscard]] std::string Control(PageBlobServer& server, const std::string& method,
                                  const std::string& path, const std::string& body);

}  // namespace page_blob
}  // namespace asr::testing
