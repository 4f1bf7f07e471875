// Checksums and random identifiers, over OpenSSL and xxHash.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "storage/base/bytes.h"

namespace asr {

using Sha256 = std::array<std::byte, 32>;
using Bits128 = std::array<std::byte, 16>;

[[nodiscard]] Sha256 ComputeSha256(ByteSpan bytes);

// XXH3 with 128 bits in canonical (big-endian) order. Not safe against a malicious guest.
[[nodiscard]] Bits128 ComputeXxh3(ByteSpan bytes);

// CRC-32C (Castagnoli), as [MS-VHDX] 2.2 uses it. `seed` is the CRC of what came before.
[[nodiscard]] std::uint32_t Crc32c(ByteSpan bytes, std::uint32_t seed = 0);

// Random bytes from the operating system; for ids, never for tests' data.
[[nodiscard]] Bits128 RandomBits();

[[nodiscard]] std::string ToHex(ByteSpan bytes);

}  // namespace asr
