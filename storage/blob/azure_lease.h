// The right to write what lies under a name, held by a lease of Azure Blob Storage ("Lease Blob").
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "storage/blob/azure_client.h"
#include "storage/blob/azure_fence.h"
#include "storage/blob/blob_store.h"
#include "storage/fs/file_system.h"

namespace asr {

// Where this machine keeps the ids of the leases that it takes, so that a restart takes its own
// back at once; others wait until they expire.
struct LeaseKeeping {
  FileSystem& fs;
  std::string directory;  // made if missing; one for each container
  std::string owner;      // of the leases, for people on other machines: "host1"
};

// The blob of a lease: BlobStore::AcquireLease's name below a segment that no blob has.
[[nodiscard]] std::string LeaseBlob(const std::string& name);

// A thread of its own renews it every 15 s, and it is trusted until 45 s after the start of the
// last renewal that went well: 15 s before another can have it. Check renews one that was not
// renewed in time, as after a wait for a new credential: the service does that as long as nobody
// has taken it.
class AzureLease : public Lease {
 public:
  // kBusy (kLocked), naming the owner, if another process or handle has it.
  [[nodiscard]] static Result<std::unique_ptr<AzureLease>> Acquire(AzureClient& client,
                                                                   Clock& clock,
                                                                   const LeaseKeeping& keeping,
                                                                   const std::string& name);
  ~AzureLease() override;
  AzureLease(const AzureLease&) = delete;
  AzureLease& operator=(const AzureLease&) = delete;

  [[nodiscard]] Status Check() override;
  [[nodiscard]] bool IsFence() const override { return true; }
  [[nodiscard]] const std::shared_ptr<const LeaseFence>& fence() const { return fence_; }

 private:
  AzureLease(AzureClient& client, Clock& clock, std::string name, std::unique_ptr<FileLock> local,
             std::string id, double acquired_seconds);
  [[nodiscard]] Status RaiseFence(const std::string& owner);
  void RenewUntilStopped(const std::stop_token& stop);
  void Renew();
  [[nodiscard]] bool IsTrusted() const;
  [[nodiscard]] Error Lost() const;

  AzureClient& client_;
  Clock& clock_;
  const std::string name_;
  const std::unique_ptr<FileLock> local_;
  const std::string id_;
  std::shared_ptr<const LeaseFence> fence_;
  std::atomic<double> renewed_seconds_;  // start of the last renewal that went well
  std::atomic<bool> lost_ = false;
  std::mutex late_mutex_;  // held by the one of those who Check that renews
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::jthread renewal_;  // last: the others outlive it
};

}  // namespace asr
