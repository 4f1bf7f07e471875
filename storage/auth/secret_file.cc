#include "storage/auth/secret_file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include <fmt/format.h>

#include "storage/base/file_descriptor.h"
#include "storage/base/text.h"

namespace asr {
namespace {

constexpr std::size_t kMostSecretBytes = std::size_t{64} * 1024;

Error ReadError(const std::string& path, int errno_value) {
  Error error = ErrnoError(errno_value, fmt::format("cannot read the secret in {}", path));
  if (error.kind == ErrorKind::kNotFound) error.code = ErrorCode::kCredentialNotFound;
  return error;
}

// What a shell's <(command) or a named pipe gives: its writer may not have begun yet.
Status AwaitPipe(int file, const std::string& path) {
  constexpr int kLongestWaitMilliseconds = 60'000;
  pollfd wanted{.fd = file, .events = POLLIN, .revents = 0};
  const int ready = ::poll(&wanted, 1, kLongestWaitMilliseconds);
  if (ready > 0 || (ready < 0 && errno == EINTR)) return {};
  if (ready < 0) return Fail(ReadError(path, errno));
  return Fail(MakeError(ErrorKind::kState, ErrorCode::kCredentialInvalid,
                        fmt::format("nothing writes a secret into the pipe {}", path))
                  .WithAction("name a file, or '-' for stdin"));
}

// The mode of the open file is looked at, not of its name: that may become another file's.
Result<Secret> Read(const std::string& path, bool must_be_private) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.valid()) return Fail(ReadError(path, errno));
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) return Fail(ReadError(path, errno));
  if (must_be_private && (status.st_mode & 077) != 0) {
    return Fail(MakeError(ErrorKind::kState, ErrorCode::kCredentialInvalid,
                          fmt::format("the secret in {} can be read by others (mode {:04o})", path,
                                      status.st_mode & 07777))
                    .WithCause("the file was made without a thought of its mode")
                    .WithAction("chmod 600 " + ShellQuote(path)));
  }
  std::string text(kMostSecretBytes + 1, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    if (S_ISFIFO(status.st_mode)) ASR_CHECK(AwaitPipe(file.get(), path));
    const ssize_t count = ::read(file.get(), text.data() + size, text.size() - size);
    if (count < 0 && (errno == EINTR || (errno == EAGAIN && S_ISFIFO(status.st_mode)))) continue;
    if (count < 0) return Fail(ReadError(path, errno));
    if (count == 0) break;
    size += static_cast<std::size_t>(count);
  }
  if (size > kMostSecretBytes) {
    return Fail(MakeError(ErrorKind::kState, ErrorCode::kCredentialInvalid,
                          fmt::format("{} is too large for a secret", path))
                    .WithAction("name the right file"));
  }
  while (size > 0 && std::string_view(" \t\r\n").find(text[size - 1]) != std::string_view::npos) {
    --size;
  }
  Secret secret(text.substr(0, size));
  OPENSSL_cleanse(text.data(), text.size());
  return secret;
}

}  // namespace

Result<Secret> ReadSecretFile(const std::string& path) { return Read(path, true); }

Result<Secret> ReadPlatformFile(const std::string& path) { return Read(path, false); }

}  // namespace asr
