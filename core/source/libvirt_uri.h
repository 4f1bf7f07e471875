// Where a libvirt is: on this machine, or on one that ssh leads to.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "storage/base/result.h"

namespace asr {

struct SshTarget {
  std::string host;  // never begins with '-'
  std::string user = {};
  std::uint16_t port = 0;        // 0: as ssh has it
  std::string key_file = {};     // absolute; empty: as ssh has it
  std::string known_hosts = {};  // the same
  bool is_not_verified = false;  // an unknown host key is taken
  std::string libvirt_socket{};  // over there; empty: the usual one
  bool operator==(const SshTarget&) const = default;
  // "root@kvm1", as a person would call it.
  [[nodiscard]] std::string Name() const;
  // The URI of its libvirt for programs over there.
  [[nodiscard]] std::string LibvirtThere() const;
};

// What of an URI libvirt is to hear: all but what is for ssh alone.
struct LibvirtUri {
  std::string text;
  std::optional<SshTarget> ssh;  // none: of this machine
};

// kUsage for what is neither qemu:///... nor qemu+ssh://[user@]host[:port]/system, or has a
// parameter that is not known, or a name or path that ssh would take for more than that.
[[nodiscard]] Result<LibvirtUri> ParseLibvirtUri(const std::string& uri);

}  // namespace asr
