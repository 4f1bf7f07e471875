#include "cli/secret_input.h"

#include <utility>

#include <fmt/format.h>

#include "storage/auth/secret_file.h"

namespace asr {
namespace {

// Where a file is expected, people paste the secret itself.
Error NoSuchFile(const std::string& option, const std::string& file, Error error) {
  constexpr std::size_t kLongestShown = 31;
  if (file.size() <= kLongestShown && file.find('=') == std::string::npos) return error;
  return MakeError(ErrorKind::kNotFound, ErrorCode::kFileNotFound,
                   fmt::format("there is no file of the name that {} gives", option))
      .WithCause("the path is wrong; it is not shown, for it may be the secret itself")
      .WithAction(fmt::format("give a file of mode 0600, or {} - and the secret on stdin; renew a "
                              "secret that stood on the command line",
                              option));
}

}  // namespace

Result<Secret> ReadSecretOption(Session& session, const std::string& option,
                                const std::string& file, const std::string& prompt) {
  if (file == "-") return session.ReadSecretFromInput(prompt);
  ASR_TRY(const std::string path, session.AbsolutePath(file));
  auto secret = ReadSecretFile(path);
  if (secret || !IsNotFound(secret.error())) return secret;
  return Fail(NoSuchFile(option, file, std::move(secret).error()));
}

Result<std::string> CertificatePath(Session& session, const std::string& file) {
  if (file != "-" && !file.starts_with("/dev/fd/") && !file.starts_with("/proc/self/fd/")) {
    return session.AbsolutePath(file);
  }
  return Fail(MakeError(ErrorKind::kUsage, ErrorCode::kUsage,
                        "the path of a certificate is kept, and stdin and pipes have none")
                  .WithAction("give the PEM file: --certificate-file FILE"));
}

}  // namespace asr
