// The header decides which files QEMU opens, and the tables where it reads in them: every field is
// a stranger's word. An input is the image itself.
#include <span>

#include "storage/image/qcow2_tables.h"
#include "tests/support/image_in_memory.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const asr::ByteSpan bytes = std::as_bytes(std::span(data, size));
  const auto header = asr::ParseQcow2Header(bytes);
  if (!header) return 0;
  asr::testing::ImageInMemory memory(std::vector<std::byte>(bytes.begin(), bytes.end()));
  const asr::ImageFile image{.path = "fuzzed.qcow2",
                             .stamp = {},
                             .size_bytes = size,
                             .file = memory.Open("fuzzed.qcow2", {}).value()};
  static_cast<void>(asr::CheckQcow2Tables(image, *header).has_value());
  return 0;
}
