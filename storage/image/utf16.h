// The text of Windows in image headers, as UTF-8.
#pragma once

#include <string>

#include "storage/base/bytes.h"

namespace asr {

enum class ByteOrder : std::uint8_t { kLittle, kBig };

// Ends at the first NUL. What is no UTF-16 becomes U+FFFD; an odd last byte is left out.
[[nodiscard]] std::string Utf16ToUtf8(ByteSpan bytes, ByteOrder order);

}  // namespace asr
