// What libvirt starts as its ssh.
#pragma once

#include <string>
#include <utility>

#include "core/source/libvirt_uri.h"
#include "core/source/ssh_place.h"
#include "storage/base/result.h"

namespace asr {

// libvirt's own ssh knows no other file of host keys, and would wait for a dead machine for ever:
// a script with our options, there as long as this object. A connection needs it only at its begin.
class SshProgram {
 public:
  // kIo where no directory for temporary files lets programs run.
  [[nodiscard]] static Result<SshProgram> Write(const SshTarget& target);
  [[nodiscard]] const std::string& path() const { return place_.path(); }

 private:
  explicit SshProgram(SshPlace place) : place_(std::move(place)) {}
  SshPlace place_;
};

}  // namespace asr
