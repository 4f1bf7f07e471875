#include "core/source/ssh_program.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>

#include "core/source/ssh_line.h"
#include "storage/base/file_descriptor.h"
#include "storage/base/text.h"

namespace asr {
namespace {

constexpr int kMostLooks = 500;
constexpr std::chrono::milliseconds kLookPause{10};

bool RunsPrograms(const char* directory) {
  struct statvfs system {};
  return ::statvfs(directory, &system) == 0 && (system.f_flag & ST_NOEXEC) == 0 &&
         ::access(directory, W_OK | X_OK) == 0;
}

// What another thread has forked meanwhile holds the file open for writing until its own exec, and
// the kernel runs none of these (ETXTBSY). A lease for reading is only given where nobody writes.
void WaitUntilNobodyWrites(const std::string& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  for (int i = 0; i < kMostLooks; ++i) {
    if (::fcntl(file.get(), F_SETLEASE, F_RDLCK) == 0) {
      ::fcntl(file.get(), F_SETLEASE, F_UNLCK);
      return;
    }
    if (errno != EAGAIN) return;  // a file system without leases
    std::this_thread::sleep_for(kLookPause);
  }
}

}  // namespace

Result<SshProgram> SshProgram::Write(const SshTarget& target) {
  std::string script = "#!/bin/sh\nexec ssh";
  for (const std::string& option : SshOptions(target)) script += " " + ShellQuote(option);
  script += " \"$@\"\n";
  for (const char* place : {"/tmp", "/var/tmp", "/dev/shm"}) {
    if (!RunsPrograms(place)) continue;
    auto made = SshPlace::Make(place);
    if (!made) continue;
    SshProgram program(*std::move(made));
    FileDescriptor file(
        ::open(program.path().c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700));
    const ssize_t count = ::write(file.get(), script.data(), script.size());
    file = FileDescriptor();
    if (count != static_cast<ssize_t>(script.size())) continue;
    WaitUntilNobodyWrites(program.path());
    return program;
  }
  return Fail(MakeError(ErrorKind::kIo, ErrorCode::kIo,
                        "no directory for temporary files lets a program be written and run")
                  .WithCause("/tmp, /var/tmp and /dev/shm are full, or mounted with noexec")
                  .WithAction("make room, or mount one of them without noexec"));
}

}  // namespace asr
