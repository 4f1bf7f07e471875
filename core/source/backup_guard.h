// The guard of a backup job: a process of its own that undoes what we did to a VM when we cannot.
//
// It is started before the guest is frozen and the job begins, and is tied to us by a socket: its
// end without a farewell is our end. It thaws the guest, ends the job, and resumes a VM that QEMU
// paused because a scratch file found no room.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "storage/base/file_descriptor.h"
#include "storage/base/result.h"

namespace asr {

struct GuardOrders {
  std::string uri;
  std::string uuid;
  std::string socket_path;                    // by which the job is known to be ours
  std::vector<std::string> directories;       // of scratch files and change logs, on its machine
  std::vector<std::string> own_directories;   // of change logs, on this machine
  std::chrono::milliseconds stall_limit{0};   // nothing moves for so long: the job is ended
  std::chrono::milliseconds freeze_limit{0};  // the longest freeze of a guest
  std::uint64_t reserve_bytes = 0;            // 0: ReserveBytes of each file system
};

// So much of a file system stays free: a twentieth, at least 256 MiB and at most 4 GiB.
[[nodiscard]] std::uint64_t ReserveBytes(std::uint64_t file_system_bytes);

// The word that makes this program a guard.
inline constexpr const char* kBackupGuardWord = "backup-guard";

// Our end of it. Thread-safe.
class BackupGuard {
 public:
  // Starts `program` as RunBackupGuard. It is in a session of its own, and outlives us.
  [[nodiscard]] static Result<BackupGuard> Start(const std::string& program,
                                                 const GuardOrders& orders);
  BackupGuard(BackupGuard&& other) noexcept;
  BackupGuard& operator=(BackupGuard&&) = delete;
  // Without a Dismiss before it, it does its work.
  ~BackupGuard() = default;

  // Waits until it has a connection of its own to the VM. kBusy (kHostUnreachable) if it cannot;
  // kNoSpace if one of the directories has less than its reserve left.
  [[nodiscard]] Status WaitUntilReady();
  // Said before it is done. Both wait for an answer: nothing is frozen, and no job begins, that
  // nobody watches.
  [[nodiscard]] Status Freezing();
  [[nodiscard]] Status Beginning();
  // Said once it is done.
  [[nodiscard]] Status Thawed();
  // Before anything is read through the connection to the job's NBD server. QEMU that ends a job,
  // or stops the VM, waits for answers that are on their way, and the guest with it: for ever if we
  // are stopped. So the guard ends the connection before it does anything else.
  [[nodiscard]] Status Reading(int connection);
  // Something moved. Cheap, and never waits: at most ten times a second it is said.
  void Moved();
  // kBusy if it is gone, so that nobody watches the job any more.
  [[nodiscard]] Status Check();
  // The job has ended. A guest that was not thawed it goes on thawing.
  void Dismiss();

 private:
  explicit BackupGuard(FileDescriptor channel) : channel_(std::move(channel)) {}
  Status Say(char word);
  // Says it, and hears that the guard watches.
  Status Ask(char word);
  // nullopt: it is gone, or says nothing for too long.
  std::optional<char> Hear() const;

  std::mutex mutex_;
  FileDescriptor channel_;
  std::chrono::steady_clock::time_point last_moved_{};
  bool is_gone_ = false;
};

// The process itself: descriptors 0 and 1 are its end of the socket. Its exit code: 0 if it was
// dismissed, 1 if it had to act and did, 2 if it could not.
[[nodiscard]] int RunBackupGuard();

}  // namespace asr
