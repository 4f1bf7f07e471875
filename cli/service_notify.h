// Tells the service manager how the agent is: sd_notify(3), one datagram.
#pragma once

#include <string>
#include <string_view>

namespace asr {

// "READY=1", "WATCHDOG=1", "STOPPING=1" to the socket that $NOTIFY_SOCKET names (`socket`; empty:
// nobody wants to know). Failures are passed over: the manager finds out by itself.
void NotifyService(const std::string& socket, std::string_view state);

}  // namespace asr
