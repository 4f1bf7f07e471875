// The header decides which files QEMU opens: every field is a stranger's word.
#include <span>

#include "storage/image/qcow2_header.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static_cast<void>(asr::ParseQcow2Header(std::as_bytes(std::span(data, size))).has_value());
  return 0;
}
