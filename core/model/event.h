// Something that happened to a replicated VM, and that people should know.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/model/ids.h"
#include "storage/base/clock.h"

namespace asr {

enum class EventSeverity : std::uint8_t { kInfo, kWarning, kCritical };
inline constexpr std::array<std::string_view, 3> kEventSeverityNames = {"Info", "Warning",
                                                                        "Critical"};
[[nodiscard]] inline std::string_view EventSeverityName(EventSeverity severity) {
  return kEventSeverityNames[static_cast<std::size_t>(severity)];
}

struct ItemEvent {
  EventSeverity severity = EventSeverity::kInfo;
  std::string type;  // "VmStarted", "VmStopped", ...: for scripts
  ItemId item;
  std::string vault_id;
  std::string vault;  // names on this machine
  std::string vm;
  std::string host;
  std::string message;      // one sentence, no full stop
  std::string cause = {};   // likely; may be empty
  std::string action = {};  // may be empty
  // As it is stored: the same event again within a short time is one.
  Timestamp first_time{};
  Timestamp last_time{};
  std::uint64_t count = 1;
};

}  // namespace asr
