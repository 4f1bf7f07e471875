// Where a container of Azure Blob Storage is.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "storage/auth/secret.h"
#include "storage/base/result.h"

namespace asr {

struct StorageLocation {
  // "https://ACCOUNT.blob.core.windows.net", or with the account in its path
  // "http://127.0.0.1:10000/devstoreaccount1". No '/' at its end.
  std::string endpoint;
  std::string account;
  std::string container;  // empty: the account as a whole

  // Of the container, or of a blob in it; encoded.
  [[nodiscard]] std::string ContainerUrl() const;
  [[nodiscard]] std::string BlobUrl(std::string_view blob) const;
  [[nodiscard]] bool is_https() const { return endpoint.starts_with("https:"); }
};

struct ParsedLocation {
  StorageLocation location;
  Secret sas;  // the URL's query without '?', if it was a SAS; kept nowhere else
};

enum class AccountStyle : std::uint8_t {
  kGuess,  // path for an IP address, "localhost" or a port that is not the scheme's; else host
  kHost,   // https://ACCOUNT.rest/CONTAINER
  kPath,   // https://host/ACCOUNT/CONTAINER
};

// "https://ACCOUNT.blob.core.windows.net/CONTAINER?SAS". kUsage, without the query in its text.
[[nodiscard]] Result<ParsedLocation> ParseStorageUrl(std::string_view text,
                                                     AccountStyle style = AccountStyle::kGuess);

// One blob, or a snapshot of it.
struct ParsedBlobUrl {
  StorageLocation location;
  std::string blob;         // its name, decoded
  std::string snapshot;     // the time that the service names it by; empty: the blob itself
  bool has_secret = false;  // there was a SAS in the URL, which is kept nowhere
};

// "https://ACCOUNT.blob.core.windows.net/CONTAINER/BLOB?snapshot=TIME". kUsage, without the query
// in its text.
[[nodiscard]] Result<ParsedBlobUrl> ParseBlobUrl(std::string_view text);

}  // namespace asr
