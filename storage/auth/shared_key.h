// Requests signed with the key of a storage account.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "storage/auth/secret.h"
#include "storage/base/clock.h"
#include "storage/http/authorizer.h"

namespace asr {

// True if Azure Storage sorts the header name `left` before `right`, both in lower case. It sorts
// as the culture en-US does, not by bytes: '-' and apostrophe count only between names that are
// equal without them, '_' stands before digits.
[[nodiscard]] bool ComesBefore(std::string_view left, std::string_view right);

// What is signed: verb, eleven headers, all x-ms- headers, "/account" with the URL's path, its
// query. Content-Length is that of the body.
[[nodiscard]] std::string StringToSign(const HttpRequest& request, std::string_view account);

// Sets x-ms-date and Authorization.
class SharedKeyAuthorizer : public Authorizer {
 public:
  // The key as the portal shows it, in Base64; kCredentialInvalid if it is not.
  [[nodiscard]] static Result<std::unique_ptr<SharedKeyAuthorizer>> Create(std::string account,
                                                                           const Secret& key,
                                                                           const Clock& clock);
  [[nodiscard]] Status Sign(HttpRequest& request, const std::stop_token& stop) override;
  // With a SAS for that blob: a signature is for the request that was signed only.
  [[nodiscard]] Status SignSource(HttpRequest& request, const CopySource& source,
                                  const std::stop_token& stop) override;

 private:
  SharedKeyAuthorizer(std::string account, Secret key_bytes, const Clock& clock)
      : account_(std::move(account)), key_bytes_(std::move(key_bytes)), clock_(clock) {}

  std::string account_;
  Secret key_bytes_;
  const Clock& clock_;
};

// The bytes of an account's key. kCredentialInvalid if it is not Base64.
[[nodiscard]] Result<Secret> DecodeAccountKey(const Secret& key);

}  // namespace asr
