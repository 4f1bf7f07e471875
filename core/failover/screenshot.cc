#include "core/failover/screenshot.h"

#include <nlohmann/json.hpp>

#include "core/failover/qmp_client.h"

namespace asr {
namespace {

constexpr std::string_view kPngSignature = "\x89PNG\r\n\x1A\n";
constexpr std::uint64_t kMostBytes = 16 * kMiB;

}  // namespace

Result<std::string> TakeScreenshot(FileSystem& fs, Clock& clock, const RunningMachine& machine) {
  ASR_TRY(const auto client,
          QmpClient::Connect(clock, machine.directory, kQmpSocketName, kQmpAnswerSeconds));
  ASR_CHECK(client->Execute("screendump", {{"filename", kScreenshotName}, {"format", "png"}},
                            kQmpAnswerSeconds));
  const std::string path = JoinPath(machine.directory, kScreenshotName);
  auto picture = ReadWholeFile(fs, path, kMostBytes);
  static_cast<void>(fs.RemoveFile(path));
  if (picture && !picture->starts_with(kPngSignature)) {
    return Fail(ErrorKind::kIo, ErrorCode::kIo, "what QEMU wrote is no PNG picture");
  }
  return picture;
}

}  // namespace asr
