// Small documents beside themselves, in the metadata of their blobs: a list that shows metadata
// brings them with it, where each would be a request of its own else.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace asr {

// Of blobs: the same bytes once more, packed.
inline constexpr std::string_view kDocumentMetadata = "document";
inline constexpr std::string_view kDocumentHeader = "x-ms-meta-document";

// Base64 of a zlib stream (RFC 1950). Empty for a text that is empty, or too large for metadata.
[[nodiscard]] std::string PackDocument(std::string_view text);

// nullopt unless the metadata holds what the body does, as far as a list tells: somebody may have
// written one without the other. `size_bytes` and `content_md5` are the body's, the latter as the
// service says it, in Base64.
[[nodiscard]] std::optional<std::string> UnpackDocument(std::string_view packed,
                                                        std::uint64_t size_bytes,
                                                        std::string_view content_md5);

}  // namespace asr
