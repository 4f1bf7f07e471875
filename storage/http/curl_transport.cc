#include "storage/http/curl_transport.h"

#include <cstdlib>
#include <utility>

#include "storage/base/stop.h"
#include "storage/http/authority_file.h"
#include "storage/http/curl_error.h"
#include "storage/http/curl_transfer.h"

namespace asr {
namespace {

std::string Variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

}  // namespace

Result<std::unique_ptr<CurlTransport>> CurlTransport::Create(CurlOptions options) {
  if (!options.ca_file.empty()) ASR_CHECK(CheckAuthorityFile(options.ca_file));
  ASR_TRY(const CurlLibrary* const curl, LoadCurlLibrary());
  if (options.ca_file.empty()) options.ca_file = Variable("SSL_CERT_FILE");
  return std::unique_ptr<CurlTransport>(new CurlTransport(curl, std::move(options)));
}

CurlTransport::~CurlTransport() {
  for (const Handle& handle : idle_) Free(handle);
}

Result<HttpResponse> CurlTransport::Send(const HttpRequest& request, const std::stop_token& stop) {
  ASR_CHECK(CheckStop(stop));
  ASR_TRY(const Handle handle, TakeHandle());
  CurlTransfer transfer(*curl_, handle.multi, handle.easy, request);
  auto result = transfer.Run(options_.ca_file, options_.user_agent, stop);
  // What was cut in the middle leaves no connection to be kept, but others of the handle are fine.
  GiveBack(handle);
  return result;
}

Result<CurlTransport::Handle> CurlTransport::TakeHandle() {
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      const Handle handle = idle_.back();
      idle_.pop_back();
      return handle;
    }
  }
  const Handle handle{curl_->multi_init(), curl_->easy_init()};
  if (handle.multi == nullptr || handle.easy == nullptr) {
    Free(handle);
    return Fail(MakeError(ErrorKind::kBusy, ErrorCode::kIo, "there is no memory for a connection")
                    .Retryable());
  }
  // A handle works for one request at a time; a few connections, for it may see several servers.
  curl_->multi_setopt(handle.multi, CURLMOPT_MAXCONNECTS, 4L);
  return handle;
}

void CurlTransport::GiveBack(Handle handle) {
  const std::lock_guard lock(mutex_);
  idle_.push_back(handle);
}

void CurlTransport::Free(Handle handle) {
  if (handle.multi != nullptr) curl_->multi_cleanup(handle.multi);
  if (handle.easy != nullptr) curl_->easy_cleanup(handle.easy);
}

}  // namespace asr
