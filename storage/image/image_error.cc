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

Status RequireAtRest(FileSystem& fs, const std::string& path) {
  ASR_TRY(const auto writer, fs.FindWriter(path));
  if (!writer) return {};
  return Fail(MakeError(ErrorKind::kBusy, ErrorCode::kImageInUse,
                        fmt::format("{} is in use: {}", path, *writer))
                  .WithCause("the VM is running, or its image is being copied or merged")
                  .WithAction("shut the VM down, or wait until nothing writes to its folder; then "
                              "run the same command again (lsof and virsh list show who it is)")
                  .Retryable());
}

Error InUseOr(FileSystem& fs, const std::string& path, Error error) {
  if (error.kind != ErrorKind::kCorrupt) return error;
  Status rest = RequireAtRest(fs, path);
  return !rest && rest.error().code == ErrorCode::kImageInUse ? std::move(rest).error() : error;
}

}  // namespace asr
