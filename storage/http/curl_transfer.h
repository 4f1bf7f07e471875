// One request on one handle of libcurl.
#pragma once

#include <array>
#include <memory>
#include <stop_token>
#include <string>

#include "storage/http/curl_library.h"
#include "storage/http/http_message.h"

namespace asr {

// Must not outlive the request. Leaves the handle free for the next one.
class CurlTransfer {
 public:
  CurlTransfer(const CurlLibrary& curl, CURLM* multi, CURL* easy, const HttpRequest& request);
  // As HttpTransport::Send.
  [[nodiscard]] Result<HttpResponse> Run(const std::string& ca_file, const std::string& user_agent,
                                         const std::stop_token& stop);

 private:
  // Why we ended the transfer ourselves.
  enum class OwnEnd : std::uint8_t {
    kNone,
    kStopped,
    kStalled,
    kTooLarge,
    kHeaderTooLarge,
    kClosed,  // libcurl would have sent again what must not be sent twice
  };

  void SetOptions(const std::string& ca_file, const std::string& user_agent);
  void SetMethod();
  void SetHeaders();
  void Restart(bool on_new_connection);
  [[nodiscard]] CURLcode Perform(const std::stop_token& stop);
  [[nodiscard]] bool WasClosedWhileIdle(CURLcode code);
  [[nodiscard]] Error Problem(CURLcode code);

  // What libcurl calls; `self` is a CurlTransfer.
  static std::size_t OnHeader(char* data, std::size_t size, std::size_t count, void* self);
  static std::size_t OnBody(char* data, std::size_t size, std::size_t count, void* self);
  static std::size_t OnSend(char* data, std::size_t size, std::size_t count, void* self);
  static int OnSeek(void* self, curl_off_t offset, int origin);
  static int OnProgress(void* self, curl_off_t total_down, curl_off_t down, curl_off_t total_up,
                        curl_off_t up);
  static int OnConnected(void* self, char* to, char* from, int to_port, int from_port);
  static curl_socket_t OnSocket(void* self, curlsocktype purpose, curl_sockaddr* address);
  std::size_t ReadHeader(std::string_view line);
  std::size_t TakeBody(std::string_view data);
  // True: go on.
  [[nodiscard]] bool HasProgressed(curl_off_t bytes);

  template <class Value>
  void Set(CURLoption option, Value value) {
    curl_.easy_setopt(easy_, option, value);
  }

  const CurlLibrary& curl_;
  CURLM* multi_;
  CURL* easy_;
  const HttpRequest& request_;
  std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers_;
  std::array<char, CURL_ERROR_SIZE> message_{};
  HttpResponse response_;
  std::size_t header_bytes_ = 0;
  std::size_t sent_bytes_ = 0;
  bool has_reply_ = false;  // a byte of one came
  int sendings_ = 0;        // of the request, on one connection after another
  OwnEnd own_end_ = OwnEnd::kNone;
  curl_off_t moved_bytes_ = -1;  // in both directions, when that last changed
  double moved_seconds_ = 0;     // when that was, by the monotonic clock
};

}  // namespace asr
