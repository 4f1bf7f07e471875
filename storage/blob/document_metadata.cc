#include "storage/blob/document_metadata.h"

#include <zlib.h>

#include "storage/auth/crypto.h"
#include "storage/base/bytes.h"

namespace asr {
namespace {

// The service takes 8 KiB of names and values together, and proxies no more of one header.
constexpr std::size_t kMostPackedBytes = 6 * std::size_t{1024};
// Larger ones do not become so small.
constexpr std::size_t kMostUnpackedBytes = 256 * std::size_t{1024};

const Bytef* ZlibBytes(const char* data) { return reinterpret_cast<const Bytef*>(data); }

}  // namespace

std::string PackDocument(std::string_view text) {
  if (text.empty() || text.size() > kMostUnpackedBytes) return {};
  std::string packed(::compressBound(text.size()), '\0');
  uLongf size = packed.size();
  if (::compress2(reinterpret_cast<Bytef*>(packed.data()), &size, ZlibBytes(text.data()),
                  text.size(), Z_BEST_COMPRESSION) != Z_OK) {
    return {};
  }
  packed.resize(size);
  std::string encoded = Base64Encode(AsBytes(packed));
  if (encoded.size() > kMostPackedBytes) return {};
  return encoded;
}

std::optional<std::string> UnpackDocument(std::string_view packed, std::uint64_t size_bytes,
                                          std::string_view content_md5) {
  if (packed.empty() || size_bytes == 0 || size_bytes > kMostUnpackedBytes) return std::nullopt;
  const auto stream = Base64Decode(packed);
  if (!stream) return std::nullopt;
  std::string text(size_bytes, '\0');
  uLongf size = text.size();
  if (::uncompress(reinterpret_cast<Bytef*>(text.data()), &size, ZlibBytes(stream->data()),
                   stream->size()) != Z_OK ||
      size != size_bytes) {
    return std::nullopt;
  }
  const auto md5 = ComputeMd5(AsBytes(text));
  if (!md5 || Base64Encode(*md5) != content_md5) return std::nullopt;
  return text;
}

}  // namespace asr
