#include "storage/http/curl_transfer.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>

#include "storage/base/clock.h"
#include "storage/base/stop.h"
#include "storage/http/curl_error.h"

namespace asr {
namespace {

// Enough for one system call a hundred KiB; a buffer of each kind belongs to every handle.
constexpr long kBufferBytes = 128L * 1024;
// Unsent bytes that the kernel takes from us. What it has taken counts as moved, so that with more
// of it a thin line would look stalled while the kernel's buffer drains.
constexpr int kUnsentBytes = 128 * 1024;
constexpr std::size_t kMostHeaderBytes = std::size_t{256} * 1024;

std::string_view Trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

}  // namespace

CurlTransfer::CurlTransfer(const CurlLibrary& curl, CURLM* multi, CURL* easy,
                           const HttpRequest& request)
    : curl_(curl),
      multi_(multi),
      easy_(easy),
      request_(request),
      headers_(nullptr, curl.slist_free_all) {}

Result<HttpResponse> CurlTransfer::Run(const std::string& ca_file, const std::string& user_agent,
                                       const std::stop_token& stop) {
  SetOptions(ca_file, user_agent);
  CURLcode code = Perform(stop);
  if (WasClosedWhileIdle(code)) {
    Restart(true);
    code = Perform(stop);
  }
  Error problem;
  if (code != CURLE_OK) problem = Problem(code);
  curl_.easy_reset(easy_);
  if (code != CURLE_OK) return Fail(std::move(problem));
  return std::move(response_);
}

void CurlTransfer::SetOptions(const std::string& ca_file, const std::string& user_agent) {
  curl_.easy_reset(easy_);
  Set(CURLOPT_URL, request_.url.c_str());
  Set(CURLOPT_PATH_AS_IS, 1L);  // a signature is over the URL as it is
  Set(CURLOPT_PROTOCOLS_STR, "http,https");
  Set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  Set(CURLOPT_USERAGENT, user_agent.c_str());
  Set(CURLOPT_NOSIGNAL, 1L);
  Set(CURLOPT_ERRORBUFFER, message_.data());
  Set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  if (!ca_file.empty()) Set(CURLOPT_CAINFO, ca_file.c_str());
  Set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(request_.connect_timeout_seconds * 1000));
  if (request_.goes_past_proxies) Set(CURLOPT_NOPROXY, "*");
  Set(CURLOPT_TCP_KEEPALIVE, 1L);
  Set(CURLOPT_BUFFERSIZE, kBufferBytes);
  Set(CURLOPT_UPLOAD_BUFFERSIZE, kBufferBytes);
  Set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  // A look-up that hangs must not hold up who was told to stop.
  Set(CURLOPT_QUICK_EXIT, 1L);
  Set(CURLOPT_HEADERFUNCTION, &CurlTransfer::OnHeader);
  Set(CURLOPT_HEADERDATA, static_cast<void*>(this));
  Set(CURLOPT_WRITEFUNCTION, &CurlTransfer::OnBody);
  Set(CURLOPT_WRITEDATA, static_cast<void*>(this));
  Set(CURLOPT_XFERINFOFUNCTION, &CurlTransfer::OnProgress);
  Set(CURLOPT_XFERINFODATA, static_cast<void*>(this));
  Set(CURLOPT_NOPROGRESS, 0L);
  Set(CURLOPT_OPENSOCKETFUNCTION, &CurlTransfer::OnSocket);
  Set(CURLOPT_PREREQFUNCTION, &CurlTransfer::OnConnected);
  Set(CURLOPT_PREREQDATA, static_cast<void*>(this));
  SetMethod();
  SetHeaders();
  Restart(false);
}

void CurlTransfer::SetMethod() {
  const bool has_body = request_.method == HttpMethod::kPut ||
                        request_.method == HttpMethod::kPost ||
                        request_.method == HttpMethod::kPatch || !request_.body.empty();
  if (request_.method == HttpMethod::kHead) {
    Set(CURLOPT_NOBODY, 1L);
  } else if (has_body) {
    Set(CURLOPT_UPLOAD, 1L);
    Set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(request_.body.size()));
    Set(CURLOPT_READFUNCTION, &CurlTransfer::OnSend);
    Set(CURLOPT_READDATA, static_cast<void*>(this));
    Set(CURLOPT_SEEKFUNCTION, &CurlTransfer::OnSeek);
    Set(CURLOPT_SEEKDATA, static_cast<void*>(this));
  }
  Set(CURLOPT_CUSTOMREQUEST, MethodName(request_.method).data());
}

void CurlTransfer::SetHeaders() {
  const auto append = [this](const std::string& line) {
    // Only without memory does this give nothing; then the list is as it was.
    curl_slist* const longer = curl_.slist_append(headers_.get(), line.c_str());
    if (longer == nullptr) return;
    static_cast<void>(headers_.release());
    headers_.reset(longer);
  };
  append("Expect:");  // one round trip less for each body
  for (const auto& [name, value] : request_.headers) {
    append(value.empty() ? name + ";" : fmt::format("{}: {}", name, value));
  }
  Set(CURLOPT_HTTPHEADER, headers_.get());
}

void CurlTransfer::Restart(bool on_new_connection) {
  Set(CURLOPT_FRESH_CONNECT, on_new_connection ? 1L : 0L);
  response_ = {};
  header_bytes_ = 0;
  sent_bytes_ = 0;
  has_reply_ = false;
  sendings_ = 0;
  own_end_ = OwnEnd::kNone;
  moved_bytes_ = -1;
  message_[0] = '\0';
}

CURLcode CurlTransfer::Perform(const std::stop_token& stop) {
  if (curl_.multi_add_handle(multi_, easy_) != CURLM_OK) return CURLE_FAILED_INIT;
  CURLcode code = CURLE_FAILED_INIT;
  {
    const std::stop_callback wake(stop, [this] { curl_.multi_wakeup(multi_); });
    int running = 1;
    while (true) {
      if (stop.stop_requested()) own_end_ = OwnEnd::kStopped;
      if (own_end_ == OwnEnd::kStopped) break;
      if (curl_.multi_perform(multi_, &running) != CURLM_OK || running == 0) break;
      if (curl_.multi_poll(multi_, nullptr, 0, 1000, nullptr) != CURLM_OK) break;
    }
  }
  int left = 0;
  while (const CURLMsg* const message = curl_.multi_info_read(multi_, &left)) {
    if (message->msg == CURLMSG_DONE) code = message->data.result;
  }
  if (own_end_ != OwnEnd::kNone) code = CURLE_ABORTED_BY_CALLBACK;
  curl_.multi_remove_handle(multi_, easy_);
  return code;
}

bool CurlTransfer::WasClosedWhileIdle(CURLcode code) {
  if (!request_.may_be_sent_twice) return false;
  if (code != CURLE_SEND_ERROR && code != CURLE_RECV_ERROR && code != CURLE_GOT_NOTHING) {
    return false;
  }
  long new_connections = 1;
  curl_.easy_getinfo(easy_, CURLINFO_NUM_CONNECTS, &new_connections);
  return new_connections == 0 && !has_reply_;
}

Error CurlTransfer::Problem(CURLcode code) {
  const std::string origin = OriginOf(request_.url);
  switch (own_end_) {
    case OwnEnd::kStopped:
      return Stopped();
    case OwnEnd::kStalled:
      return StalledError(origin, request_.stall_timeout_seconds);
    case OwnEnd::kTooLarge:
      return BadReplyError(origin, "its reply is longer than what was asked for");
    case OwnEnd::kHeaderTooLarge:
      return BadReplyError(
          origin, fmt::format("its headers are larger than {} KiB", kMostHeaderBytes / 1024));
    case OwnEnd::kClosed:
      return CurlError(CURLE_GOT_NOTHING, 0, origin, "the connection was closed without a reply");
    case OwnEnd::kNone:
      break;
  }
  long proxy_status = 0;
  curl_.easy_getinfo(easy_, CURLINFO_HTTP_CONNECTCODE, &proxy_status);
  const std::string_view said = message_.data();
  return CurlError(code, proxy_status, origin, said.empty() ? curl_.easy_strerror(code) : said);
}

std::size_t CurlTransfer::OnHeader(char* data, std::size_t size, std::size_t count, void* self) {
  return static_cast<CurlTransfer*>(self)->ReadHeader({data, size * count});
}

std::size_t CurlTransfer::OnBody(char* data, std::size_t size, std::size_t count, void* self) {
  return static_cast<CurlTransfer*>(self)->TakeBody({data, size * count});
}

std::size_t CurlTransfer::OnSend(char* data, std::size_t size, std::size_t count, void* self) {
  auto& transfer = *static_cast<CurlTransfer*>(self);
  const ByteSpan left = transfer.request_.body.subspan(transfer.sent_bytes_);
  const std::size_t bytes = std::min(left.size(), size * count);
  if (bytes > 0) std::memcpy(data, left.data(), bytes);
  transfer.sent_bytes_ += bytes;
  return bytes;
}

int CurlTransfer::OnSeek(void* self, curl_off_t offset, int origin) {
  auto& transfer = *static_cast<CurlTransfer*>(self);
  if (origin != SEEK_SET || static_cast<std::size_t>(offset) > transfer.request_.body.size()) {
    return CURL_SEEKFUNC_FAIL;
  }
  transfer.sent_bytes_ = static_cast<std::size_t>(offset);
  return CURL_SEEKFUNC_OK;
}

int CurlTransfer::OnProgress(void* self, curl_off_t /*total_down*/, curl_off_t down,
                             curl_off_t /*total_up*/, curl_off_t up) {
  return static_cast<CurlTransfer*>(self)->HasProgressed(down + up) ? 0 : 1;
}

// libcurl calls this before each time that it sends the request.
int CurlTransfer::OnConnected(void* self, char* /*to*/, char* /*from*/, int /*to_port*/,
                              int /*from_port*/) {
  auto* const transfer = static_cast<CurlTransfer*>(self);
  if (++transfer->sendings_ == 1 || transfer->request_.may_be_sent_twice) return CURL_PREREQFUNC_OK;
  transfer->own_end_ = OwnEnd::kClosed;
  return CURL_PREREQFUNC_ABORT;
}

// No program that we start shall keep a connection of ours open.
curl_socket_t CurlTransfer::OnSocket(void* /*self*/, curlsocktype /*purpose*/,
                                     curl_sockaddr* address) {
  const int made = ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
  if (made < 0) return CURL_SOCKET_BAD;
  ::setsockopt(made, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &kUnsentBytes, sizeof(kUnsentBytes));
  return made;
}

bool CurlTransfer::HasProgressed(curl_off_t bytes) {
  const double now = SystemClock().MonotonicSeconds();
  // Headers count, too: they come in front of a body that may be long in the making.
  const curl_off_t moved = bytes + static_cast<curl_off_t>(header_bytes_);
  if (moved != moved_bytes_) {
    moved_bytes_ = moved;
    moved_seconds_ = now;
  }
  if (now - moved_seconds_ < request_.stall_timeout_seconds) return true;
  own_end_ = OwnEnd::kStalled;
  return false;
}

std::size_t CurlTransfer::ReadHeader(std::string_view line) {
  has_reply_ = true;
  header_bytes_ += line.size();
  if (header_bytes_ > kMostHeaderBytes) {
    own_end_ = OwnEnd::kHeaderTooLarge;
    return 0;
  }
  if (line.starts_with("HTTP/")) {
    // The last one counts: others may stand in front of it (100, 103).
    response_.headers = {};
    const std::size_t blank = line.find(' ');
    response_.status =
        blank == std::string_view::npos ? 0 : std::atoi(std::string(line.substr(blank)).c_str());
    return line.size();
  }
  const std::size_t colon = line.find(':');
  if (colon != std::string_view::npos) {
    response_.headers.Add(Trimmed(line.substr(0, colon)), Trimmed(line.substr(colon + 1)));
  }
  return line.size();
}

std::size_t CurlTransfer::TakeBody(std::string_view data) {
  has_reply_ = true;
  const bool goes_into = response_.IsSuccess() && !request_.into.empty();
  const std::uint64_t limit = goes_into ? request_.into.size() : request_.reply_limit_bytes;
  if (data.size() > limit - response_.body_bytes) {
    own_end_ = OwnEnd::kTooLarge;
    return 0;
  }
  if (goes_into) {
    std::memcpy(request_.into.data() + response_.body_bytes, data.data(), data.size());
  } else {
    response_.body.append(data);
  }
  response_.body_bytes += data.size();
  return data.size();
}

}  // namespace asr
