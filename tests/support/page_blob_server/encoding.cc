#include "tests/support/page_blob_server/encoding.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <time.h>

#include <array>
#include <charconv>
#include <cstdio>

namespace asr::testing::page_blob {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::tm BrokenDown(ServiceTime time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
  return fmt::gmtime(static_cast<std::time_t>(seconds));
}

// tables[k][b]: the CRC of byte b followed by k zero bytes.
using CrcTables = std::array<std::array<std::uint64_t, 256>, 16>;

constexpr CrcTables MakeCrcTables() {
  constexpr std::uint64_t kReflectedPolynomial = 0x9A6C9329AC4BC9B5;
  CrcTables tables{};
  for (std::uint64_t byte = 0; byte < 256; ++byte) {
    std::uint64_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ ((crc & 1) != 0 ? kReflectedPolynomial : 0);
    tables[0][byte] = crc;
  }
  for (std::size_t zeros = 1; zeros < tables.size(); ++zeros) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint64_t shorter = tables[zeros - 1][byte];
      tables[zeros][byte] = shorter >> 8 ^ tables[0][shorter & 0xFF];
    }
  }
  return tables;
}

constinit const CrcTables kCrcTables = MakeCrcTables();

std::uint64_t LoadWord(const std::byte* bytes) {
  std::uint64_t word = 0;
  std::memcpy(&word, bytes, sizeof(word));  // tests run on little-endian machines
  return word;
}

}  // namespace

std::string EncodeBase64(ByteSpan bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int length = ::EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                       reinterpret_cast<const unsigned char*>(bytes.data()),
                                       static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(length));
  return text;
}

std::optional<std::string> DecodeBase64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::string bytes(text.size() / 4 * 3, '\0');
  const int length = ::EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                                       reinterpret_cast<const unsigned char*>(text.data()),
                                       static_cast<int>(text.size()));
  if (length < 0) return std::nullopt;
  std::size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  bytes.resize(static_cast<std::size_t>(length) - padding);
  return bytes;
}

std::string DecodePercent(std::string_view text, bool plus_is_blank) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && HexDigit(text[i + 1]) >= 0 &&
        HexDigit(text[i + 2]) >= 0) {
      decoded += static_cast<char>(HexDigit(text[i + 1]) * 16 + HexDigit(text[i + 2]));
      i += 2;
    } else {
      decoded += plus_is_blank && text[i] == '+' ? ' ' : text[i];
    }
  }
  return decoded;
}

std::string EscapeXml(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::string FormatHttpDate(ServiceTime time) {
  return fmt::format("{:%a, %d %b %Y %H:%M:%S} GMT", BrokenDown(time));
}

std::optional<ServiceTime> ParseHttpDate(const std::string& text) {
  std::tm parts{};
  const char* const end = ::strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  if (end == nullptr || *end != '\0') return std::nullopt;
  return ServiceTime(std::chrono::seconds(::timegm(&parts)));
}

std::string FormatSnapshotTime(ServiceTime time) {
  const auto fraction = time - std::chrono::floor<std::chrono::seconds>(time);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:07}Z", BrokenDown(time), fraction.count());
}

std::string FormatSeconds(ServiceTime time) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}Z", BrokenDown(time));
}

std::optional<ServiceTime> ParseIsoTime(std::string_view text) {
  const std::string copy(text);
  for (const char* format : {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d"}) {
    std::tm parts{};
    const char* end = ::strptime(copy.c_str(), format, &parts);
    if (end == nullptr) continue;
    std::int64_t fraction = 0;
    if (*end == '.') {
      std::int64_t unit = Ticks::period::den;
      for (++end; *end >= '0' && *end <= '9'; ++end) fraction += (*end - '0') * (unit /= 10);
    }
    const std::string_view rest = end;
    if (rest != "Z" && !(rest.empty() && copy.size() == 10)) continue;
    return ServiceTime(std::chrono::seconds(::timegm(&parts))) + Ticks(fraction);
  }
  return std::nullopt;
}

std::optional<std::uint64_t> ParseNumber(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string Md5Header(ByteSpan bytes) {
  std::array<std::byte, 16> digest{};
  ::EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(digest.data()), nullptr,
               ::EVP_md5(), nullptr);
  return EncodeBase64(digest);
}

std::uint64_t Crc64(ByteSpan bytes, std::uint64_t seed) {
  std::uint64_t crc = ~seed;
  const std::byte* at = bytes.data();
  std::size_t left = bytes.size();
  const auto& tables = kCrcTables;
  for (; left >= 16; at += 16, left -= 16) {
    const std::uint64_t first = LoadWord(at) ^ crc;
    const std::uint64_t second = LoadWord(at + 8);
    crc = 0;
    for (std::size_t i = 0; i < 8; ++i) {
      crc ^= tables[15 - i][first >> 8 * i & 0xFF] ^ tables[7 - i][second >> 8 * i & 0xFF];
    }
  }
  for (; left > 0; ++at, --left) {
    crc = crc >> 8 ^ tables[0][(crc ^ std::to_integer<std::uint64_t>(*at)) & 0xFF];
  }
  return ~crc;
}

std::string Crc64Header(std::uint64_t crc) {
  std::array<std::byte, 8> bytes{};
  StoreLittle(MutableByteSpan(bytes), 0, crc);
  return EncodeBase64(bytes);
}

std::string HmacSha256(std::string_view key, std::string_view text) {
  std::array<std::byte, 32> digest{};
  unsigned int length = 0;
  ::HMAC(::EVP_sha256(), key.data(), static_cast<int>(key.size()),
         reinterpret_cast<const unsigned char*>(text.data()), text.size(),
         reinterpret_cast<unsigned char*>(digest.data()), &length);
  return EncodeBase64(digest);
}

}  // namespace asr::testing::page_blob
