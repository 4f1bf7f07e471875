// CRC-64/NVME, which Azure Storage calls x-ms-content-crc64: polynomial 0xAD93D23594C93659, bits
// reflected, all ones before and after (Azure SDK for C++, crypt.cpp; "Put Page").
#pragma once

#include <cstdint>

#include "storage/base/bytes.h"

namespace asr {

// `seed` is the CRC of what came before. Takes some 10 GB a second where the processor multiplies
// without carries (PCLMULQDQ), else 1 to 2.
[[nodiscard]] std::uint64_t Crc64(ByteSpan bytes, std::uint64_t seed = 0);

// The same by tables alone, for the test that both agree.
[[nodiscard]] std::uint64_t Crc64ByTables(ByteSpan bytes, std::uint64_t seed = 0);

}  // namespace asr
