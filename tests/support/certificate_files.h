// A certificate for the loopback interface, signed by a certification authority of its own.
#pragma once

#include <string>

namespace asr::testing {

struct CertificateFiles {
  std::string authority_file;    // PEM: trusting this one is enough
  std::string certificate_file;  // PEM, for 127.0.0.1 and localhost
  std::string key_file;          // PEM
};

// Files in `directory`, made by openssl(1). Throws if it cannot.
[[nodiscard]] CertificateFiles MakeCertificateFiles(const std::string& directory);

}  // namespace asr::testing
