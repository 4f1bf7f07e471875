// Every field of a VHDX, and of its log, is a guest's or a stranger's word.
#include "tests/fuzz/fuzzed_image.h"
#include "tests/fuzz/seal.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  asr::testing::FuzzedImage image = asr::testing::UnpackImage(std::as_bytes(std::span(data, size)));
  if (image.sealed) asr::testing::SealVhdx(image.bytes);
  static const asr::testing::FuzzedParent parent = asr::testing::VhdxParentOfSeeds();
  asr::testing::ReadImage(std::move(image.bytes), "/vm/fuzzed.vhdx", parent);
  return 0;
}
