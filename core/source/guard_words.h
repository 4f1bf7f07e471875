// What is said through the socket between a backup job's owner and its guard: the orders, a line of
// JSON, then one letter for each step.
#pragma once

#include <string>

#include "core/source/backup_guard.h"

namespace asr {

namespace guard_words {
inline constexpr char kFreezing = 'F';
inline constexpr char kThawed = 'T';
inline constexpr char kBeginning = 'B';
inline constexpr char kReading = 'N';  // beside it, a connection to the job's NBD server
inline constexpr char kMoved = '.';
inline constexpr char kDismissed = 'D';
// Of the guard.
inline constexpr char kReady = 'R';
inline constexpr char kNoRoom = 'S';    // in place of it: nothing may begin
inline constexpr char kWatching = 'W';  // the answer to kFreezing and kBeginning
inline constexpr char kCannot = 'X';    // in place of it: nothing may be done
}  // namespace guard_words

[[nodiscard]] std::string EncodeOrders(const GuardOrders& orders);
// kCorrupt for what EncodeOrders does not write.
[[nodiscard]] Result<GuardOrders> DecodeOrders(const std::string& text);

}  // namespace asr
