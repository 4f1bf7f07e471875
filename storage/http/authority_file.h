// Certification authorities that are named by a file.
#pragma once

#include <string>

#include "storage/base/result.h"

namespace asr {

// Whether `path` holds a certificate as PEM, at least one: kTlsUntrusted otherwise, of kind
// kNotFound if there is no such file.
[[nodiscard]] Status CheckAuthorityFile(const std::string& path);

}  // namespace asr
