// A disk in memory: the plain model that everything else is compared with.
#pragma once

#include <functional>
#include <map>
#include <random>
#include <vector>

#include "storage/image/disk.h"

namespace asr::testing {

class MemoryDisk : public Disk {
 public:
  explicit MemoryDisk(std::uint64_t size_bytes) : bytes_(size_bytes) {}

  std::vector<std::byte>& bytes() { return bytes_; }
  const std::vector<std::byte>& bytes() const { return bytes_; }

  // Called before each read; an error of it is the read's.
  std::function<Status(Extent)> before_read = [](Extent) { return Status(); };

  // Writes random bytes, zeros, or a copy of what stands elsewhere: one random change.
  void ChangeSomething(std::mt19937_64& random);

  ImageFormat format() const override { return ImageFormat::kRaw; }
  std::uint64_t size_bytes() const override { return bytes_.size(); }
  std::uint32_t logical_sector_bytes() const override { return 512; }
  Status Read(std::uint64_t offset_bytes, MutableByteSpan out) const override;
  // Runs of 4 KiB blocks that are not all zeros.
  Result<std::vector<Extent>> AllocatedExtents(Extent range) const override;
  std::vector<BackingFile> files() const override { return {}; }

 private:
  std::vector<std::byte> bytes_;
};

// All of a disk's bytes.
[[nodiscard]] std::vector<std::byte> ReadAll(const Disk& disk);

}  // namespace asr::testing
