// Another machine, by the ssh client of this one: a shell there, and one of its Unix sockets here.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/source/libvirt_uri.h"
#include "core/source/ssh_place.h"
#include "storage/base/child_process.h"
#include "storage/base/result.h"

namespace asr {

// What every ssh of ours is told: it never asks, soon notices that nobody answers, and is nobody's
// master. Without the program's name, and without the host.
[[nodiscard]] std::vector<std::string> SshOptions(const SshTarget& target);

// What went wrong, from what ssh, or libvirt's, has said. kBusy (kHostUnreachable); retryable
// unless it is about keys.
[[nodiscard]] Error SshError(const SshTarget& target, const std::string& what,
                             const std::string& said);

// `stem` and random digits: nobody on the other machine has a directory of that name.
[[nodiscard]] std::string RandomPlace(std::string_view stem);

// The exit code of a shell for a program that is not there.
inline constexpr int kNoSuchProgram = 127;

// One ssh process. It ends with this object, and with our process however that ends; what it runs
// on the other machine ends with it. For one thread at a time.
class SshLine {
 public:
  // Returns before it is connected. With `remote_socket`, socket_path() leads there: several
  // connections at once, all encrypted, none over TCP. No other user can reach it.
  [[nodiscard]] static Result<std::unique_ptr<SshLine>> Start(const SshTarget& target,
                                                              const std::string& remote_socket);
  ~SshLine() = default;
  SshLine(const SshLine&) = delete;
  SshLine& operator=(const SshLine&) = delete;

  // Errors of all that follows are those of SshError.
  [[nodiscard]] Status WaitUntilReady();

  struct Answer {
    int exit_code = 0;
    std::string output;  // of its stdout, any bytes
  };
  // A command line for a POSIX shell; words of it that come from elsewhere are quoted (ShellQuote).
  // It has no input. kBusy too if it does not end in time, or says more than 128 MiB.
  [[nodiscard]] Result<Answer> Run(const std::string& command);
  // The other machine answers.
  [[nodiscard]] Status Check();

  // The end of what ssh has said on its stderr, in one line.
  [[nodiscard]] std::string Said() const;

  [[nodiscard]] const std::string& socket_path() const { return place_.path(); }
  // Those who are connected stay so; its name goes, so that nothing is left if we are killed.
  void HideSocket() { place_.Remove(); }

 private:
  SshLine(SshTarget target, ChildProcess process, FileDescriptor channel, SshPlace place);
  Error Lost(const std::string& what);
  Status Send(std::string_view text);
  // Appends what comes; kBusy if nothing does until then.
  Status Receive(std::chrono::steady_clock::time_point deadline);

  SshTarget target_;
  ChildProcess process_;
  FileDescriptor channel_;  // the shell's input and output
  SshPlace place_;          // of its socket here
  std::string mark_;        // ends each answer; random, so that no output holds it
  std::string received_;    // and not used yet
  bool is_ready_ = false;
};

}  // namespace asr
