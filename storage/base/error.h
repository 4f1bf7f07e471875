// The one error of the whole house. Errors are values; nothing of ours throws.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace asr {

// What kind of trouble it is. The command line maps a kind to its exit code (cli/exit_codes.h).
enum class ErrorKind : std::uint8_t {
  kUsage,        // wrong on its face, before anything is opened
  kNotFound,     // a path, vault, VM, policy, point or job that does not exist
  kState,        // not allowed in this state, or exists already with other settings
  kUnsupported,  // well formed, but more than we can do: the VM cannot be protected
  kCorrupt,      // bytes that break their format or their checksum
  kIo,           // the operating system refused or failed
  kNoSpace,      // a disk or quota is full
  kBusy,         // held by somebody else; worth another try
  kCancelled,    // the user or the service asked to stop
  kInternal,     // a bug of ours
};

// Stable numbers, printed as "ASR1234". 1xxx storage, 2xxx vault and points, 3xxx sources and VMs,
// 4xxx failover, 5xxx jobs and state of this machine, 9xxx command line. Never reuse a number.
enum class ErrorCode : std::uint16_t {
  kIo = 1001,
  kFileNotFound = 1002,
  kPermission = 1003,
  kNoSpace = 1004,
  kAlreadyExists = 1005,
  kLocked = 1006,
  kImageCorrupt = 1101,
  kImageUnsupported = 1102,
  kImageUnknownFormat = 1103,
  kImageDirtyLog = 1104,
  kImageChanged = 1105,
  kImageChainBroken = 1106,
  kImageInUse = 1107,
  kBlobNotFound = 1201,
  kBlobExists = 1202,
  kBlobCondition = 1203,
  kBlobCorrupt = 1204,
  kBlobRange = 1205,
  kLeaseLost = 1206,
  kSnapshotNotFound = 1207,
  kBlobName = 1208,
  kSnapshotLimit = 1209,
  kDatabase = 1301,
  kLogCorrupt = 1401,
  kLogNotClosed = 1402,
  kLogUnsupported = 1403,
  kLogTooLarge = 1404,
  kLogOutOfOrder = 1405,
  kUnreachable = 1501,
  kTlsUntrusted = 1502,
  kServerError = 1503,
  kServerBusy = 1504,
  kRequestRefused = 1505,
  kBadReply = 1506,
  kSignInFailed = 1601,
  kNotAuthorized = 1602,
  kCredentialNotFound = 1603,
  kCredentialExpired = 1604,
  kCredentialInvalid = 1605,
  kVaultNotFound = 2001,
  kVaultExists = 2002,
  kVaultFormat = 2003,
  kVaultUnreachable = 2004,
  kVaultDamaged = 2005,
  kPolicyNotFound = 2101,
  kPolicyInUse = 2102,
  kPolicyInvalid = 2103,
  kItemNotFound = 2201,
  kItemExists = 2202,
  kItemState = 2203,
  kItemBusy = 2204,
  kResyncRequired = 2205,
  kPointNotFound = 2301,
  kPointCorrupt = 2302,
  kHostNotFound = 3001,
  kHostExists = 3002,
  kHostUnreachable = 3003,
  kVmNotFound = 3101,
  kVmAmbiguous = 3102,
  kVmNotProtectable = 3103,
  kVmDescription = 3104,
  kVmBusy = 3105,
  kDiskSetChanged = 3201,
  kCheckpointGone = 3202,
  kVmStateChanged = 3203,
  kSnapshotFailed = 3204,
  kGuestNotQuiesced = 3205,
  kTestFailoverExists = 4001,
  kTestFailoverNone = 4002,
  kGuestDidNotStart = 4003,
  kGuestNoSignOfLife = 4004,
  kHypervisorMissing = 4005,
  kJobNotFound = 5001,
  kJobInterrupted = 5002,
  kAgentNotRunning = 5003,
  kCancelled = 5004,
  kJobState = 5005,
  kAgentRunning = 5006,
  kReplicationLate = 5101,
  kNoRecoveryPoint = 5102,
  kUsage = 9001,
  kConfirmationNeeded = 9002,
  kFilter = 9003,
  kNeedsAttention = 9004,
  kWaitTimeout = 9005,
  kInternal = 9999,
};

struct Error {
  ErrorKind kind = ErrorKind::kInternal;
  ErrorCode code = ErrorCode::kInternal;
  std::string message;               // what failed, on which thing; one sentence, no full stop
  std::vector<std::string> context;  // outermost first: "VM web", "disk root", "offset 4194304"
  std::vector<std::string> causes;   // likely causes, likeliest first
  std::string action;                // what to do, with the next command
  bool retryable = false;            // trying the same again later may work

  // Each returns *this changed, so that an error is built in one expression.
  Error& WithContext(std::string outer) &;
  Error&& WithContext(std::string outer) &&;
  Error&& WithCause(std::string cause) &&;
  Error&& WithAction(std::string what_to_do) &&;
  Error&& Retryable() &&;

  // "ASR1101"
  [[nodiscard]] std::string CodeText() const;
  // Context and message in one line: "VM web, disk root: the file ends early".
  [[nodiscard]] std::string Line() const;
};

// What was asked for does not exist; says nothing of why.
[[nodiscard]] inline bool IsNotFound(const Error& error) {
  return error.kind == ErrorKind::kNotFound;
}

[[nodiscard]] Error MakeError(ErrorKind kind, ErrorCode code, std::string message);

// From errno of a failed call; `what` names call and file ("cannot read /x/y"). ENOENT and ENOTDIR
// become kNotFound, ENOSPC and EDQUOT kNoSpace (retryable), EEXIST kState, EACCES, EPERM and EROFS
// kIo with a hint; what says nothing of the file's bytes (ENOMEM, EMFILE, ESTALE, ENODEV, a network
// that is gone...) kBusy (retryable), everything else kIo (retryable).
[[nodiscard]] Error ErrnoError(int errno_value, std::string_view what);

}  // namespace asr
