// Bytes: spans, endian loads and stores, aligned buffers, extents.
#pragma once

#include <algorithm>
#include <compare>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <string_view>
#include <vector>

namespace asr {

using ByteSpan = std::span<const std::byte>;
using MutableByteSpan = std::span<std::byte>;

inline constexpr std::uint64_t kKiB = 1024;
inline constexpr std::uint64_t kMiB = 1024 * kKiB;
inline constexpr std::uint64_t kGiB = 1024 * kMiB;
inline constexpr std::uint64_t kTiB = 1024 * kGiB;

// What O_DIRECT asks of offset, length and address on every device we know of.
inline constexpr std::size_t kDirectAlignment = 4096;

template <std::unsigned_integral T>
[[nodiscard]] constexpr T AlignUp(T value, T unit) {
  return static_cast<T>((value + unit - 1) / unit * unit);
}

template <std::unsigned_integral T>
[[nodiscard]] constexpr T AlignDown(T value, T unit) {
  return static_cast<T>(value / unit * unit);
}

template <std::unsigned_integral T>
[[nodiscard]] constexpr T DivideRoundingUp(T value, T unit) {
  return static_cast<T>(value / unit + (value % unit != 0 ? 1 : 0));
}

// Loads and stores at `offset`; the caller has checked that the value lies inside.
template <std::unsigned_integral T>
[[nodiscard]] T LoadLittle(ByteSpan bytes, std::size_t offset) {
  T value = 0;
  for (std::size_t i = sizeof(T); i-- > 0;) {
    value = static_cast<T>(static_cast<std::uint64_t>(value) << 8 |
                           std::to_integer<std::uint64_t>(bytes[offset + i]));
  }
  return value;
}

template <std::unsigned_integral T>
[[nodiscard]] T LoadBig(ByteSpan bytes, std::size_t offset) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    value = static_cast<T>(static_cast<std::uint64_t>(value) << 8 |
                           std::to_integer<std::uint64_t>(bytes[offset + i]));
  }
  return value;
}

template <std::unsigned_integral T>
void StoreLittle(MutableByteSpan bytes, std::size_t offset, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    bytes[offset + i] = static_cast<std::byte>(static_cast<std::uint64_t>(value) >> (8 * i) & 0xFF);
  }
}

template <std::unsigned_integral T>
void StoreBig(MutableByteSpan bytes, std::size_t offset, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    bytes[offset + i] = static_cast<std::byte>(
        static_cast<std::uint64_t>(value) >> (8 * (sizeof(T) - 1 - i)) & 0xFF);
  }
}

[[nodiscard]] inline ByteSpan AsBytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

[[nodiscard]] inline std::string_view AsText(ByteSpan bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// True if `bytes`, which are no fewer than the signature's, begin with it.
[[nodiscard]] inline bool CarriesSignature(ByteSpan bytes, std::string_view signature) {
  return AsText(bytes.first(signature.size())) == signature;
}

// True if every byte is zero; fast enough to run before each digest.
[[nodiscard]] inline bool IsZero(ByteSpan bytes) {
  if (bytes.empty()) return true;
  return bytes[0] == std::byte{0} &&
         std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

// Memory aligned for direct I/O. Not initialised: fill it before reading it.
class AlignedBuffer {
 public:
  explicit AlignedBuffer(std::size_t size_bytes)
      : size_bytes_(size_bytes),
        data_(static_cast<std::byte*>(std::aligned_alloc(
            kDirectAlignment, std::max(AlignUp(size_bytes, kDirectAlignment), kDirectAlignment)))) {
    if (data_ == nullptr) throw std::bad_alloc();
  }
  [[nodiscard]] MutableByteSpan span() { return {data_.get(), size_bytes_}; }
  [[nodiscard]] ByteSpan span() const { return {data_.get(), size_bytes_}; }
  [[nodiscard]] std::size_t size_bytes() const { return size_bytes_; }

 private:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  std::size_t size_bytes_;
  std::unique_ptr<std::byte, Free> data_;
};

// A run of bytes of a disk or blob.
struct Extent {
  std::uint64_t offset_bytes = 0;
  std::uint64_t length_bytes = 0;

  [[nodiscard]] std::uint64_t end_bytes() const { return offset_bytes + length_bytes; }
  auto operator<=>(const Extent&) const = default;
};

// Appends, growing the last extent if the new one begins where it ends.
inline void AppendExtent(std::vector<Extent>& extents, Extent next) {
  if (next.length_bytes == 0) return;
  if (!extents.empty() && extents.back().end_bytes() == next.offset_bytes) {
    extents.back().length_bytes += next.length_bytes;
  } else {
    extents.push_back(next);
  }
}

}  // namespace asr
