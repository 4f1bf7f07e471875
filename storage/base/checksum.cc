#include "storage/base/checksum.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <xxhash.h>

#include <new>

namespace asr {
namespace {

// One context a thread: fetching the algorithm anew costs more than hashing a small chunk.
class Sha256Context {
 public:
  Sha256Context()
      : algorithm_(EVP_MD_fetch(nullptr, "SHA256", nullptr)), context_(EVP_MD_CTX_new()) {
    if (algorithm_ == nullptr || context_ == nullptr) throw std::bad_alloc();
  }
  ~Sha256Context() {
    EVP_MD_CTX_free(context_);
    EVP_MD_free(algorithm_);
  }
  Sha256Context(const Sha256Context&) = delete;
  Sha256Context& operator=(const Sha256Context&) = delete;

  Sha256 Digest(ByteSpan bytes) {
    Sha256 digest;
    unsigned length = 0;
    if (EVP_DigestInit_ex(context_, algorithm_, nullptr) != 1 ||
        EVP_DigestUpdate(context_, bytes.data(), bytes.size()) != 1 ||
        EVP_DigestFinal_ex(context_, reinterpret_cast<unsigned char*>(digest.data()), &length) !=
            1) {
      throw std::bad_alloc();  // SHA-256 itself cannot fail; only memory can
    }
    return digest;
  }

 private:
  EVP_MD* algorithm_;
  EVP_MD_CTX* context_;
};

constexpr std::array<std::uint32_t, 256> MakeCrc32cTable() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0x82F63B78U : 0U);
    table[i] = value;
  }
  return table;
}

}  // namespace

Sha256 ComputeSha256(ByteSpan bytes) {
  thread_local Sha256Context context;
  return context.Digest(bytes);
}

Bits128 ComputeXxh3(ByteSpan bytes) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes.data(), bytes.size()));
  Bits128 bits;
  std::memcpy(bits.data(), canonical.digest, bits.size());
  return bits;
}

std::uint32_t Crc32c(ByteSpan bytes, std::uint32_t seed) {
  // Only headers and log entries of VHDX use it: a table of bytes is fast enough.
  static constexpr auto kTable = MakeCrc32cTable();
  std::uint32_t crc = ~seed;
  for (const std::byte byte : bytes) {
    crc = (crc >> 8) ^ kTable[(crc ^ std::to_integer<std::uint32_t>(byte)) & 0xFF];
  }
  return ~crc;
}

Bits128 RandomBits() {
  Bits128 bits;
  if (RAND_bytes(reinterpret_cast<unsigned char*>(bits.data()), static_cast<int>(bits.size())) !=
      1) {
    throw std::bad_alloc();
  }
  return bits;
}

std::string ToHex(ByteSpan bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const std::byte byte : bytes) {
    text.push_back(kDigits[std::to_integer<unsigned>(byte) >> 4]);
    text.push_back(kDigits[std::to_integer<unsigned>(byte) & 15]);
  }
  return text;
}

}  // namespace asr
