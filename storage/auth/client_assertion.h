// A certificate's proof of who signs in.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "storage/auth/secret.h"
#include "storage/base/clock.h"
#include "storage/base/result.h"

namespace asr {

// A certificate with its private key.
class ClientCertificate {
 public:
  // PEM: both of them, in any order; the key may be encrypted. kCredentialInvalid.
  [[nodiscard]] static Result<ClientCertificate> Parse(const Secret& pem, const Secret& password);

  // A JSON web token for `audience` (the authority's token URL), signed with RS256, that holds for
  // ten minutes.
  [[nodiscard]] Result<Secret> Assertion(std::string_view client_id, std::string_view audience,
                                         Timestamp now) const;

 private:
  std::shared_ptr<void> key_;   // an EVP_PKEY
  std::string thumbprint_;      // SHA-1 of the certificate, base64url
  Timestamp certificate_ends_;  // notAfter
};

}  // namespace asr
