#include "storage/base/crc64.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace asr {
namespace {

constexpr std::uint64_t kReflectedPolynomial = 0x9A6C9329AC4BC9B5;

// In the reflected form the highest bit is x^0, and a step to the right multiplies by x.
constexpr std::uint64_t TimesX(std::uint64_t value) {
  return (value >> 1) ^ ((value & 1) != 0 ? kReflectedPolynomial : 0);
}

using Tables = std::array<std::array<std::uint64_t, 256>, 8>;

// tables[n][b]: the remainder of byte b with n bytes behind it.
constexpr Tables MakeTables() {
  Tables tables{};
  for (std::uint64_t byte = 0; byte < 256; ++byte) {
    std::uint64_t value = byte;
    for (int bit = 0; bit < 8; ++bit) value = TimesX(value);
    tables[0][byte] = value;
  }
  for (std::size_t n = 1; n < tables.size(); ++n) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint64_t before = tables[n - 1][byte];
      tables[n][byte] = (before >> 8) ^ tables[0][before & 0xFF];
    }
  }
  return tables;
}

constexpr Tables kTables = MakeTables();

std::uint64_t Continue(std::uint64_t crc, ByteSpan bytes) {
  while (bytes.size() >= 8) {
    crc ^= LoadLittle<std::uint64_t>(bytes, 0);
    std::uint64_t next = 0;
    for (std::size_t n = 0; n < 8; ++n) next ^= kTables[7 - n][(crc >> (8 * n)) & 0xFF];
    crc = next;
    bytes = bytes.subspan(8);
  }
  for (const std::byte byte : bytes) {
    crc = (crc >> 8) ^ kTables[0][(crc ^ static_cast<std::uint64_t>(byte)) & 0xFF];
  }
  return crc;
}

#if defined(__x86_64__)

// x^power in the reflected form.
constexpr std::uint64_t Power(int power) {
  std::uint64_t value = std::uint64_t{1} << 63;
  for (int i = 0; i < power; ++i) value = TimesX(value);
  return value;
}

constexpr std::size_t kLaneBytes = 16;
constexpr std::size_t kLanes = 4;
constexpr std::size_t kStrideBytes = kLanes * kLaneBytes;

// Moves 128 bits of a message forward by so many bits. The product of two reflected values comes
// out shifted by one, hence the powers less one (Gopal and others, "Fast CRC Computation for
// Generic Polynomials Using PCLMULQDQ Instruction", Intel, 2009).
template <int kBits>
__attribute__((target("pclmul,sse4.1"))) inline __m128i Fold(__m128i lane, __m128i next) {
  constexpr std::uint64_t kLow = Power(kBits + 64 - 1);
  constexpr std::uint64_t kHigh = Power(kBits - 1);
  const __m128i factors =
      _mm_set_epi64x(static_cast<long long>(kHigh), static_cast<long long>(kLow));
  const __m128i low = _mm_clmulepi64_si128(lane, factors, 0x00);
  const __m128i high = _mm_clmulepi64_si128(lane, factors, 0x11);
  return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

__attribute__((target("pclmul,sse4.1"))) inline __m128i Load(ByteSpan bytes, std::size_t lane) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes.data() + lane * kLaneBytes));
}

// At least two strides.
__attribute__((target("pclmul,sse4.1"))) std::uint64_t ContinueByFolding(std::uint64_t crc,
                                                                         ByteSpan bytes) {
  __m128i a = _mm_xor_si128(Load(bytes, 0), _mm_set_epi64x(0, static_cast<long long>(crc)));
  __m128i b = Load(bytes, 1);
  __m128i c = Load(bytes, 2);
  __m128i d = Load(bytes, 3);
  bytes = bytes.subspan(kStrideBytes);
  constexpr int kStrideBits = kStrideBytes * 8;
  while (bytes.size() >= kStrideBytes) {
    a = Fold<kStrideBits>(a, Load(bytes, 0));
    b = Fold<kStrideBits>(b, Load(bytes, 1));
    c = Fold<kStrideBits>(c, Load(bytes, 2));
    d = Fold<kStrideBits>(d, Load(bytes, 3));
    bytes = bytes.subspan(kStrideBytes);
  }
  constexpr int kLaneBits = kLaneBytes * 8;
  b = Fold<kLaneBits>(a, b);
  c = Fold<kLaneBits>(b, c);
  d = Fold<kLaneBits>(c, d);
  // What is left of the message is these 16 bytes, and the rest.
  std::array<std::byte, kLaneBytes> folded{};
  std::memcpy(folded.data(), &d, folded.size());
  return Continue(Continue(0, folded), bytes);
}

#endif

}  // namespace

std::uint64_t Crc64ByTables(ByteSpan bytes, std::uint64_t seed) { return ~Continue(~seed, bytes); }

std::uint64_t Crc64(ByteSpan bytes, std::uint64_t seed) {
#if defined(__x86_64__)
  static const bool has_multiplication = __builtin_cpu_supports("pclmul") != 0;
  if (has_multiplication && bytes.size() >= 2 * kStrideBytes) {
    return ~ContinueByFolding(~seed, bytes);
  }
#endif
  return Crc64ByTables(bytes, seed);
}

}  // namespace asr
