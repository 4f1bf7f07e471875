// The name that was probably meant.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace asr {

// The candidate with the fewest typing errors (insert, drop, change, swap of neighbours) from
// `typed`, if they are few for its length: 1 up to four letters, 2 up to seven, 3 above. A candidate
// that begins with `typed` (three letters or more) counts as near too. nullopt if none is near.
[[nodiscard]] std::optional<std::string> NearestName(std::string_view typed,
                                                     const std::vector<std::string>& candidates);

// "; did you mean 'list'?", or nothing if no candidate is near: the end of an error's message.
[[nodiscard]] std::string DidYouMean(std::string_view typed,
                                     const std::vector<std::string>& candidates);

}  // namespace asr
