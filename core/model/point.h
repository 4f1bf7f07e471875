// A recovery point: the disks of a VM at one instant.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/model/ids.h"
#include "core/model/virtual_machine.h"
#include "storage/base/checksum.h"
#include "storage/base/clock.h"
#include "storage/base/result.h"

namespace asr {

enum class Consistency : std::uint8_t { kCrash, kApp };
[[nodiscard]] std::string_view ConsistencyName(Consistency consistency);  // "crash", "app"
[[nodiscard]] std::optional<Consistency> ParseConsistency(std::string_view name);

struct PointDisk {
  DiskName name;
  std::string format;  // of the source image
  std::uint64_t size_bytes = 0;
  std::uint32_t logical_sector_bytes = 512;
  Bits128 log = {};        // id of the last change log that brought it here; zeros: there was none
  std::string image = {};  // on the host, in which the point's checkpoint is; empty: there is none
  bool operator==(const PointDisk&) const = default;
};

// A picture of a guest's screen, beside the proof that names it.
struct Screenshot {
  std::string path;  // name of its blob: a PNG
  std::uint64_t size_bytes = 0;
  std::string sha256;  // 64 hex digits
  bool operator==(const Screenshot&) const = default;
};

// What was proved of a point; merged from its proof documents.
struct Proof {
  std::optional<Timestamp> verified_at = {};
  std::optional<bool> booted = {};
  std::optional<double> boot_seconds = {};
  std::string sign_of_life = {};  // what was seen, in words
  std::optional<Timestamp> tested_at = {};
  std::string notes = {};
  std::optional<Screenshot> screenshot = {};
  bool operator==(const Proof&) const = default;
};

// A UEFI's variables as the hypervisor keeps them in a file: boot entries, keys of secure boot.
struct FirmwareVariables {
  std::string format;  // "raw", "qcow2"
  std::uint64_t size_bytes = 0;
  std::string sha256;   // 64 hex digits
  std::string content;  // of the file; empty once it is in a blob of its own
  bool operator==(const FirmwareVariables&) const = default;
};

// Never changed once sealed. The id names the snapshots of all its blobs too.
struct RecoveryPoint {
  PointId id;
  Timestamp time{};
  Consistency consistency = Consistency::kCrash;
  ItemId item;
  std::uint64_t epoch = 1;
  GenerationId generation;
  std::optional<PointId> parent;
  std::vector<PointDisk> disks;
  std::uint64_t changed_bytes = 0;  // sent or cleared since the parent
  MachineSettings settings;
  // Of the source: where its hypervisor notes changes since this point under a name of ours, that
  // name. Empty: the next delta compares the disks.
  std::string checkpoint = {};
  std::optional<FirmwareVariables> firmware = {};
  // How long the guest's file systems were frozen for it; none: they were not.
  std::optional<std::chrono::milliseconds> frozen = {};
  bool operator==(const RecoveryPoint&) const = default;
};

// Which point is meant: "latest", "latest-processed", "latest-app", an id, or a time.
struct PointSelector {
  enum class Kind : std::uint8_t { kLatest, kLatestApp, kId, kTime };
  Kind kind = Kind::kLatest;
  PointId id;
  Timestamp not_after{};
};
// kUsage if it is none of them.
[[nodiscard]] Result<PointSelector> ParsePointSelector(const std::string& text);

}  // namespace asr
