#include "storage/base/error.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>

namespace asr {

Error& Error::WithContext(std::string outer) & {
  context.insert(context.begin(), std::move(outer));
  return *this;
}

Error&& Error::WithContext(std::string outer) && {
  return std::move(this->WithContext(std::move(outer)));
}

Error&& Error::WithCause(std::string cause) && {
  causes.push_back(std::move(cause));
  return std::move(*this);
}

Error&& Error::WithAction(std::string what_to_do) && {
  action = std::move(what_to_do);
  return std::move(*this);
}

Error&& Error::Retryable() && {
  retryable = true;
  return std::move(*this);
}

std::string Error::CodeText() const { return fmt::format("ASR{:04}", static_cast<unsigned>(code)); }

std::string Error::Line() const {
  if (context.empty()) return message;
  return fmt::format("{}: {}", fmt::join(context, ", "), message);
}

Error MakeError(ErrorKind kind, ErrorCode code, std::string message) {
  Error error;
  error.kind = kind;
  error.code = code;
  error.message = std::move(message);
  return error;
}

Error ErrnoError(int errno_value, std::string_view what) {
  std::string message = fmt::format("{}: {}", what, std::strerror(errno_value));
  switch (errno_value) {
    case ENOENT:
    case ENOTDIR:
      return MakeError(ErrorKind::kNotFound, ErrorCode::kFileNotFound, std::move(message));
    case ENOSPC:
    case EDQUOT:
      return MakeError(ErrorKind::kNoSpace, ErrorCode::kNoSpace, std::move(message))
          .WithCause("the file system is full, or the quota is used up")
          .WithAction("free space there, then run the same command again; it goes on where it was")
          .Retryable();
    case EACCES:
    case EPERM:
    case EROFS:
      return MakeError(ErrorKind::kIo, ErrorCode::kPermission, std::move(message))
          .WithCause("this user may not do that there")
          .WithAction("run as a user who may read the disks and write to the vault");
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EAGAIN:
    case EINTR:
    case ESTALE:
    case ETIMEDOUT:
    case ENODEV:
    case ENOTCONN:
    case ENOLINK:
    case EREMOTEIO:
    case ECONNRESET:
    case EHOSTDOWN:
      // Says nothing of what the file holds.
      return MakeError(ErrorKind::kBusy, ErrorCode::kIo, std::move(message)).Retryable();
    case EEXIST:
      return MakeError(ErrorKind::kState, ErrorCode::kAlreadyExists, std::move(message));
    default:
      return MakeError(ErrorKind::kIo, ErrorCode::kIo, std::move(message)).Retryable();
  }
}

}  // namespace asr
