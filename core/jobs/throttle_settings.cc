#include "core/jobs/throttle_settings.h"

namespace asr {
namespace {

constexpr const char* kSetting = "throttle";

}  // namespace

Result<std::optional<ThrottleRules>> FindThrottleRules(StateDatabase& state) {
  ASR_TRY(const auto text, state.FindSetting(kSetting));
  if (!text) return std::optional<ThrottleRules>{};
  return DecodeThrottleRules(*text);
}

Status SetThrottleRules(StateDatabase& state, const std::optional<ThrottleRules>& rules) {
  return state.SetSetting(kSetting, rules ? EncodeThrottleRules(*rules) : "");
}

std::shared_ptr<Throttle> MakeThrottle(StateDatabase& state, Clock& clock) {
  return std::make_shared<Throttle>(clock, [&state, &clock]() -> std::optional<double> {
    const auto rules = FindThrottleRules(state);
    if (!rules || !*rules) return std::nullopt;
    return LimitBytesPerSecond(**rules, clock.Now());
  });
}

}  // namespace asr
