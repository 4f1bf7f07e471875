// A vault as a whole: how well its VMs are protected now, and what needs attention.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/jobs/health.h"

namespace asr {

// Something a person should see to.
struct Attention {
  ReplicationHealth severity = ReplicationHealth::kWarning;
  std::string item;  // the VM's name; empty: of the vault
  Error error;       // with what to do
};

struct VmStatus {
  Item item;
  ItemStatus status;
};

struct VaultStatus {
  std::vector<VmStatus> vms;
  std::vector<Attention> attention;  // the gravest first
  std::vector<Job> running;          // of this machine, in this vault
  std::size_t failed_jobs = 0;       // of the last day, and nothing like them has succeeded since

  // The gravest of all; kNormal if nothing needs attention.
  [[nodiscard]] ReplicationHealth health() const;
  // How many VMs are protected, or about to be, and in this health.
  [[nodiscard]] std::size_t Count(ReplicationHealth health) const;
  // The largest RPO; nullopt if no VM has one.
  [[nodiscard]] std::optional<std::chrono::milliseconds> worst_rpo() const;
  // Of all VMs; nullopt if no VM has any.
  [[nodiscard]] std::optional<std::uint64_t> backlog_bytes() const;
};

// Reads every item's documents, this machine's jobs and test failovers. A document that cannot be
// read is something to attend to, and hides no other.
[[nodiscard]] Result<VaultStatus> GatherVaultStatus(Environment& environment, Vault& vault);

}  // namespace asr
