#include "tests/support/page_blob_server/page_blob_server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <csignal>
#include <list>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "tests/support/page_blob_server/session.h"

namespace asr::testing {
namespace {

using page_blob::Connection;

FileDescriptor Listen(std::uint16_t& port) {
  FileDescriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  socklen_t length = sizeof(address);
  auto* const plain = reinterpret_cast<sockaddr*>(&address);
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (::bind(socket.get(), plain, length) != 0 || ::listen(socket.get(), SOMAXCONN) != 0 ||
      ::getsockname(socket.get(), plain, &length) != 0) {
    throw std::runtime_error(fmt::format("cannot listen on port {}", port));
  }
  port = ntohs(address.sin_port);
  return socket;
}

}  // namespace

class PageBlobServer::Impl {
 public:
  Impl(PageBlobServerOptions options, PageBlobServer& server)
      : options_(std::move(options)),
        service_(options_),
        control_(
            [&server](const std::string& method, const std::string& path, const std::string& body) {
              return page_blob::Control(server, method, path, body);
            }) {
    if (!options_.certificate_file.empty()) {
      context_ = page_blob::MakeSslContext(options_.certificate_file, options_.key_file);
    }
    listener_ = Listen(options_.port);
  }
  // Once the server that control_ speaks to is whole.
  void Start() {
    acceptor_ = std::thread([this] { Accept(); });
  }
  ~Impl() {
    stopper_.Stop();
    ::shutdown(listener_.get(), SHUT_RDWR);
    acceptor_.join();
    CutConnections();
    for (Served& served : served_) served.thread.join();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void CutConnections() {
    const std::lock_guard lock(mutex_);
    for (const Served& served : served_) {
      if (served.connection != nullptr) served.connection->Abort();
    }
  }
  void SetLink(double all, double each) {
    const std::lock_guard lock(mutex_);
    link_.SetRate(all);
    rate_of_each_ = each;
    for (const Served& served : served_) {
      if (served.connection == nullptr) continue;
      served.connection->own_link().SetRate(each);
      if (all > 0 || each > 0) served.connection->Narrow();
    }
  }

  PageBlobServerOptions options_;
  page_blob::Service service_;
  page_blob::FaultRules faults_;

 private:
  struct Served {
    std::thread thread;
    Connection* connection = nullptr;  // null: before it and after its end
    bool is_done = false;
  };

  void Accept() {
    while (!stopper_.is_stopped()) {
      FileDescriptor socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!socket.valid()) continue;
      service_.CountConnection();
      const std::lock_guard lock(mutex_);
      std::erase_if(served_, [](Served& served) {
        if (served.is_done) served.thread.join();
        return served.is_done;
      });
      Served& served = served_.emplace_back();
      const std::uint64_t number = ++last_connection_;
      served.thread = std::thread([this, &served, number, handle = socket.Release()] {
        Serve(served, number, FileDescriptor(handle));
      });
    }
  }

  void Serve(Served& served, std::uint64_t number, FileDescriptor socket) {
    sigset_t broken_pipe;
    ::sigemptyset(&broken_pipe);
    ::sigaddset(&broken_pipe, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &broken_pipe, nullptr);
    const int handle = socket.get();
    {
      // Whoever cuts connections must reach it in its handshake, too.
      Connection connection(std::move(socket), context_.get(), link_, stopper_, [&](Connection& c) {
        const std::lock_guard lock(mutex_);
        c.own_link().SetRate(rate_of_each_);
        served.connection = &c;
        if (stopper_.is_stopped()) ::shutdown(handle, SHUT_RDWR);
      });
      page_blob::Session(connection, number, {options_, service_, faults_, stopper_, control_})
          .Run();
      const std::lock_guard lock(mutex_);
      served.connection = nullptr;
    }
    const std::lock_guard lock(mutex_);
    served.is_done = true;
  }

  const page_blob::ControlFunction control_;
  page_blob::Stopper stopper_;
  page_blob::Link link_;
  page_blob::SslContext context_;
  FileDescriptor listener_;
  std::thread acceptor_;
  std::mutex mutex_;
  std::list<Served> served_;
  std::uint64_t last_connection_ = 0;
  double rate_of_each_ = 0;
};

PageBlobServer::PageBlobServer(PageBlobServerOptions options)
    : impl_(std::make_unique<Impl>(std::move(options), *this)) {
  impl_->Start();
}
PageBlobServer::~PageBlobServer() = default;

std::string PageBlobServer::url() const {
  return fmt::format("{}://127.0.0.1:{}/{}",
                     impl_->options_.certificate_file.empty() ? "http" : "https", port(),
                     account());
}

std::uint16_t PageBlobServer::port() const { return impl_->options_.port; }
std::string PageBlobServer::account() const { return impl_->options_.account; }
std::string PageBlobServer::key() const { return impl_->options_.keys.at(0); }

std::string PageBlobServer::ConnectionString() const {
  return fmt::format("DefaultEndpointsProtocol={};AccountName={};AccountKey={};BlobEndpoint={};",
                     impl_->options_.certificate_file.empty() ? "http" : "https", account(), key(),
                     url());
}

std::string PageBlobServer::AccountSas(const std::string& permissions,
                                       std::chrono::seconds valid_for) const {
  return impl_->service_.AccountSas(permissions, valid_for);
}

void PageBlobServer::AddFault(const FaultRule& rule) { impl_->faults_.Add(rule); }
void PageBlobServer::ClearFaults() { impl_->faults_.Clear(); }
int PageBlobServer::strikes() const { return impl_->faults_.strikes(); }
std::vector<RequestRecord> PageBlobServer::Log() const { return impl_->service_.Log(); }
void PageBlobServer::ClearLog() { impl_->service_.ClearLog(); }
std::map<std::string, std::uint64_t> PageBlobServer::Counts() const {
  return impl_->service_.Counts();
}
void PageBlobServer::SetLink(double bytes_per_second, double bytes_per_second_of_each) {
  impl_->SetLink(bytes_per_second, bytes_per_second_of_each);
}
void PageBlobServer::AdvanceClock(std::chrono::seconds by) { impl_->service_.AdvanceClock(by); }
void PageBlobServer::ReleaseDelayed() { impl_->service_.ReleaseDelayed(); }
std::size_t PageBlobServer::delayed() const { return impl_->service_.delayed(); }
void PageBlobServer::AddToken(const std::string& token, std::chrono::seconds valid_for,
                              const std::string& permissions, bool may_delegate) {
  impl_->service_.AddToken({token, impl_->service_.Now() + valid_for, permissions, may_delegate});
}
void PageBlobServer::SetKeys(const std::vector<std::string>& keys) {
  impl_->service_.SetKeys(keys);
}
void PageBlobServer::CreateContainer(const std::string& name) {
  impl_->service_.CreateContainer(name);
}
void PageBlobServer::LoseLease(const std::string& container, const std::string& blob,
                               std::chrono::seconds lasts) {
  page_blob::Target target;
  target.container = container;
  target.blob = blob;
  impl_->service_.LoseLease(target, static_cast<double>(lasts.count()));
}
bool PageBlobServer::FlipBit(const std::string& container, const std::string& blob,
                             std::uint64_t offset_bytes) {
  return impl_->service_.FlipBit(container, blob, offset_bytes);
}
void PageBlobServer::CutConnections() { impl_->CutConnections(); }

}  // namespace asr::testing
