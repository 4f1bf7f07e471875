#include "core/points/verify_point.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/points/disk_comparison.h"
#include "core/vault/disk_replica.h"
#include "core/vault/layout.h"

namespace asr {
namespace {

// Errors of what the vault stores, in contrast to those of getting at it.
bool IsOfStoredBytes(const Error& error) {
  return error.kind == ErrorKind::kCorrupt || error.kind == ErrorKind::kNotFound ||
         (error.kind == ErrorKind::kIo && error.code == ErrorCode::kIo);
}

bool HasSnapshotBetween(const std::vector<SnapshotId>& snapshots, const PointId& older,
                        const PointId& newer) {
  return std::ranges::any_of(snapshots, [&](const SnapshotId& snapshot) {
    return snapshot.value > older.value && snapshot.value < newer.value;
  });
}

}  // namespace

std::string DiskDamage::Text() const {
  std::string text = disk.value.empty() ? "" : fmt::format("disk {}: ", disk.value);
  if (chunk_count > 0) {
    text += fmt::format("{} {} of 64 KiB {} not hold what was replicated, the first at offset {}",
                        chunk_count, chunk_count == 1 ? "chunk" : "chunks",
                        chunk_count == 1 ? "does" : "do", first_offset);
  }
  if (!problem.empty()) text += (chunk_count > 0 ? "; " : "") + problem;
  return text;
}

PointVerifier::PointVerifier(Vault& vault, const Item& item, VerifyOptions options)
    : vault_(vault), item_(item), options_(std::move(options)) {}

PointVerifier::~PointVerifier() = default;

Result<std::vector<DiskDamage>> PointVerifier::Verify(const RecoveryPoint& point) {
  std::vector<DiskDamage> damaged;
  for (const PointDisk& disk : point.disks) {
    ASR_TRY(DiskDamage damage, VerifyDisk(point, disk));
    if (!damage.is_whole()) damaged.push_back(std::move(damage));
  }
  if (!point.firmware) return damaged;
  const auto firmware = vault_.ReadFirmware(point);
  if (firmware) return damaged;
  const bool is_damage = IsOfStoredBytes(firmware.error()) && !IsNotFound(firmware.error());
  if (!is_damage) return Fail(firmware.error());
  damaged.push_back({.disk = {}, .problem = firmware.error().message});
  return damaged;
}

Result<DiskDamage> PointVerifier::VerifyDisk(const RecoveryPoint& point, const PointDisk& disk) {
  DiskDamage damage{.disk = disk.name};
  std::unique_ptr<SealedDisk> sealed;
  const auto item_disk = std::ranges::find(item_.disks, disk.name, &ItemDisk::name);
  const auto compare = [&](const SealedDisk* newer) -> Status {
    ASR_TRY(sealed, SealedDisk::Open(vault_, point, disk));
    damage = {.disk = disk.name};
    if (item_disk == item_.disks.end()) {
      damage.problem = "the item's document does not name it";
      return {};
    }
    ItemDisk shape = *item_disk;
    shape.size_bytes = disk.size_bytes;
    return DiskComparison(*sealed, newer, vault_.identity().algorithm, options_)
        .Run(FooterOf(item_, shape), damage);
  };
  const SealedDisk* const newer = NewerOf(point, disk);
  Status compared = compare(newer);
  // Retention may have taken the newer one away.
  if (!compared && newer != nullptr && IsNotFound(compared.error())) {
    compared = compare(nullptr);
  }
  verified_.erase(disk.name);
  if (compared) {
    if (damage.is_whole()) verified_[disk.name] = {point.id, std::move(sealed)};
    return damage;
  }
  if (!IsOfStoredBytes(compared.error())) return Fail(std::move(compared).error());
  ASR_CHECK(RequireStillThere(point));
  if (damage.problem.empty()) damage.problem = compared.error().Line();
  return damage;
}

// A point's document goes before its snapshots do.
Status PointVerifier::RequireStillThere(const RecoveryPoint& point) {
  const auto still = vault_.ReadPoint(item_.id, point.id);
  if (still || !IsNotFound(still.error())) return {};
  return Fail(
      ErrorKind::kNotFound, ErrorCode::kPointNotFound,
      fmt::format("recovery point {} of VM {} was removed meanwhile", point.id.value, item_.name));
}

const SealedDisk* PointVerifier::NewerOf(const RecoveryPoint& point, const PointDisk& disk) {
  const auto found = verified_.find(disk.name);
  if (found == verified_.end() || found->second.point <= point.id) return nullptr;
  for (const std::string& blob :
       {layout::DiskBlob(item_.id, disk.name), layout::DigestBlob(item_.id, disk.name)}) {
    const auto snapshots = vault_.store().ListSnapshots(blob);
    if (!snapshots || HasSnapshotBetween(*snapshots, point.id, found->second.point)) return nullptr;
  }
  return found->second.disk.get();
}

std::map<DiskName, std::uint64_t> PointVerifier::BytesToRead(const RecoveryPoint& point) {
  std::map<DiskName, std::uint64_t> bytes;
  for (const PointDisk& disk : point.disks) {
    std::uint64_t& of_disk = bytes[disk.name];
    const auto sealed = SealedDisk::Open(vault_, point, disk);
    if (!sealed) continue;
    const auto sum =
        DiskComparison(**sealed, NewerOf(point, disk), vault_.identity().algorithm, options_)
            .BytesToRead();
    of_disk = sum.value_or(0);
  }
  return bytes;
}

void PointVerifier::Assume(const RecoveryPoint& point) {
  verified_.clear();
  for (const PointDisk& disk : point.disks) {
    auto sealed = SealedDisk::Open(vault_, point, disk);
    if (sealed) verified_[disk.name] = {point.id, *std::move(sealed)};
  }
}

}  // namespace asr
