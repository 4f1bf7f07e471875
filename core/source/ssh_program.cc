#include "core/source/ssh_program.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "core/source/ssh_line.h"
#include "storage/base/file_descriptor.h"
#include "storage/base/text.h"

namespace asr {
namespace {

bool RunsPrograms(const char* directory) {
  struct statvfs system {};
  return ::statvfs(directory, &system) == 0 && (system.f_flag & ST_NOEXEC) == 0 &&
         ::access(directory, W_OK | X_OK) == 0;
}

}  // namespace

Result<SshProgram> SshProgram::Write(const SshTarget& target) {
  std::string script = "#!/bin/sh\nexec ssh";
  for (const std::string& option : SshOptions(target)) script += " " + ShellQuote(option);
  script += " \"$@\"\n";
  for (const char* place : {"/tmp", "/var/tmp", "/dev/shm"}) {
    if (!RunsPrograms(place)) continue;
    std::string directory = std::string(place) + "/asr-ssh-XXXXXX";
    if (::mkdtemp(directory.data()) == nullptr) continue;
    SshProgram program(directory + "/ssh");
    // What another thread starts meanwhile must not have it open for writing.
    FileDescriptor file(
        ::open(program.path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700));
    const ssize_t count = ::write(file.get(), script.data(), script.size());
    file = FileDescriptor();
    if (count == static_cast<ssize_t>(script.size())) return program;
  }
  return Fail(MakeError(ErrorKind::kIo, ErrorCode::kIo,
                        "no directory for temporary files lets a program be written and run")
                  .WithCause("/tmp, /var/tmp and /dev/shm are full, or mounted with noexec")
                  .WithAction("make room, or mount one of them without noexec"));
}

SshProgram::~SshProgram() {
  if (path_.empty()) return;
  ::unlink(path_.c_str());
  ::rmdir(std::filesystem::path(path_).parent_path().c_str());
}

}  // namespace asr
