// An authority for one test, and a certificate for 127.0.0.1 and localhost that it signed.
#pragma once

#include <memory>
#include <string>

namespace asr::testing {

class TestCertificate {
 public:
  TestCertificate();

  // PEM. The authority's certificate is what clients have to trust.
  [[nodiscard]] const std::string& authority_pem() const { return authority_pem_; }
  [[nodiscard]] const std::string& certificate_pem() const { return certificate_pem_; }
  [[nodiscard]] const std::string& key_pem() const { return key_pem_; }
  // An SSL_CTX of OpenSSL.
  [[nodiscard]] std::shared_ptr<void> ServerContext() const;

 private:
  std::string authority_pem_;
  std::string certificate_pem_;
  std::string key_pem_;
};

// One for all that need any: they take a moment to make.
[[nodiscard]] const TestCertificate& SharedCertificate();

}  // namespace asr::testing
