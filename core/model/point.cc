#include "core/model/point.h"

#include <fmt/format.h>

#include "storage/base/text.h"

namespace asr {

std::string_view ConsistencyName(Consistency consistency) {
  return consistency == Consistency::kApp ? "app" : "crash";
}

std::optional<Consistency> ParseConsistency(std::string_view name) {
  if (name == "crash") return Consistency::kCrash;
  if (name == "app") return Consistency::kApp;
  return std::nullopt;
}

Result<PointSelector> ParsePointSelector(const std::string& text) {
  using Kind = PointSelector::Kind;
  // Points are sealed one by one and never processed later, so the two are the same here.
  if (text.empty() || text == "latest" || text == "latest-processed") return PointSelector{};
  if (text == "latest-app")
    return PointSelector{.kind = Kind::kLatestApp, .id = {}, .not_after = {}};
  if (ParseCompactTime(text))
    return PointSelector{.kind = Kind::kId, .id = {text}, .not_after = {}};
  if (const auto time = ParseTime(text)) {
    return PointSelector{.kind = Kind::kTime, .id = {}, .not_after = *time};
  }
  const std::string nearest = NearestName(text, {"latest", "latest-processed", "latest-app"});
  const std::string question =
      nearest.empty() ? std::string() : fmt::format("; did you mean '{}'?", nearest);
  return Fail(MakeError(ErrorKind::kUsage, ErrorCode::kUsage,
                        fmt::format("'{}' is not a recovery point{}", text, question))
                  .WithAction("give latest, latest-processed, latest-app, a point's id "
                              "(asr points list), or a time like 2026-11-23T06:30:00Z"));
}

}  // namespace asr
