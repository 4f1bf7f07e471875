// What the protocol writes as text: Base64, percent encoding, dates, XML; and its two checksums and
// its signature.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "storage/base/bytes.h"

namespace asr::testing::page_blob {

// The service's times have 7 decimals.
using Ticks = std::chrono::duration<std::int64_t, std::ratio<1, 10'000'000>>;
using ServiceTime = std::chrono::sys_time<Ticks>;

[[nodiscard]] std::string EncodeBase64(ByteSpan bytes);
// nullopt if it is none, or if characters or padding are missing.
[[nodiscard]] std::optional<std::string> DecodeBase64(std::string_view text);

// "%41" and, in queries, "+" as well.
[[nodiscard]] std::string DecodePercent(std::string_view text, bool plus_is_blank = false);
[[nodiscard]] std::string EscapeXml(std::string_view text);
[[nodiscard]] std::string_view Trim(std::string_view text);

// "Fri, 28 Nov 2026 03:00:00 GMT"
[[nodiscard]] std::string FormatHttpDate(ServiceTime time);
[[nodiscard]] std::optional<ServiceTime> ParseHttpDate(const std::string& text);
// "2026-11-23T06:36:41.0300000Z"
[[nodiscard]] std::string FormatSnapshotTime(ServiceTime time);
// "2026-11-23T06:36:41Z"
[[nodiscard]] std::string FormatSeconds(ServiceTime time);
// What a SAS may say: a date, with minutes, with seconds, with decimals; always UTC.
[[nodiscard]] std::optional<ServiceTime> ParseIsoTime(std::string_view text);

// A decimal number and nothing else; nullopt if it is none or does not fit.
[[nodiscard]] std::optional<std::uint64_t> ParseNumber(std::string_view text);

// Both Base64 as headers have them. Written to be plainly right, not to be fast.
[[nodiscard]] std::string Md5Header(ByteSpan bytes);
// CRC-64/NVME, little-endian. `seed` is the CRC of what came before.
[[nodiscard]] std::uint64_t Crc64(ByteSpan bytes, std::uint64_t seed = 0);
[[nodiscard]] std::string Crc64Header(std::uint64_t crc);

// `key`: plain bytes. The signature in Base64.
[[nodiscard]] std::string HmacSha256(std::string_view key, std::string_view text);

}  // namespace asr::testing::page_blob
