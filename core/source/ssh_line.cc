#include "core/source/ssh_line.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>

#include <fmt/format.h>

#include "storage/base/bytes.h"
#include "storage/base/checksum.h"
#include "storage/base/subprocess.h"
#include "storage/base/text.h"

namespace asr {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::chrono::seconds kReadyLimit{45};
constexpr std::chrono::seconds kRunLimit{60};
constexpr std::chrono::seconds kEndPause{2};
constexpr std::size_t kMostSaidBytes = 300;
constexpr std::size_t kMostOutputBytes = 128 * kMiB;

// ssh has a syntax of its own for the two paths of a forward, and for what stands for other things.
std::string ForwardedPath(std::string_view path) {
  std::string escaped;
  for (const char c : path) {
    if (c == ':' || c == '\\') escaped.push_back('\\');
    escaped.push_back(c);
    if (c == '%') escaped.push_back('%');
  }
  return escaped;
}

bool Says(std::string_view text, std::string_view words) {
  return text.find(words) != std::string_view::npos;
}

}  // namespace

std::vector<std::string> SshOptions(const SshTarget& target) {
  std::vector<std::string> options;
  for (const char* option :
       {"BatchMode=yes", "ConnectTimeout=20", "ServerAliveInterval=5", "ServerAliveCountMax=3",
        "ControlMaster=no", "ControlPath=none", "LogLevel=ERROR", "ForwardAgent=no",
        "ForwardX11=no", "PermitLocalCommand=no"}) {
    options.insert(options.end(), {"-o", option});
  }
  if (!target.known_hosts.empty()) {
    options.insert(options.end(), {"-o", "UserKnownHostsFile=" + target.known_hosts});
  }
  if (target.is_not_verified) options.insert(options.end(), {"-o", "StrictHostKeyChecking=no"});
  if (!target.key_file.empty()) options.insert(options.end(), {"-i", target.key_file});
  if (!target.user.empty()) options.insert(options.end(), {"-l", target.user});
  if (target.port != 0) options.insert(options.end(), {"-p", fmt::format("{}", target.port)});
  return options;
}

std::string RandomPlace(std::string_view stem) {
  constexpr std::size_t kDigits = 16;
  return std::string(stem) + ToHex(RandomBits()).substr(0, kDigits);
}

Error SshError(const SshTarget& target, const std::string& what, const std::string& said) {
  Error error = MakeError(ErrorKind::kBusy, ErrorCode::kHostUnreachable,
                          said.empty() ? what : fmt::format("{}: {}", what, said));
  const std::string known = target.known_hosts.empty() ? "~/.ssh/known_hosts" : target.known_hosts;
  const std::string port = target.port == 0 ? "" : fmt::format("-p {} ", target.port);
  if (Says(said, "Host key verification failed") || Says(said, "HOST IDENTIFICATION HAS CHANGED")) {
    return std::move(error)
        .WithCause(fmt::format("the machine's ssh key is not in {}", known))
        .WithCause("it was installed anew, or another machine answers in its place")
        .WithAction(fmt::format(
            "compare its key with what it says itself (ssh-keygen -lf "
            "/etc/ssh/ssh_host_ed25519_key.pub there), then put it in: ssh-keygen -f {1} -R {0}; "
            "ssh-keyscan {2}{0} >>{1}",
            target.host, known, port));
  }
  if (Says(said, "Permission denied (") || Says(said, "Too many authentication failures")) {
    return std::move(error)
        .WithCause(
            "none of this user's ssh keys opens that machine; a key with a passphrase needs "
            "an ssh agent")
        .WithCause("the agent of asr runs as another user, whose keys are others")
        .WithAction(fmt::format("let a key in: ssh-copy-id {0}{1}; it works once this needs no "
                                "password: ssh -o BatchMode=yes {0}{1} true",
                                port, target.Name()));
  }
  return std::move(error)
      .WithCause("the machine is off, the network between is cut, or its ssh server was stopped")
      .WithCause("libvirtd does not run there, or that user may not use its socket")
      .WithAction(
          fmt::format("look at it: virsh -c qemu+ssh://{}/system version; then run the same "
                      "command again",
                      target.Name()))
      .Retryable();
}

SshLine::SshLine(SshTarget target, ChildProcess process, FileDescriptor channel, SshPlace place)
    : target_(std::move(target)),
      process_(std::move(process)),
      channel_(std::move(channel)),
      place_(std::move(place)),
      mark_(ToHex(RandomBits())) {}

Result<std::unique_ptr<SshLine>> SshLine::Start(const SshTarget& target,
                                                const std::string& remote_socket) {
  const std::string program = FindProgram("ssh");
  if (program.empty()) {
    return Fail(MakeError(ErrorKind::kUnsupported, ErrorCode::kHostUnreachable,
                          "hosts behind ssh need its client, which is not installed")
                    .WithAction("install it: apt install openssh-client"));
  }
  std::vector<std::string> arguments = {program, "-T", "-e", "none"};
  // Of a socket over there that it may not connect to, it says so at this level.
  if (!remote_socket.empty()) arguments.insert(arguments.end(), {"-o", "LogLevel=INFO"});
  const auto options = SshOptions(target);
  arguments.insert(arguments.end(), options.begin(), options.end());
  SshPlace place;
  if (!remote_socket.empty()) {
    ASR_TRY(place, SshPlace::Make("/tmp"));
    arguments.insert(arguments.end(),
                     {"-o", "ExitOnForwardFailure=yes", "-o", "StreamLocalBindUnlink=yes", "-o",
                      "StreamLocalBindMask=0177", "-L",
                      fmt::format("{}:{}", place.path(), ForwardedPath(remote_socket))});
  }
  arguments.insert(arguments.end(), {"--", target.host, "exec sh"});
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return Fail(ErrnoError(errno, "cannot make a socket for ssh"));
  }
  FileDescriptor ours(ends[0]);
  const FileDescriptor theirs(ends[1]);
  ChildOptions child;
  child.input = child.output = theirs.get();
  ASR_TRY(auto process, ChildProcess::Start(arguments, child));
  return std::unique_ptr<SshLine>(
      new SshLine(target, std::move(process), std::move(ours), std::move(place)));
}

std::string SshLine::Said() const {
  std::string said = process_.ErrorText();
  // Whatever greeting came first.
  if (said.size() > kMostSaidBytes) said.erase(0, said.size() - kMostSaidBytes);
  std::erase(said, '\r');
  std::ranges::replace(said, '\n', ' ');
  return said;
}

// ssh that ends says why a moment later.
Error SshLine::Lost(const std::string& what) {
  static_cast<void>(process_.Wait(kEndPause));
  return SshError(target_, what, Said());
}

Status SshLine::WaitUntilReady() {
  if (is_ready_) return {};
  ASR_TRY(const Answer answer, Run(":"));
  is_ready_ = true;
  return {};
}

Status SshLine::Check() {
  ASR_TRY(const Answer answer, Run(":"));
  return {};
}

Status SshLine::Send(std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::send(channel_.get(), text.data(), text.size(), MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      return Fail(Lost(fmt::format("the ssh connection to {} {}", target_.Name(),
                                   is_ready_ ? "is lost" : "cannot be made")));
    }
    text.remove_prefix(static_cast<std::size_t>(count));
  }
  return {};
}

Status SshLine::Receive(steady_clock::time_point deadline) {
  const auto left = std::chrono::duration_cast<milliseconds>(deadline - steady_clock::now());
  struct pollfd waiting {
    .fd = channel_.get(), .events = POLLIN, .revents = 0
  };
  const int ready = ::poll(&waiting, 1, static_cast<int>(std::max(left.count(), 0L)));
  if (ready < 0 && errno == EINTR) return {};
  if (ready <= 0) return Fail(Lost(fmt::format("{} does not answer over ssh", target_.Name())));
  std::array<char, 64 * kKiB> piece;
  const ssize_t count = ::read(channel_.get(), piece.data(), piece.size());
  if (count < 0 && errno == EINTR) return {};
  if (count <= 0) {
    return Fail(Lost(fmt::format("the ssh connection to {} {}", target_.Name(),
                                 is_ready_ ? "is lost" : "cannot be made")));
  }
  received_.append(piece.data(), static_cast<std::size_t>(count));
  if (received_.size() <= kMostOutputBytes) return {};
  return Fail(Lost(fmt::format("{} says too much over ssh", target_.Name())));
}

// What a login shell says by itself comes before the first mark, and belongs to no command.
Result<SshLine::Answer> SshLine::Run(const std::string& command) {
  const auto deadline = steady_clock::now() + (is_ready_ ? kRunLimit : kReadyLimit);
  const std::string begin = fmt::format("<{}>\n", mark_);
  const std::string end = fmt::format("\n{} ", mark_);
  received_.clear();
  ASR_CHECK(
      Send(fmt::format("printf '<%s>\\n' {0}\n{{ {1}\n}} </dev/null\nprintf '\\n%s %d\\n' {0} $?\n",
                       mark_, command)));
  std::size_t searched = 0;
  while (true) {
    ASR_CHECK(Receive(deadline));
    const std::size_t found = received_.find(end, searched);
    searched = received_.size() - std::min(received_.size(), end.size());
    if (found == std::string::npos) continue;
    const std::size_t line_end = received_.find('\n', found + end.size());
    if (line_end == std::string::npos) {
      searched = found;
      continue;
    }
    const std::size_t start = received_.find(begin);
    if (start == std::string::npos) {
      return Fail(
          SshError(target_, fmt::format("{} has no shell that we know", target_.Name()), ""));
    }
    Answer answer;
    std::from_chars(received_.data() + found + end.size(), received_.data() + line_end,
                    answer.exit_code);
    const std::size_t from = start + begin.size();
    // Without any output, the line of the mark begins right there.
    if (found >= from) answer.output = received_.substr(from, found - from);
    received_.clear();
    return answer;
  }
}

}  // namespace asr
