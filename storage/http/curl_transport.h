// HTTP/1.1 by libcurl.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "storage/http/curl_library.h"
#include "storage/http/http_transport.h"

namespace asr {

struct CurlOptions {
  // The only authorities that are trusted, a PEM file. Empty: $SSL_CERT_FILE, else the system's.
  std::string ca_file;
  std::string user_agent = "asr";
};

// Connections are kept and used again. Proxies as curl(1) has them: http_proxy, https_proxy,
// all_proxy, no_proxy. Redirections are not followed: what we sign is meant for one server.
class CurlTransport : public HttpTransport {
 public:
  // Fails as CheckAuthorityFile does for a `ca_file` that is of no use.
  [[nodiscard]] static Result<std::unique_ptr<CurlTransport>> Create(CurlOptions options);
  ~CurlTransport() override;
  CurlTransport(const CurlTransport&) = delete;
  CurlTransport& operator=(const CurlTransport&) = delete;

  [[nodiscard]] Result<HttpResponse> Send(const HttpRequest& request,
                                          const std::stop_token& stop) override;

 private:
  // A handle with its own few connections; used by one thread at a time.
  struct Handle {
    CURLM* multi = nullptr;
    CURL* easy = nullptr;
  };

  CurlTransport(const CurlLibrary* curl, CurlOptions options)
      : curl_(curl), options_(std::move(options)) {}
  [[nodiscard]] Result<Handle> TakeHandle();
  void GiveBack(Handle handle);
  void Free(Handle handle);

  const CurlLibrary* curl_;
  CurlOptions options_;
  std::mutex mutex_;          // guards what follows
  std::vector<Handle> idle_;  // the one used last at the end: its connections are the freshest
};

}  // namespace asr
