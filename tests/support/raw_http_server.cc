#include "tests/support/raw_http_server.h"

#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <csignal>

#include <fmt/format.h>

namespace asr::testing {

class RawHttpServer::Connection : public ServerConnection {
 public:
  Connection(FileDescriptor socket, SSL_CTX* tls, const std::atomic<bool>& is_ending)
      : socket_(std::move(socket)), ssl_(nullptr, SSL_free), is_ending_(is_ending) {
    if (tls == nullptr) return;
    ssl_.reset(SSL_new(tls));
    SSL_set_fd(ssl_.get(), socket_.get());
  }
  bool Handshake() { return ssl_ == nullptr || SSL_accept(ssl_.get()) == 1; }

  bool Write(std::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t count =
          ssl_ ? SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()))
               : ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
    return true;
  }
  void Reset() override {
    const linger now{1, 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  }
  void Pause(double seconds) override {
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
    while (!is_ending_ && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
  // Up to and with `count` bytes in the buffer; false at the end.
  bool Fill(std::string& buffer, std::size_t count) {
    std::string chunk(64 * 1024, '\0');
    while (buffer.size() < count) {
      const ssize_t got = ssl_ ? SSL_read(ssl_.get(), chunk.data(), static_cast<int>(chunk.size()))
                               : ::recv(socket_.get(), chunk.data(), chunk.size(), 0);
      if (got <= 0) return false;
      buffer.append(chunk, 0, static_cast<std::size_t>(got));
    }
    return true;
  }
  void Shutdown() const { ::shutdown(socket_.get(), SHUT_RDWR); }
  void Close() { socket_ = FileDescriptor(); }

 private:
  FileDescriptor socket_;
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl_;
  const std::atomic<bool>& is_ending_;
};

namespace {

std::size_t NumberOrZero(const std::string& text) {
  return std::strtoul(text.c_str(), nullptr, 10);
}

void ParseHead(std::string_view head, ReceivedRequest& request) {
  const std::string_view line = head.substr(0, head.find("\r\n"));
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  request.method = line.substr(0, first);
  request.target = line.substr(first + 1, last - first - 1);
  for (std::size_t at = line.size() + 2; at < head.size();) {
    const std::size_t end = head.find("\r\n", at);
    const std::string_view header = head.substr(at, end - at);
    const std::size_t colon = header.find(':');
    if (colon != std::string_view::npos) {
      const std::size_t value = std::min(header.find_first_not_of(' ', colon + 1), header.size());
      request.headers.Add(header.substr(0, colon), header.substr(value));
    }
    at = end + 2;
  }
}

}  // namespace

RawHttpServer::RawHttpServer(Handler handler, const TestCertificate* certificate)
    : handler_(std::move(handler)) {
  // OpenSSL writes to closed sockets with write(2).
  std::signal(SIGPIPE, SIG_IGN);
  if (certificate != nullptr) tls_ = certificate->ServerContext();
  acceptor_ = std::thread(&RawHttpServer::Accept, this);
}

RawHttpServer::~RawHttpServer() {
  is_ending_ = true;
  ::shutdown(listener_.get(), SHUT_RDWR);
  acceptor_.join();
  {
    const std::lock_guard lock(mutex_);
    for (const auto& connection : open_) connection->Shutdown();
  }
  for (std::thread& thread : threads_) thread.join();
}

std::string RawHttpServer::origin() const {
  return fmt::format("{}://127.0.0.1:{}", tls_ ? "https" : "http", port());
}

std::vector<ReceivedRequest> RawHttpServer::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

void RawHttpServer::Accept() {
  while (!is_ending_) {
    FileDescriptor socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket.valid()) return;
    const int number = connections_++;
    const std::lock_guard lock(mutex_);
    open_.push_back(std::make_unique<Connection>(std::move(socket),
                                                 static_cast<SSL_CTX*>(tls_.get()), is_ending_));
    Connection& connection = *open_.back();
    threads_.emplace_back([this, &connection, number] { Serve(connection, number); });
  }
}

void RawHttpServer::Serve(Connection& connection, int number) {
  std::string buffer;
  bool goes_on = connection.Handshake();
  for (int served = 0; goes_on; ++served) {
    std::size_t head_end = std::string::npos;
    while ((head_end = buffer.find("\r\n\r\n")) == std::string::npos) {
      // A greeting of TLS would be waited for in vain.
      if (!connection.Fill(buffer, buffer.size() + 1) || buffer[0] == '\x16') break;
    }
    if (head_end == std::string::npos) {
      if (!buffer.empty()) connection.Write(PlainReply(400, ""));
      break;
    }
    ReceivedRequest request;
    request.connection = number;
    ParseHead(std::string_view(buffer).substr(0, head_end + 2), request);
    if (cuts_second_ && served > 0) {
      connection.Reset();
      break;
    }
    buffer.erase(0, head_end + 4);
    const std::size_t length = NumberOrZero(std::string(request.headers.Get("content-length")));
    if (!connection.Fill(buffer, length)) break;
    request.body = buffer.substr(0, length);
    buffer.erase(0, length);
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
    }
    goes_on = handler_(request, connection);
  }
  const std::lock_guard lock(mutex_);
  connection.Close();
}

std::string PlainReply(int status, std::string_view body, std::string_view headers) {
  return fmt::format("HTTP/1.1 {} Some Reason\r\nContent-Length: {}\r\n{}\r\n{}", status,
                     body.size(), headers, body);
}

}  // namespace asr::testing
