// What signatures are made of, over OpenSSL.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "storage/base/bytes.h"
#include "storage/base/checksum.h"

namespace asr {

[[nodiscard]] std::string Base64Encode(ByteSpan bytes);
// RFC 4648 5, without padding: of JSON web tokens.
[[nodiscard]] std::string Base64UrlEncode(ByteSpan bytes);
// nullopt if it is not Base64 with its padding.
[[nodiscard]] std::optional<std::string> Base64Decode(std::string_view text);
// Without padding, as Base64UrlEncode writes it.
[[nodiscard]] std::optional<std::string> Base64UrlDecode(std::string_view text);

// For comparison with what a service says of a body; it protects nothing. nullopt where OpenSSL is
// set not to know it (FIPS).
[[nodiscard]] std::optional<Bits128> ComputeMd5(ByteSpan bytes);

[[nodiscard]] Sha256 HmacSha256(std::string_view key, std::string_view text);

}  // namespace asr
