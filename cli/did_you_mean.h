// The end of a sentence that helps after a typing error.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace asr {

// "; did you mean 'list'?", or nothing if no candidate is near.
[[nodiscard]] std::string DidYouMean(std::string_view typed,
                                     const std::vector<std::string>& candidates);

}  // namespace asr
