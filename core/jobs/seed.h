// Seeds: copies of a VM's disks that lie somewhere already, with which its initial replication
// begins, so that only what differs has to come from the VM.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/jobs/environment.h"
#include "core/jobs/job_run.h"
#include "core/model/item.h"
#include "core/model/plan.h"
#include "core/points/seal.h"
#include "core/vault/vault.h"
#include "storage/image/disk.h"

namespace asr {

struct SeedRequest {
  // Each an image's path, file:///path or the URL of a page blob; "DISK=" before it names the disk
  // that it is a copy of, which a VM with one disk can do without.
  std::vector<std::string> seeds = {};
  // By name, of seeds with a URL; empty: the environment's, the vault's where they are of one
  // account, or what the variables say.
  std::string credential = {};
};

struct Seed {
  DiskName disk;
  std::string place;              // as people gave it
  std::unique_ptr<Disk> content;  // of the disk's size; errors name the seed and the offset
  // Of `content`, where the vault's service may copy from it by itself; else null.
  CopyOrigin* origin = nullptr;
};

// What can be told before anything is opened: kUsage for schemes that are none of seeds, and for a
// URL with a secret in it.
[[nodiscard]] Status CheckSeedPlaces(const SeedRequest& request);

// Opens and checks them; changes nothing. kUsage if one cannot be meant for a disk of the item, or
// has a secret in its URL; kNotFound if there is no such disk or no such seed; kUnsupported
// (kImageUnsupported) if its size is not the disk's (or that of the disk's replica, which is padded
// to a whole MiB), or if it is part of what will be written. Otherwise the errors of OpenDisk and
// OpenVhdBlob.
[[nodiscard]] Result<std::vector<Seed>> OpenSeeds(Environment& environment, Vault& vault,
                                                  const Item& item, const SeedRequest& request);

// "Seed disk", with the bytes that are read.
[[nodiscard]] Result<std::vector<PlanStep>> PlanSeeds(const Item& item,
                                                      const std::vector<Seed>& seeds);

// One task a seed: "Seed disk root". Fills what the replica does not hold yet; what an earlier run
// brought, from the seed or the VM, stays. It counts as bytes_seeded alone: the other figures are
// of the VM's disks.
[[nodiscard]] Status FillFromSeeds(Environment& environment, const Vault& vault,
                                   const Replicas& replicas, const std::vector<Seed>& seeds,
                                   JobRun& run);

}  // namespace asr
