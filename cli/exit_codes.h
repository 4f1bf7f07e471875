// Exit codes: the contract with scripts (asr(1), EXIT STATUS).
#pragma once

#include "storage/base/error.h"

namespace asr {

inline constexpr int kExitDone = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;     // wrong on its face, before anything was opened
inline constexpr int kExitNotFound = 3;  // a path, vault, VM, policy, point or job is missing
inline constexpr int kExitState = 4;     // not allowed now, not protectable, or exists otherwise
inline constexpr int kExitInterrupted = 130;

[[nodiscard]] constexpr int ExitCodeOf(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kUsage:
      return kExitUsage;
    case ErrorKind::kNotFound:
      return kExitNotFound;
    case ErrorKind::kState:
    case ErrorKind::kUnsupported:
      return kExitState;
    case ErrorKind::kCancelled:
      return kExitInterrupted;
    case ErrorKind::kCorrupt:
    case ErrorKind::kIo:
    case ErrorKind::kNoSpace:
    case ErrorKind::kBusy:
    case ErrorKind::kInternal:
      return kExitFailed;
  }
  return kExitFailed;
}

}  // namespace asr
