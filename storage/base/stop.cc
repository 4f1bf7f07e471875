#include "storage/base/stop.h"

namespace asr {

Error Stopped() {
  return MakeError(ErrorKind::kCancelled, ErrorCode::kCancelled, "stopped before it was done")
      .WithCause("somebody asked for it (Ctrl-C, or the end of the service)")
      .WithAction("run the same command again; it goes on where it was")
      .Retryable();
}

Status CheckStop(const std::stop_token& stop) {
  if (!stop.stop_requested()) return {};
  return Fail(Stopped());
}

}  // namespace asr
