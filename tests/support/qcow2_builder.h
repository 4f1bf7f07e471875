// Builds qcow2 files for tests from QEMU's docs/interop/qcow2.txt. It shares nothing with the
// reader that it tests.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "storage/base/bytes.h"

namespace asr::testing {

// Header, refcounts, and a table that maps `clusters`: with none of them, an empty one.
class Qcow2Builder {
 public:
  static constexpr std::uint32_t kBackingFormat = 0xE2792ACA;
  static constexpr std::uint32_t kDataFile = 0x44415441;

  std::uint32_t version = 3;
  std::uint32_t cluster_bits = 16;
  std::uint64_t disk_bytes = 64 * kMiB;
  std::uint32_t encryption = 0;
  std::uint64_t incompatible_features = 0;
  std::uint32_t refcount_order = 4;  // version 3 only
  std::string backing_path;
  std::vector<std::pair<std::uint32_t, std::string>> extensions;
  std::map<std::uint64_t, std::byte> clusters;  // of the disk, by their numbers: filled with it

  // Names a backing file with its format.
  void SetBacking(const std::string& path, const std::string& format);
  // Clusters: header, refcount table, refcount block, L1 table (one cluster at most); then the L2
  // tables, and the clusters of the disk.
  [[nodiscard]] std::vector<std::byte> Bytes() const;
  void Write(const std::string& path) const;
};

}  // namespace asr::testing
