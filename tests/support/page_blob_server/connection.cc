#include "tests/support/page_blob_server/connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <stdexcept>
#include <vector>

namespace asr::testing::page_blob {
namespace {

constexpr std::size_t kLongestHead = 64 * kKiB;
constexpr std::size_t kPieceOnSlowLink = 8 * kKiB;

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

void Stopper::Stop() {
  const std::lock_guard lock(mutex_);
  is_stopped_ = true;
  stopped_.notify_all();
}

bool Stopper::Sleep(double seconds) {
  std::unique_lock lock(mutex_);
  return !stopped_.wait_for(lock, std::chrono::duration<double>(seconds),
                            [&] { return is_stopped_.load(); });
}

void Link::SetRate(double bytes_per_second) {
  const std::lock_guard lock(mutex_);
  bytes_per_second_ = bytes_per_second;
  free_at_ = 0;
}

void Link::Pass(std::size_t bytes, Stopper& stopper) {
  if (!is_limited()) return;
  double wait = 0;
  {
    const std::lock_guard lock(mutex_);
    const double rate = bytes_per_second_;
    if (rate <= 0) return;
    const double now = Now();
    free_at_ = std::max(free_at_, now) + static_cast<double>(bytes) / rate;
    wait = free_at_ - now;
  }
  stopper.Sleep(wait);
}

bool RateLimit::Take(double amount, double per_second) {
  if (per_second <= 0) return true;
  const double now = Now();
  if (filled_at_ < 0) {
    available_ = per_second;
  } else {
    available_ = std::min(per_second, available_ + (now - filled_at_) * per_second);
  }
  filled_at_ = now;
  if (available_ < amount) return false;
  available_ -= amount;
  return true;
}

SslContext MakeSslContext(const std::string& certificate_file, const std::string& key_file) {
  SslContext context(::SSL_CTX_new(::TLS_server_method()));
  if (::SSL_CTX_use_certificate_chain_file(context.get(), certificate_file.c_str()) != 1 ||
      ::SSL_CTX_use_PrivateKey_file(context.get(), key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
    throw std::runtime_error("no certificate with key: " + certificate_file + ", " + key_file);
  }
  return context;
}

Connection::Connection(FileDescriptor socket, SSL_CTX* context, Link& shared_link, Stopper& stopper,
                       const std::function<void(Connection&)>& is_here)
    : socket_(std::move(socket)), shared_link_(shared_link), stopper_(stopper) {
  is_here(*this);
  const int on = 1;
  ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (shared_link_.is_limited() || own_link_.is_limited()) Narrow();
  if (context != nullptr) {
    ssl_ = ::SSL_new(context);
    ::SSL_set_fd(ssl_, socket_.get());
    if (::SSL_accept(ssl_) != 1) Abort();
  }
}

Connection::~Connection() { ::SSL_free(ssl_); }

void Connection::Narrow() const {
  const int bytes = 32 * 1024;
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

void Connection::Abort() const { ::shutdown(socket_.get(), SHUT_RDWR); }

void Connection::Pass(std::size_t bytes) {
  shared_link_.Pass(bytes, stopper_);
  own_link_.Pass(bytes, stopper_);
}

bool Connection::WaitForRequest(double idle_seconds) {
  if (!pending_.empty() || (ssl_ != nullptr && ::SSL_pending(ssl_) > 0)) return true;
  pollfd waiting{socket_.get(), POLLIN, 0};
  const int limit = idle_seconds > 0 ? static_cast<int>(idle_seconds * 1000) : -1;
  int ready = 0;
  do {
    ready = ::poll(&waiting, 1, limit);
  } while (ready < 0 && errno == EINTR);
  return ready == 1;
}

std::size_t Connection::ReadSome(MutableByteSpan out) {
  if (!pending_.empty()) {
    const std::size_t length = std::min(out.size(), pending_.size());
    std::memcpy(out.data(), pending_.data(), length);
    pending_.erase(0, length);
    return length;
  }
  const bool is_slow = shared_link_.is_limited() || own_link_.is_limited();
  if (is_slow) out = out.first(std::min(out.size(), kPieceOnSlowLink));
  if (ssl_ != nullptr) {
    const int got = ::SSL_read(ssl_, out.data(), static_cast<int>(std::min(out.size(), kMiB)));
    if (got <= 0) return 0;
    Pass(static_cast<std::size_t>(got));
    return static_cast<std::size_t>(got);
  }
  ssize_t got = 0;
  do {
    got = ::recv(socket_.get(), out.data(), out.size(), 0);
  } while (got < 0 && errno == EINTR);
  if (got <= 0) return 0;
  Pass(static_cast<std::size_t>(got));
  return static_cast<std::size_t>(got);
}

std::string Connection::ReadHead() {
  std::string text;
  std::vector<std::byte> piece(16 * kKiB);
  while (text.size() < kLongestHead) {
    const std::size_t got = ReadSome(piece);
    if (got == 0) return "";
    const std::size_t searched = text.size() < 3 ? 0 : text.size() - 3;
    text += AsText(ByteSpan(piece).first(got));
    const std::size_t end = text.find("\r\n\r\n", searched);
    if (end == std::string::npos) continue;
    pending_.insert(0, text.substr(end + 4));
    text.resize(end);
    return text;
  }
  return "";
}

bool Connection::Read(MutableByteSpan out) {
  while (!out.empty()) {
    const std::size_t got = ReadSome(out);
    if (got == 0) return false;
    out = out.subspan(got);
  }
  return true;
}

bool Connection::Skip(std::uint64_t bytes) {
  thread_local std::vector<std::byte> piece(256 * kKiB);
  while (bytes > 0) {
    const std::size_t got = ReadSome(MutableByteSpan(piece).first(
        static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), bytes))));
    if (got == 0) return false;
    bytes -= got;
  }
  return true;
}

bool Connection::Write(ByteSpan bytes) {
  while (!bytes.empty()) {
    const bool is_slow = shared_link_.is_limited() || own_link_.is_limited();
    const ByteSpan piece = bytes.first(std::min(bytes.size(), is_slow ? kPieceOnSlowLink : kMiB));
    if (is_slow) Pass(piece.size());
    ssize_t sent = 0;
    if (ssl_ != nullptr) {
      sent = ::SSL_write(ssl_, piece.data(), static_cast<int>(piece.size()));
    } else {
      do {
        sent = ::send(socket_.get(), piece.data(), piece.size(), MSG_NOSIGNAL);
      } while (sent < 0 && errno == EINTR);
    }
    if (sent <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(sent));
  }
  return true;
}

}  // namespace asr::testing::page_blob
