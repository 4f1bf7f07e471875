// The header of a qcow2 image, as far as it decides which files QEMU would open for it. It is read
// by us first, for a header that nobody checked can make QEMU read any file of the host.
// QEMU's docs/interop/qcow2.txt describes the format.
#pragma once

#include <cstdint>
#include <string>

#include "storage/base/bytes.h"
#include "storage/base/result.h"

namespace asr {

inline constexpr std::uint64_t kQcow2MostClusterBytes = 2 * kMiB;

struct Qcow2Header {
  std::uint32_t version = 0;
  std::uint64_t cluster_bytes = 0;
  std::uint64_t disk_bytes = 0;
  std::string backing_path;           // as written, a plain path; empty: it stands alone
  std::string backing_format;         // "raw" or "qcow2"
  std::uint64_t l1_offset_bytes = 0;  // of the table from which all of the disk is mapped
  std::uint64_t l1_bytes = 0;
  bool has_extended_l2 = false;  // entries of 16 bytes: a cluster is made of 32 subclusters
  std::uint64_t refcount_table_offset_bytes = 0;
  std::uint64_t refcount_table_bytes = 0;
  bool is_dirty = false;  // its writer was killed, and its refcounts may be behind
};

// `start` is the file's start: kQcow2MostClusterBytes, or all of a file that is shorter.
// Errors: kCorrupt; kUnsupported for what we do not let QEMU open: an external data file,
// encryption, features we do not know, a backing file that is not a plain path of a named format.
[[nodiscard]] Result<Qcow2Header> ParseQcow2Header(ByteSpan start);

}  // namespace asr
