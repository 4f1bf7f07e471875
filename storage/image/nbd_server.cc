#include "storage/image/nbd_server.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "storage/base/subprocess.h"
#include "storage/image/image_error.h"

namespace asr {
namespace {

constexpr std::size_t kServedConnections = 4;
constexpr std::chrono::seconds kEndLimit{60};  // what QEMU may take to write its tables

// A socket that listens and the ends that are connected to it already. A server that starts with it
// has its clients from its first moment, and ends when they are gone. (One that has greeted none of
// them would wait for others for ever: should we die so early, the kernel ends it.)
struct ConnectedListener {
  FileDescriptor listener;
  std::vector<FileDescriptor> clients;
};

// For the moment in which the socket needs a name, out of other users' reach.
class SocketName {
 public:
  SocketName() {
    if (::mkdtemp(directory_.data()) == nullptr) {
      problem_ = errno;
      return;
    }
    address_.sun_family = AF_UNIX;
    const auto end = fmt::format_to_n(address_.sun_path, sizeof(address_.sun_path) - 1, "{}/nbd",
                                      directory_.data());
    *end.out = '\0';
  }
  ~SocketName() {
    if (problem_ != 0) return;
    ::unlink(address_.sun_path);
    ::rmdir(directory_.data());
  }
  SocketName(const SocketName&) = delete;
  SocketName& operator=(const SocketName&) = delete;

  [[nodiscard]] int problem() const { return problem_; }  // an errno, or 0
  [[nodiscard]] const struct sockaddr* address() const {
    return reinterpret_cast<const struct sockaddr*>(&address_);
  }

 private:
  std::array<char, 20> directory_{"/tmp/asr-nbd-XXXXXX"};
  struct sockaddr_un address_ {};
  int problem_ = 0;
};

Result<ConnectedListener> ListenAndConnect() {
  const auto fail = [](int problem) {
    return Fail(ErrnoError(problem, "cannot make a socket for qemu-nbd in /tmp"));
  };
  const auto make = [] { return FileDescriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)); };
  const SocketName name;
  if (name.problem() != 0) return fail(name.problem());
  ConnectedListener sockets{make(), {}};
  if (!sockets.listener.valid() ||
      ::bind(sockets.listener.get(), name.address(), sizeof(struct sockaddr_un)) != 0 ||
      ::listen(sockets.listener.get(), kServedConnections) != 0) {
    return fail(errno);
  }
  for (std::size_t i = 0; i < kServedConnections; ++i) {
    sockets.clients.push_back(make());
    if (!sockets.clients.back().valid() ||
        ::connect(sockets.clients.back().get(), name.address(), sizeof(struct sockaddr_un)) != 0) {
      return fail(errno);
    }
  }
  return sockets;
}

std::vector<std::string> ServerArguments(const std::string& program,
                                         const NbdServerOptions& options) {
  std::vector<std::string> arguments = {program, fmt::format("--shared={}", kServedConnections)};
  if (options.is_read_only) arguments.emplace_back("--read-only");
  if (options.is_direct) arguments.emplace_back("--cache=none");
  arguments.push_back("json:" + options.node);
  return arguments;
}

// QEMU repeats the description of the image that it got from us: what it says is what follows.
std::string WithoutNode(const std::string& said) {
  constexpr std::string_view kEndOfNode = "}': ";
  const std::size_t end = said.rfind(kEndOfNode);
  return end == std::string::npos ? said : said.substr(end + kEndOfNode.size());
}

}  // namespace

std::string NbdFileName(std::size_t index) {
  constexpr std::size_t kFirst = 4;  // 3 is the socket
  return fmt::format("/proc/self/fd/{}", kFirst + index);
}

Result<std::string> FindQemuTool(std::string_view name) {
  std::string program = FindProgram(name);
  if (!program.empty()) return program;
  return Fail(UnsupportedImage(
      fmt::format("qcow2 images are read and written through QEMU, and {} is not installed", name),
      "install it: apt install qemu-utils"));
}

NbdServer::NbdServer(const NbdLibrary& nbd, ChildProcess process)
    : nbd_(nbd), process_(std::move(process)) {}

Result<std::unique_ptr<NbdServer>> NbdServer::Start(const NbdServerOptions& options) {
  ASR_TRY(const NbdLibrary* nbd, LoadNbdLibrary());
  ASR_TRY(const std::string program, FindQemuTool("qemu-nbd"));
  ASR_TRY(ConnectedListener sockets, ListenAndConnect());
  ChildOptions child{.descriptors = {sockets.listener.get()}, .is_activated = true};
  child.descriptors.insert(child.descriptors.end(), options.descriptors.begin(),
                           options.descriptors.end());
  ASR_TRY(ChildProcess process, ChildProcess::Start(ServerArguments(program, options), child));
  // Once the server alone has it, its end is the end of our connections.
  sockets.listener = FileDescriptor();
  std::unique_ptr<NbdServer> server(new NbdServer(*nbd, std::move(process)));
  if (Status connected = server->Connect(std::move(sockets.clients)); !connected) {
    return Fail(server->StartError(connected.error()));
  }
  return server;
}

Status NbdServer::Connect(std::vector<FileDescriptor> sockets) {
  for (FileDescriptor& socket : sockets) {
    auto connection = std::make_unique<NbdConnection>(nbd_);
    ASR_CHECK(connection->Connect(std::move(socket), {}));
    pool_.Add(std::move(connection));
  }
  ASR_TRY(size_bytes_, pool_.connections().front()->SizeBytes());
  return {};
}

Error NbdServer::StartError(const Error& problem) {
  pool_.Clear();
  const int exit_code = process_.Wait(std::chrono::seconds(5));
  const std::string said = WithoutNode(process_.ErrorText());
  // As in: Failed to get shared "write" lock
  if (said.find("\" lock") != std::string::npos) {
    return MakeError(ErrorKind::kBusy, ErrorCode::kImageInUse,
                     "another QEMU has the image open for writing")
        .WithCause(said)
        .WithAction(
            "shut the VM down, or wait until nothing writes to its folder; then run the "
            "same command again (lsof and virsh list show who it is)")
        .Retryable();
  }
  if (said.empty()) {
    return MakeError(ErrorKind::kIo, ErrorCode::kIo,
                     fmt::format("qemu-nbd ended with {}: {}", exit_code, problem.message));
  }
  return CorruptImage(fmt::format("QEMU does not open the image: {}", said));
}

NbdServer::~NbdServer() {
  pool_.Clear();
  static_cast<void>(process_.Wait(kEndLimit));
}

Status NbdServer::Read(std::uint64_t offset_bytes, MutableByteSpan out) {
  return pool_.Run([&](NbdConnection& to) { return to.Read(offset_bytes, out); });
}

Status NbdServer::Write(std::uint64_t offset_bytes, ByteSpan bytes) {
  return pool_.Run([&](NbdConnection& to) { return to.Write(offset_bytes, bytes); });
}

Result<std::vector<Extent>> NbdServer::DataExtents(Extent range) {
  return pool_.Run([&](NbdConnection& to) { return to.Extents(range); });
}

Status NbdServer::Finish() {
  ASR_CHECK(pool_.connections()
                .front()
                ->Flush());  // the image is one, however many connections there are
  for (const auto& connection : pool_.connections()) ASR_CHECK(connection->Disconnect());
  pool_.Clear();
  const int exit_code = process_.Wait(kEndLimit);
  if (exit_code == 0) return {};
  return Fail(ErrorKind::kIo, ErrorCode::kIo,
              fmt::format("qemu-nbd ended with {}: {}", exit_code, process_.ErrorText()));
}

}  // namespace asr
