// A disk that another program's QEMU shows over NBD, on a Unix socket.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "storage/image/disk.h"
#include "storage/image/nbd_pool.h"

namespace asr {

struct NbdDiskOptions {
  std::string socket_path;
  std::string export_name;
  std::string bitmap = {};  // dirty bitmap of the export; empty: none is asked for
  std::string image_path;   // what is said of it in errors
  ImageFormat format = ImageFormat::kRaw;
  std::uint32_t logical_sector_bytes = 512;
  std::function<void()> on_read = [] {};  // called before each read, by several threads
  // With the socket of each connection, before anything is read. An error fails the opening.
  std::function<Status(int)> on_connect = [](int) { return Status(); };
};

class NbdDisk : public Disk {
 public:
  // kIo if nobody answers; kUnsupported without libnbd, or if the export has no such bitmap.
  [[nodiscard]] static Result<std::unique_ptr<NbdDisk>> Open(const NbdDiskOptions& options);

  [[nodiscard]] ImageFormat format() const override { return options_.format; }
  [[nodiscard]] std::uint64_t size_bytes() const override { return size_bytes_; }
  [[nodiscard]] std::uint32_t logical_sector_bytes() const override {
    return options_.logical_sector_bytes;
  }
  [[nodiscard]] Status Read(std::uint64_t offset_bytes, MutableByteSpan out) const override;
  [[nodiscard]] Result<std::vector<Extent>> AllocatedExtents(Extent range) const override;
  // None: nothing on this machine need have its content.
  [[nodiscard]] std::vector<BackingFile> files() const override { return {}; }
  [[nodiscard]] std::vector<ImageDescription> Describe() const override;

  // What the bitmap has as dirty. Only with one. Clipped to the disk.
  [[nodiscard]] Result<std::vector<Extent>> DirtyExtents(Extent range) const;

 private:
  explicit NbdDisk(NbdDiskOptions options) : options_(std::move(options)) {}
  Error InThisDisk(Error error) const;
  Extent Clip(Extent range) const;

  NbdDiskOptions options_;
  std::uint64_t size_bytes_ = 0;
  mutable NbdPool pool_;
  mutable NbdPool bitmap_;
};

}  // namespace asr
