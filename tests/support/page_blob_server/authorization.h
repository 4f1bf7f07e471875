// Who may do what: SharedKey, shared access signatures, bearer tokens.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/support/page_blob_server/encoding.h"
#include "tests/support/page_blob_server/http_message.h"
#include "tests/support/page_blob_server/operation.h"

namespace asr::testing::page_blob {

struct BearerToken {
  std::string token;
  ServiceTime expires;
  std::string permissions = "racwdl";  // letters of a SAS
  bool may_delegate = true;            // may ask for a user delegation key
};

// What an account knows of those who come. Guarded by its owner's lock.
struct Credentials {
  std::string account;
  std::vector<std::string> keys;    // Base64; two as Azure has them, or one
  std::string delegation_secret;    // user delegation keys are made of it
  std::vector<BearerToken> tokens;  //
  std::set<std::string> refused;    // by Caller::credential: as if they had run out
  std::string tenant = "11111111-2222-3333-4444-555555555555";
  std::string object_id = "66666666-7777-8888-9999-000000000000";
};

struct Caller {
  std::string credential;   // tells it from others: a key, a signature, a token
  std::string permissions;  // letters of a SAS; "*": all
  bool is_bearer = false;
  bool may_delegate = false;
  [[nodiscard]] bool May(std::string_view any_of) const;
};

// Throws ServiceError where the service would refuse.
[[nodiscard]] Caller Authorize(const Credentials& credentials, const ServerRequest& request,
                               const Target& target, ServiceTime now);

// The order of x-ms headers in what is signed: that of the service's culture, not of the bytes.
// '-' does not count where the names differ without it; '_' comes before digits and letters.
[[nodiscard]] bool HeaderNameLess(std::string_view a, std::string_view b);
[[nodiscard]] std::string SharedKeyStringToSign(const ServerRequest& request,
                                                const std::string& account);

// sas.cc: checks signature, times, protocol and kind of resource, and returns who it is.
[[nodiscard]] Caller AuthorizeSas(const Credentials& credentials, const ServerRequest& request,
                                  const Target& target, ServiceTime now);

// The key of `start`..`expiry` in Base64, always the same for the same times.
[[nodiscard]] std::string UserDelegationKey(const Credentials& credentials,
                                            const std::string& start, const std::string& expiry,
                                            const std::string& version);

}  // namespace asr::testing::page_blob
