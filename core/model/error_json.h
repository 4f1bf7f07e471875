// An Error as JSON, as job records hold it:
// {"code":"ASR1001","kind":"Io","message","context":[],"causes":[],"action","retryable"}
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "storage/base/error.h"

namespace asr {

[[nodiscard]] nlohmann::json ErrorToJson(const Error& error);

// Takes what is there and leaves out the rest: a record of an error is never an error itself. An
// unknown kind (of a newer program) becomes kInternal; a code keeps its number.
[[nodiscard]] Error ErrorFromJson(const nlohmann::json& json);

// The same in one line of text. Bytes that are no UTF-8 (of file names) are replaced.
[[nodiscard]] std::string ErrorToJsonText(const Error& error);
[[nodiscard]] Error ErrorFromJsonText(std::string_view text);

}  // namespace asr
