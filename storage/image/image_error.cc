#include "storage/image/image_error.h"

#include <utility>

#include <fmt/format.h>

namespace asr {

Error CorruptImage(std::string what) {
  return MakeError(ErrorKind::kCorrupt, ErrorCode::kImageCorrupt, std::move(what))
      .WithCause("the file was cut or damaged, or it is still being written")
      .WithCause("its name has the ending of another format")
      .WithAction(
          "compare it with where it came from; Test-VHD on Hyper-V or `qemu-img check` on a copy "
          "say more");
}

Error UnsupportedImage(std::string what, std::string action) {
  return MakeError(ErrorKind::kUnsupported, ErrorCode::kImageUnsupported, std::move(what))
      .WithAction(std::move(action));
}

}  // namespace asr
