// A server of HTTP/1.1 on loopback that does to the bytes whatever a test wants.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "storage/base/file_descriptor.h"
#include "storage/http/http_message.h"
#include "tests/support/loopback_listener.h"
#include "tests/support/test_certificate.h"

namespace asr::testing {

struct ReceivedRequest {
  std::string method;
  std::string target;  // as it stood in the request line
  HttpHeaders headers;
  std::string body;
  int connection = 0;  // 0 for the first one that was accepted
};

// What a handler may do with the connection.
class ServerConnection {
 public:
  virtual ~ServerConnection() = default;
  virtual bool Write(std::string_view bytes) = 0;
  // Sends nothing more and tells the client so by a reset.
  virtual void Reset() = 0;
  // Until `seconds` have passed or the server is about to end.
  virtual void Pause(double seconds) = 0;
};

class RawHttpServer {
 public:
  // Called for each request, by one thread a connection. False: the connection is closed.
  using Handler = std::function<bool(const ReceivedRequest&, ServerConnection&)>;

  // With a certificate it speaks TLS.
  explicit RawHttpServer(Handler handler, const TestCertificate* certificate = nullptr);
  ~RawHttpServer();
  RawHttpServer(const RawHttpServer&) = delete;
  RawHttpServer& operator=(const RawHttpServer&) = delete;

  // From now on each connection carries one request; a second one is cut by a reset when its head
  // has come, before its body is read.
  void CutSecondRequests() { cuts_second_ = true; }

  // "http://127.0.0.1:PORT", or https.
  [[nodiscard]] std::string origin() const;
  [[nodiscard]] std::uint16_t port() const { return listener_.port(); }
  [[nodiscard]] int connections() const { return connections_; }
  [[nodiscard]] std::vector<ReceivedRequest> requests() const;

 private:
  class Connection;

  void Accept();
  void Serve(Connection& connection, int number);

  Handler handler_;
  std::shared_ptr<void> tls_;  // an SSL_CTX, or null
  LoopbackListener listener_;
  std::atomic<bool> is_ending_ = false;
  std::atomic<int> connections_ = 0;
  std::atomic<bool> cuts_second_ = false;
  mutable std::mutex mutex_;  // guards what follows
  std::vector<ReceivedRequest> requests_;
  std::list<std::unique_ptr<Connection>> open_;
  std::list<std::thread> threads_;
  std::thread acceptor_;
};

// "HTTP/1.1 200 OK" with the body's length.
[[nodiscard]] std::string PlainReply(int status, std::string_view body,
                                     std::string_view headers = {});

}  // namespace asr::testing
