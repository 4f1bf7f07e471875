// Reads the bytes of sealed recovery points and compares them with what their documents and digests
// say.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "core/model/item.h"
#include "core/model/point.h"
#include "core/points/sealed_disk.h"
#include "core/vault/vault.h"

namespace asr {

struct VerifyOptions {
  // Groups in flight, each with a thread that reads and digests it through a buffer of 1 MiB.
  int groups_in_flight = 16;
  // Called with the bytes read from the vault since the last call, from several threads.
  std::function<void(std::uint64_t)> on_read = [](std::uint64_t) {};
  std::stop_token stop = {};
};

// What is wrong with one disk of a point.
struct DiskDamage {
  DiskName disk;  // empty: it is about the firmware's variables
  // Chunks that do not hold what was replicated, and the disk's offset of the first of them.
  std::uint64_t chunk_count = 0;
  std::uint64_t first_offset = 0;
  // What else is wrong, first: with its digests, padding, footer, or the reading; empty: nothing.
  std::string problem = {};

  [[nodiscard]] bool is_whole() const { return chunk_count == 0 && problem.empty(); }
  // "disk root: 3 chunks of 64 KiB ..."
  [[nodiscard]] std::string Text() const;
};

// Points of one item, one after the other: the newest first. What a point shares with the one
// before it, which was found whole, is not read again; so all points together cost little more
// than the bytes that the vault stores.
class PointVerifier {
 public:
  // `vault` and `item` outlive this.
  PointVerifier(Vault& vault, const Item& item, VerifyOptions options);
  ~PointVerifier();

  // Disks that are damaged; none: all of the point's bytes are those that were replicated. The
  // caller has pinned the point. kNotFound (kPointNotFound) if it was removed meanwhile; kCancelled
  // after a stop.
  [[nodiscard]] Result<std::vector<DiskDamage>> Verify(const RecoveryPoint& point);

  // What Verify would read now, disk by disk. Of a disk that cannot be opened: nothing.
  [[nodiscard]] std::map<DiskName, std::uint64_t> BytesToRead(const RecoveryPoint& point);
  // Goes on as if Verify had found the point whole: for plans.
  void Assume(const RecoveryPoint& point);

 private:
  struct Verified {
    PointId point;
    std::unique_ptr<SealedDisk> disk;
  };

  [[nodiscard]] Result<DiskDamage> VerifyDisk(const RecoveryPoint& point, const PointDisk& disk);
  // The disk as a newer point has it, which was verified, if no snapshot lies between the two.
  [[nodiscard]] const SealedDisk* NewerOf(const RecoveryPoint& point, const PointDisk& disk);
  [[nodiscard]] Status RequireStillThere(const RecoveryPoint& point);

  Vault& vault_;
  const Item& item_;
  VerifyOptions options_;
  std::map<DiskName, Verified> verified_;
};

}  // namespace asr
