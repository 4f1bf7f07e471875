// Secrets that lie in files.
#pragma once

#include <string>

#include "storage/auth/secret.h"
#include "storage/base/result.h"

namespace asr {

// The file without white space at its end; at most 64 KiB. kCredentialInvalid if others than its
// owner may read it (it must have mode 0600 or less), kCredentialNotFound if there is none. A pipe
// is read until its writer has closed it.
[[nodiscard]] Result<Secret> ReadSecretFile(const std::string& path);

// The same for files that the platform writes with modes of its own: tokens of Kubernetes, keys of
// Azure Arc.
[[nodiscard]] Result<Secret> ReadPlatformFile(const std::string& path);

}  // namespace asr
