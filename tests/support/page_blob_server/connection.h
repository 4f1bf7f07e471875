// One connection to a client: plain or TLS, at the speed of the link.
#pragma once

#include <openssl/ssl.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "storage/base/bytes.h"
#include "storage/base/file_descriptor.h"

namespace asr::testing::page_blob {

// Waits that end when the server stops.
class Stopper {
 public:
  void Stop();
  [[nodiscard]] bool is_stopped() const { return is_stopped_; }
  // False if the server stopped meanwhile.
  bool Sleep(double seconds);

 private:
  std::mutex mutex_;
  std::condition_variable stopped_;
  std::atomic<bool> is_stopped_ = false;
};

// A line of so many bytes a second, shared by those who send over it. 0: as fast as it goes.
class Link {
 public:
  void SetRate(double bytes_per_second);
  [[nodiscard]] bool is_limited() const { return bytes_per_second_ > 0; }
  // Returns when that many bytes have had their time on the line.
  void Pass(std::size_t bytes, Stopper& stopper);

 private:
  std::mutex mutex_;
  std::atomic<double> bytes_per_second_ = 0;
  double free_at_ = 0;
};

// Takes so much a second, and says no to more.
class RateLimit {
 public:
  // True if `amount` fits into the last second's share; it is taken then. `per_second` 0: always.
  bool Take(double amount, double per_second);

 private:
  double available_ = 0;
  double filled_at_ = -1;
};

struct SslContextFree {
  void operator()(SSL_CTX* context) const { ::SSL_CTX_free(context); }
};
using SslContext = std::unique_ptr<SSL_CTX, SslContextFree>;
// Throws if the files are no certificate and key.
[[nodiscard]] SslContext MakeSslContext(const std::string& certificate_file,
                                        const std::string& key_file);

class Connection {
 public:
  // `context` null: plain. `is_here` is called before the handshake. The link outlives it.
  Connection(FileDescriptor socket, SSL_CTX* context, Link& shared_link, Stopper& stopper,
             const std::function<void(Connection&)>& is_here);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  [[nodiscard]] int socket() const { return socket_.get(); }
  [[nodiscard]] bool is_tls() const { return ssl_ != nullptr; }
  Link& own_link() { return own_link_; }
  // False once the client has gone away, or nothing has come for `idle_seconds` (0: no limit).
  bool WaitForRequest(double idle_seconds);
  // Lines of the head without the empty one; empty if the client has gone.
  std::string ReadHead();
  // All of `out`; false if the client went away before.
  bool Read(MutableByteSpan out);
  // The same for bytes that nobody wants.
  bool Skip(std::uint64_t bytes);
  bool Write(ByteSpan bytes);
  // Little lies in the kernel's buffers from now on: else it takes megabytes at once, and a slow
  // line looks fast. For any thread.
  void Narrow() const;
  // Wakes whoever reads or writes; for any thread.
  void Abort() const;

 private:
  std::size_t ReadSome(MutableByteSpan out);
  void Pass(std::size_t bytes);

  FileDescriptor socket_;
  SSL* ssl_ = nullptr;
  Link& shared_link_;
  Link own_link_;
  Stopper& stopper_;
  std::string pending_;  // has come, belongs to what is read next
};

}  // namespace asr::testing::page_blob
