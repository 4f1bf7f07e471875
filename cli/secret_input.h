// Secrets that a command is given: by file or on stdin, never on the command line.
#pragma once

#include <string>

#include "cli/session.h"

namespace asr {

// What `file`, the value of `option`, holds; "-": stdin, asked for with `prompt` on a terminal. A
// name that is no file is not shown where it may be the secret itself.
[[nodiscard]] Result<Secret> ReadSecretOption(Session& session, const std::string& option,
                                              const std::string& file, const std::string& prompt);

// The absolute path of --certificate-file. kUsage for what has no path that lasts: stdin, a pipe.
[[nodiscard]] Result<std::string> CertificatePath(Session& session, const std::string& file);

}  // namespace asr
