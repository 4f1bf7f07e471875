#include "core/jobs/retry_class.h"

#include <algorithm>
#include <array>

namespace asr {
namespace {

// A switch without a default: a code that is added without a class does not compile. A recoverable
// error may mend itself, or a person mends it and expects the next try to find that out; what is
// unrecoverable asks for a decision, or would harm or be in vain if it were tried again.
enum class Rule : std::uint8_t { kNone, kByKind, kNext, kRetry, kStop };

// The table is as long as there are codes.
// NOLINTNEXTLINE(readability-function-size)
Rule RuleOf(ErrorCode code) {
  switch (code) {
    case ErrorCode::kIo:
    case ErrorCode::kDatabase:
      return Rule::kByKind;

    // Stopped, or somebody else works on it just now.
    case ErrorCode::kItemBusy:
    case ErrorCode::kItemNotFound:
    case ErrorCode::kItemState:
    case ErrorCode::kCancelled:
    case ErrorCode::kJobState:
      return Rule::kNext;

    // Machines, networks and places that come back; space that is made.
    case ErrorCode::kFileNotFound:
    case ErrorCode::kNoSpace:
    case ErrorCode::kAlreadyExists:
    case ErrorCode::kLocked:
    case ErrorCode::kImageChanged:
    case ErrorCode::kImageInUse:
    case ErrorCode::kBlobExists:
    case ErrorCode::kBlobCondition:
    case ErrorCode::kLeaseLost:
    case ErrorCode::kSnapshotLimit:
    case ErrorCode::kLogTooLarge:
    case ErrorCode::kUnreachable:
    case ErrorCode::kServerError:
    case ErrorCode::kServerBusy:
    case ErrorCode::kBadReply:
    case ErrorCode::kSignInFailed:
    case ErrorCode::kNotAuthorized:
    case ErrorCode::kVaultNotFound:
    case ErrorCode::kVaultUnreachable:
    case ErrorCode::kResyncRequired:
    case ErrorCode::kHostUnreachable:
    case ErrorCode::kVmNotFound:
    case ErrorCode::kVmNotProtectable:
    case ErrorCode::kVmBusy:
    case ErrorCode::kCheckpointGone:
    case ErrorCode::kVmStateChanged:
    case ErrorCode::kSnapshotFailed:
    case ErrorCode::kGuestNotQuiesced:
    case ErrorCode::kTestFailoverExists:
    case ErrorCode::kTestFailoverNone:
    case ErrorCode::kGuestDidNotStart:
    case ErrorCode::kGuestNoSignOfLife:
    case ErrorCode::kJobInterrupted:
    case ErrorCode::kAgentNotRunning:
    case ErrorCode::kAgentRunning:
    case ErrorCode::kReplicationLate:
    case ErrorCode::kNoRecoveryPoint:
    case ErrorCode::kNeedsAttention:
    case ErrorCode::kWaitTimeout:
    case ErrorCode::kInternal:
      return Rule::kRetry;

    // Damage, versions, rights, secrets, definitions: a person decides.
    case ErrorCode::kPermission:
    case ErrorCode::kImageCorrupt:
    case ErrorCode::kImageUnsupported:
    case ErrorCode::kImageUnknownFormat:
    case ErrorCode::kImageDirtyLog:
    case ErrorCode::kImageChainBroken:
    case ErrorCode::kBlobNotFound:
    case ErrorCode::kBlobCorrupt:
    case ErrorCode::kBlobRange:
    case ErrorCode::kSnapshotNotFound:
    case ErrorCode::kBlobName:
    case ErrorCode::kLogCorrupt:
    case ErrorCode::kLogNotClosed:
    case ErrorCode::kLogUnsupported:
    case ErrorCode::kLogOutOfOrder:
    case ErrorCode::kTlsUntrusted:
    case ErrorCode::kRequestRefused:
    case ErrorCode::kCredentialNotFound:
    case ErrorCode::kCredentialExpired:
    case ErrorCode::kCredentialInvalid:
    case ErrorCode::kVaultExists:
    case ErrorCode::kVaultFormat:
    case ErrorCode::kVaultDamaged:
    case ErrorCode::kPolicyNotFound:
    case ErrorCode::kPolicyInUse:
    case ErrorCode::kPolicyInvalid:
    case ErrorCode::kItemExists:
    case ErrorCode::kPointNotFound:
    case ErrorCode::kPointCorrupt:
    case ErrorCode::kHostNotFound:
    case ErrorCode::kHostExists:
    case ErrorCode::kVmAmbiguous:
    case ErrorCode::kVmDescription:
    case ErrorCode::kDiskSetChanged:
    case ErrorCode::kHypervisorMissing:
    case ErrorCode::kJobNotFound:
    case ErrorCode::kUsage:
    case ErrorCode::kConfirmationNeeded:
    case ErrorCode::kFilter:
      return Rule::kStop;
  }
  return Rule::kNone;  // a number of a newer version
}

}  // namespace

std::string_view RetryClassName(RetryClass retry_class) {
  constexpr std::array<std::string_view, 3> kNames = {"NextCycle", "Recoverable", "Unrecoverable"};
  return kNames[static_cast<std::size_t>(retry_class)];
}

std::optional<RetryClass> ClassOfCode(ErrorCode code) {
  switch (RuleOf(code)) {
    case Rule::kNext:
      return RetryClass::kNextCycle;
    case Rule::kRetry:
      return RetryClass::kRecoverable;
    case Rule::kStop:
      return RetryClass::kUnrecoverable;
    case Rule::kNone:
    case Rule::kByKind:
      break;
  }
  return std::nullopt;
}

RetryClass ClassOfKind(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kCancelled:
      return RetryClass::kNextCycle;
    case ErrorKind::kNotFound:
    case ErrorKind::kIo:
    case ErrorKind::kNoSpace:
    case ErrorKind::kBusy:
    case ErrorKind::kInternal:
      return RetryClass::kRecoverable;
    case ErrorKind::kUsage:
    case ErrorKind::kState:
    case ErrorKind::kUnsupported:
    case ErrorKind::kCorrupt:
      break;
  }
  return RetryClass::kUnrecoverable;
}

bool IsKnownCode(ErrorCode code) { return RuleOf(code) != Rule::kNone; }

RetryClass ClassifyError(const Error& error) {
  const RetryClass by_kind = ClassOfKind(error.kind);
  if (error.kind == ErrorKind::kCancelled) return by_kind;
  return ClassOfCode(error.code).value_or(by_kind);
}

std::chrono::seconds RetryDelay(int attempt, const std::vector<std::chrono::seconds>& delays) {
  const auto failures = static_cast<std::size_t>(std::max(attempt, 1));
  return delays[std::min(failures, delays.size()) - 1];
}

}  // namespace asr
