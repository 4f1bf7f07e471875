#include "storage/auth/storage_location.h"

#include <algorithm>

#include <fmt/format.h>

#include "storage/http/url.h"

namespace asr {
namespace {

constexpr std::string_view kContainer = "https://ACCOUNT.blob.core.windows.net/CONTAINER";

Error Wrong(const Url& url, std::string_view why) {
  return MakeError(ErrorKind::kUsage, ErrorCode::kUsage,
                   fmt::format("'{}{}' names no container: {}", url.origin(), url.path, why))
      .WithAction(fmt::format("give it as {}", kContainer));
}

Error WrongBlob(const Url& url, std::string_view why) {
  return MakeError(ErrorKind::kUsage, ErrorCode::kUsage,
                   fmt::format("'{}{}' names no blob: {}", url.origin(), url.path, why))
      .WithAction(fmt::format("give it as {}/BLOB", kContainer));
}

bool IsPathStyle(const Url& url, AccountStyle style) {
  if (style != AccountStyle::kGuess) return style == AccountStyle::kPath;
  const bool is_usual_port = url.port.empty() || url.port == "80" || url.port == "443";
  return url.is_ip_address() || url.host == "localhost" || !is_usual_port;
}

std::string TakeSegment(std::string_view& path) {
  path.remove_prefix(std::min(path.find_first_not_of('/'), path.size()));
  const std::string_view segment = path.substr(0, path.find('/'));
  path.remove_prefix(segment.size());
  return PercentDecode(segment);
}

// Names that the service takes: 3 to 63 of a-z 0-9 -, and $root, $web, $logs.
bool IsContainerName(std::string_view name) {
  if (name == "$root" || name == "$web" || name == "$logs") return true;
  return name.size() >= 3 && name.size() <= 63 && name.front() != '-' && name.back() != '-' &&
         name.find("--") == std::string_view::npos &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string_view::npos;
}

// A query that is not a SAS has nothing to do in the URL of a container.
Result<Secret> SasOf(const Url& url) {
  if (url.query.empty()) return Secret();
  std::string sas;
  bool is_signed = false;
  for (const auto& [name, value] : url.query) {
    if (!sas.empty()) sas += '&';
    sas.append(name).append("=").append(value);
    is_signed = is_signed || name == "sig";
  }
  if (!is_signed) return Fail(Wrong(url, "its query is not a shared access signature"));
  return Secret(std::move(sas));
}

}  // namespace

std::string StorageLocation::ContainerUrl() const {
  return container.empty() ? endpoint + "/" : endpoint + "/" + PercentEncode(container, "$");
}

std::string StorageLocation::BlobUrl(std::string_view blob) const {
  return ContainerUrl() + "/" + PercentEncode(blob, "/");
}

namespace {

// `path` becomes what follows the container, encoded.
Result<StorageLocation> TakeLocation(const Url& url, AccountStyle style, std::string_view& path) {
  StorageLocation location;
  path = url.path;
  location.endpoint = url.origin();
  if (IsPathStyle(url, style)) {
    location.account = TakeSegment(path);
    if (location.account.empty()) return Fail(Wrong(url, "the account's name is missing"));
    location.endpoint += "/" + PercentEncode(location.account);
  } else {
    location.account = url.host.substr(0, url.host.find('.'));
  }
  location.container = TakeSegment(path);
  if (!location.container.empty() && !IsContainerName(location.container)) {
    return Fail(Wrong(url, fmt::format("'{}' cannot be a container's name (3 to 63 of a-z, 0-9, -)",
                                       location.container)));
  }
  return location;
}

}  // namespace

Result<ParsedLocation> ParseStorageUrl(std::string_view text, AccountStyle style) {
  ASR_TRY(const Url url, ParseUrl(text));
  ParsedLocation parsed;
  std::string_view path;
  ASR_TRY(parsed.location, TakeLocation(url, style, path));
  if (path.find_first_not_of('/') != std::string_view::npos) {
    return Fail(Wrong(url, "there is more in it than a container"));
  }
  ASR_TRY(parsed.sas, SasOf(url));
  return parsed;
}

Result<ParsedBlobUrl> ParseBlobUrl(std::string_view text) {
  ASR_TRY(const Url url, ParseUrl(text));
  ParsedBlobUrl parsed;
  std::string_view path;
  ASR_TRY(parsed.location, TakeLocation(url, AccountStyle::kGuess, path));
  path.remove_prefix(std::min<std::size_t>(1, path.size()));
  parsed.blob = PercentDecode(path);
  if (parsed.blob.empty()) return Fail(WrongBlob(url, "there is none behind the container"));
  for (const auto& [name, value] : url.query) {
    parsed.has_secret = parsed.has_secret || name == "sig";
    if (name == "snapshot") parsed.snapshot = PercentDecode(value);
  }
  const bool is_only_snapshot =
      url.query.empty() || (url.query.size() == 1 && !parsed.snapshot.empty());
  if (!parsed.has_secret && !is_only_snapshot) {
    return Fail(WrongBlob(url, "its query may only be snapshot=TIME"));
  }
  return parsed;
}

}  // namespace asr
