#include "storage/http/status_server.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <charconv>
#include <exception>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "storage/base/file_descriptor.h"

namespace asr {
namespace {

constexpr unsigned int kMostClients = 16;
constexpr unsigned int kSilenceSeconds = 5;
constexpr std::size_t kMemoryOfAClient = 16384;
constexpr int kClientsThatWait = 16;

// libmicrohttpd, loaded when it is needed: it would cost every start of the program its TLS.
struct Library {
  decltype(&MHD_start_daemon) start_daemon;
  decltype(&MHD_stop_daemon) stop_daemon;
  decltype(&MHD_create_response_from_buffer) create_response_from_buffer;
  decltype(&MHD_add_response_header) add_response_header;
  decltype(&MHD_queue_response) queue_response;
  decltype(&MHD_destroy_response) destroy_response;
};

template <class Function>
bool Find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  return function != nullptr;
}

const Library* LoadWhole() {
  static Library http{};
  void* const library = ::dlopen("libmicrohttpd.so.12", RTLD_NOW | RTLD_LOCAL);
  const bool is_whole =
      library != nullptr && Find(library, "MHD_start_daemon", http.start_daemon) &&
      Find(library, "MHD_stop_daemon", http.stop_daemon) &&
      Find(library, "MHD_create_response_from_buffer", http.create_response_from_buffer) &&
      Find(library, "MHD_add_response_header", http.add_response_header) &&
      Find(library, "MHD_queue_response", http.queue_response) &&
      Find(library, "MHD_destroy_response", http.destroy_response);
  return is_whole ? &http : nullptr;
}

Result<const Library*> LoadLibrary() {
  static const Library* const loaded = LoadWhole();
  if (loaded != nullptr) return loaded;
  return Fail(MakeError(ErrorKind::kUnsupported, ErrorCode::kUnreachable,
                        "metrics over HTTP need libmicrohttpd, which is not installed")
                  .WithAction("install it: apt install libmicrohttpd12"));
}

Error NotLoopback(const std::string& text, const std::string& problem) {
  return MakeError(ErrorKind::kUsage, ErrorCode::kUsage,
                   fmt::format("'{}' is no address of this machine alone: {}", text, problem))
      .WithAction("give a loopback address with a port: 127.0.0.1:9464, or [::1]:9464");
}

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
  sockaddr* plain() { return reinterpret_cast<sockaddr*>(&storage); }
};

SocketAddress ToSocketAddress(const LoopbackAddress& address) {
  SocketAddress result;
  if (address.is_version6) {
    auto* const six = reinterpret_cast<sockaddr_in6*>(&result.storage);
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(address.port);
    six->sin6_addr = in6addr_loopback;
    result.length = sizeof(sockaddr_in6);
  } else {
    auto* const four = reinterpret_cast<sockaddr_in*>(&result.storage);
    four->sin_family = AF_INET;
    four->sin_port = htons(address.port);
    ::inet_pton(AF_INET, address.host.c_str(), &four->sin_addr);
    result.length = sizeof(sockaddr_in);
  }
  return result;
}

std::uint16_t PortOf(const SocketAddress& address) {
  // Both kinds have it in the same place.
  return ntohs(reinterpret_cast<const sockaddr_in*>(&address.storage)->sin_port);
}

std::string HostText(const LoopbackAddress& address) {
  return address.is_version6 ? "[" + address.host + "]" : address.host;
}

Result<FileDescriptor> Listen(const LoopbackAddress& address, std::uint16_t& port) {
  const auto failed = [&](int error) {
    const std::string where = fmt::format("{}:{}", HostText(address), address.port);
    if (error == EADDRINUSE) {
      return MakeError(ErrorKind::kState, ErrorCode::kAlreadyExists,
                       fmt::format("another process listens on {} already", where))
          .WithAction("give another port, or 0 for one that is free");
    }
    return ErrnoError(error, "cannot listen on " + where);
  };
  SocketAddress wanted = ToSocketAddress(address);
  FileDescriptor listener(
      ::socket(wanted.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP));
  if (!listener.valid()) return Fail(failed(errno));
  // Connections of an agent that has ended keep its port for a minute, and harm nobody.
  const int one = 1;
  ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  if (::bind(listener.get(), wanted.plain(), wanted.length) != 0 ||
      ::listen(listener.get(), kClientsThatWait) != 0 ||
      ::getsockname(listener.get(), wanted.plain(), &wanted.length) != 0) {
    return Fail(failed(errno));
  }
  port = PortOf(wanted);
  return listener;
}

}  // namespace

Result<LoopbackAddress> ParseLoopbackAddress(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos) return Fail(NotLoopback(text, "it has no port"));
  const char* const end = text.data() + text.size();
  LoopbackAddress address;
  const auto [rest, problem] = std::from_chars(text.data() + colon + 1, end, address.port);
  if (problem != std::errc() || rest != end) {
    return Fail(NotLoopback(text, "its port is no number up to 65535"));
  }
  address.host = text.substr(0, colon);
  if (address.host == "[::1]") {
    address.host = "::1";
    address.is_version6 = true;
    return address;
  }
  in_addr parsed{};
  if (::inet_pton(AF_INET, address.host.c_str(), &parsed) != 1) {
    return Fail(NotLoopback(text, fmt::format("{} is neither 127.0.0.1 nor [::1]", address.host)));
  }
  constexpr std::uint32_t kLoopbackNet = 127;
  if (ntohl(parsed.s_addr) >> 24U != kLoopbackNet) {
    return Fail(NotLoopback(text, "other machines could reach it"));
  }
  return address;
}

class StatusServer::Implementation {
 public:
  Implementation(const Library& http, Pages pages) : http_(http), pages_(std::move(pages)) {}
  ~Implementation() {
    if (daemon_ != nullptr) http_.stop_daemon(daemon_);  // closes the socket, too
  }
  Implementation(const Implementation&) = delete;
  Implementation& operator=(const Implementation&) = delete;

  Status Run(FileDescriptor listener) {
    daemon_ = http_.start_daemon(
        MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD, 0, nullptr, nullptr, &Answer, this,
        MHD_OPTION_LISTEN_SOCKET, listener.get(), MHD_OPTION_CONNECTION_LIMIT, kMostClients,
        MHD_OPTION_CONNECTION_TIMEOUT, kSilenceSeconds, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        kMemoryOfAClient, MHD_OPTION_END);
    if (daemon_ == nullptr) return Fail(ErrnoError(errno, "cannot start the server of metrics"));
    static_cast<void>(listener.Release());
    return {};
  }

 private:
  static MHD_Result Answer(void* self, MHD_Connection* client, const char* url, const char* method,
                           const char* /*version*/, const char* /*data*/, std::size_t* data_size,
                           void** /*request*/) {
    auto& server = *static_cast<Implementation*>(self);
    *data_size = 0;  // what a client sends is passed over
    try {
      return server.Answer(client, url, method);
    } catch (const std::exception&) {
      return MHD_NO;  // the connection is closed
    }
  }

  MHD_Result Answer(MHD_Connection* client, std::string_view url, std::string_view method) const {
    const bool is_known_method = method == "GET" || method == "HEAD";
    if (!is_known_method) return Send(client, MHD_HTTP_METHOD_NOT_ALLOWED, {}, "GET or HEAD\n");
    const auto page = pages_.find(std::string(url));
    if (page == pages_.end())
      return Send(client, MHD_HTTP_NOT_FOUND, {}, "there is no such page\n");
    auto text = page->second.text();
    if (!text) return Send(client, MHD_HTTP_SERVICE_UNAVAILABLE, {}, "not known just now\n");
    return Send(client, MHD_HTTP_OK, page->second.content_type, *std::move(text));
  }

  MHD_Result Send(MHD_Connection* client, unsigned int status, const std::string& content_type,
                  std::string text) const {
    MHD_Response* const response =
        http_.create_response_from_buffer(text.size(), text.data(), MHD_RESPMEM_MUST_COPY);
    if (response == nullptr) return MHD_NO;
    http_.add_response_header(
        response, MHD_HTTP_HEADER_CONTENT_TYPE,
        content_type.empty() ? "text/plain; charset=utf-8" : content_type.c_str());
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED) {
      http_.add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    }
    const MHD_Result queued = http_.queue_response(client, status, response);
    http_.destroy_response(response);
    return queued;
  }

  const Library& http_;
  const Pages pages_;
  MHD_Daemon* daemon_ = nullptr;
};

StatusServer::StatusServer(std::unique_ptr<Implementation> implementation, std::string url)
    : implementation_(std::move(implementation)), url_(std::move(url)) {}

StatusServer::~StatusServer() = default;

Result<std::unique_ptr<StatusServer>> StatusServer::Start(const LoopbackAddress& address,
                                                          Pages pages) {
  ASR_TRY(const Library* const http, LoadLibrary());
  std::uint16_t port = 0;
  ASR_TRY(FileDescriptor listener, Listen(address, port));
  auto implementation = std::make_unique<Implementation>(*http, std::move(pages));
  ASR_CHECK(implementation->Run(std::move(listener)));
  return std::unique_ptr<StatusServer>(new StatusServer(
      std::move(implementation), fmt::format("http://{}:{}", HostText(address), port)));
}

}  // namespace asr
