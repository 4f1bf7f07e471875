#include "core/source/end_backup.h"

#include <algorithm>
#include <thread>

#include <fmt/format.h>

#include "core/source/domain_xml.h"

namespace asr {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kFirstPause{2};
constexpr milliseconds kLongestPause{200};

Result<bool> HasJobOf(const LibvirtDomain& domain, const std::string& socket_path) {
  ASR_TRY(const auto job, domain.BackupXml());
  return job && SocketOfBackup(*job) == socket_path;
}

}  // namespace

Result<bool> EndBackupOfSocket(LibvirtDomain& domain, const std::string& socket_path,
                               milliseconds limit) {
  ASR_TRY(bool has_job, HasJobOf(domain, socket_path));
  if (!has_job) return true;
  ASR_CHECK(domain.EndBackup());
  const auto start = steady_clock::now();
  for (milliseconds pause = kFirstPause;; pause = std::min(2 * pause, kLongestPause)) {
    ASR_TRY(has_job, HasJobOf(domain, socket_path));
    if (!has_job || steady_clock::now() - start >= limit) return !has_job;
    std::this_thread::sleep_for(pause);
  }
}

Status EndBackupOfSocket(LibvirtDomain& domain, const std::string& socket_path) {
  ASR_TRY(const bool has_ended, EndBackupOfSocket(domain, socket_path, kEndOfBackupLimit));
  if (has_ended) return {};
  return Fail(
      MakeError(ErrorKind::kBusy, ErrorCode::kVmBusy,
                fmt::format("libvirt does not end the backup job of VM {}", domain.name()))
          .WithCause("its thread for QEMU's events waits for something else")
          .WithAction(fmt::format(
              "look at it: virsh domjobinfo {}; then run the same command again", domain.name()))
          .Retryable());
}

}  // namespace asr
