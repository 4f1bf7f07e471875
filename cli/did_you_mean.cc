#include "cli/did_you_mean.h"

#include <fmt/format.h>

#include "storage/base/text.h"

namespace asr {

std::string DidYouMean(std::string_view typed, const std::vector<std::string>& candidates) {
  const std::string near = NearestName(typed, candidates);
  return near.empty() ? std::string() : fmt::format("; did you mean '{}'?", near);
}

}  // namespace asr
