#include "core/source/libvirt_uri.h"

#include <algorithm>
#include <charconv>
#include <string_view>

#include <fmt/format.h>

#include "storage/http/url.h"

namespace asr {
namespace {

constexpr std::string_view kLocal = "qemu:///";
constexpr std::string_view kRemote = "qemu+ssh://";

Error Unusable(const std::string& uri, const std::string& why) {
  return MakeError(ErrorKind::kUsage, ErrorCode::kUsage, fmt::format("--uri {}: {}", uri, why))
      .WithAction(
          "give qemu:///system, or of another machine qemu+ssh://[USER@]HOST[:PORT]/system, with "
          "?keyfile=, known_hosts= and no_verify=1 as needed");
}

bool IsWordOf(std::string_view text, std::string_view others) {
  return !text.empty() && text.front() != '-' && std::ranges::all_of(text, [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           others.find(c) != std::string_view::npos;
  });
}

// ssh puts other things in the place of %h, ~ and ${HOME}, and takes a list where a space is.
bool IsPlainPath(std::string_view path) {
  return path.starts_with('/') && IsWordOf(path.substr(1), "/._-+@,=:");
}

Status TakePort(std::string_view digits, SshTarget& target) {
  const char* const end = digits.data() + digits.size();
  const auto [rest, problem] = std::from_chars(digits.data(), end, target.port);
  if (problem == std::errc() && rest == end && target.port != 0) return {};
  return Fail(ErrorKind::kUsage, ErrorCode::kUsage, "the port is none");
}

// [user@]host[:port]
Status TakeAuthority(std::string_view authority, SshTarget& target) {
  const auto refuse = [](const char* why) {
    return Fail(ErrorKind::kUsage, ErrorCode::kUsage, why);
  };
  if (const std::size_t at = authority.rfind('@'); at != std::string_view::npos) {
    target.user = PercentDecode(authority.substr(0, at));
    if (!IsWordOf(target.user, "._-")) return refuse("that is no name of a user");
    authority.remove_prefix(at + 1);
  }
  std::size_t end = authority.find(':');
  if (authority.starts_with('[')) {
    end = authority.find(']');
    if (end == std::string_view::npos) return refuse("that is no name of a machine");
    target.host = authority.substr(1, end - 1);
    if (!IsWordOf(target.host, ":.")) return refuse("that is no address of a machine");
    ++end;
  } else {
    target.host = authority.substr(0, end);
    if (!IsWordOf(target.host, "._-")) return refuse("that is no name of a machine");
  }
  authority.remove_prefix(std::min(end, authority.size()));
  if (authority.empty()) return {};
  if (authority.front() != ':') return refuse("that is no name of a machine");
  return TakePort(authority.substr(1), target);
}

// What libvirt hears: `no_tty`, so that nobody is ever asked for a password.
Status TakeParameter(std::string_view name, const std::string& value, LibvirtUri& uri) {
  SshTarget& ssh = *uri.ssh;
  const auto take_path = [&](std::string& path) -> Status {
    path = value;
    if (IsPlainPath(path)) return {};
    return Fail(ErrorKind::kUsage, ErrorCode::kUsage,
                fmt::format("{} needs an absolute path without spaces", name));
  };
  if (name == "no_tty") return {};
  if (name == "known_hosts") return take_path(ssh.known_hosts);
  if (name == "keyfile") {
    ASR_CHECK(take_path(ssh.key_file));
  } else if (name == "no_verify") {
    ssh.is_not_verified = value == "1";
    if (value != "0" && value != "1") {
      return Fail(ErrorKind::kUsage, ErrorCode::kUsage, "no_verify is 0 or 1");
    }
  } else if (name == "socket") {
    ASR_CHECK(take_path(ssh.libvirt_socket));
  } else if (name != "mode" && name != "proxy" && name != "netcat") {
    return Fail(ErrorKind::kUsage, ErrorCode::kUsage,
                fmt::format("'{}' is no parameter that can be used here", name));
  }
  uri.text += fmt::format("&{}={}", name, PercentEncode(value, "/"));
  return {};
}

Result<LibvirtUri> ParseRemote(std::string_view rest) {
  const std::size_t slash = rest.find('/');
  const std::size_t question = std::min(rest.find('?'), rest.size());
  if (slash > question || rest.substr(slash, question - slash) != "/system") {
    return Fail(ErrorKind::kUsage, ErrorCode::kUsage, "it does not end with /system");
  }
  LibvirtUri uri{.text = fmt::format("{}{}?no_tty=1", kRemote, rest.substr(0, question)),
                 .ssh = SshTarget{}};
  ASR_CHECK(TakeAuthority(rest.substr(0, slash), *uri.ssh));
  rest.remove_prefix(std::min(question + 1, rest.size()));
  while (!rest.empty()) {
    const std::string_view pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(pair.size() + 1, rest.size()));
    if (pair.empty()) continue;
    const std::size_t equals = std::min(pair.find('='), pair.size());
    const std::string value = PercentDecode(pair.substr(std::min(equals + 1, pair.size())));
    ASR_CHECK(TakeParameter(pair.substr(0, equals), value, uri));
  }
  return uri;
}

}  // namespace

std::string SshTarget::Name() const { return user.empty() ? host : user + "@" + host; }

std::string SshTarget::LibvirtThere() const {
  const std::string usual = "qemu:///system";
  return libvirt_socket.empty() ? usual : usual + "?socket=" + PercentEncode(libvirt_socket, "/");
}

Result<LibvirtUri> ParseLibvirtUri(const std::string& uri) {
  if (uri.starts_with(kLocal)) return LibvirtUri{.text = uri, .ssh = std::nullopt};
  if (!uri.starts_with(kRemote)) {
    return Fail(Unusable(uri, "that is no libvirt with QEMU, here or behind ssh"));
  }
  auto parsed = ParseRemote(std::string_view(uri).substr(kRemote.size()));
  if (!parsed) return Fail(Unusable(uri, parsed.error().message));
  return parsed;
}

}  // namespace asr
