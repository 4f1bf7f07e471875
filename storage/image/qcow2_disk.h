// qcow2, alone or with its backing files, read through QEMU.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "storage/image/disk.h"
#include "storage/image/nbd_server.h"
#include "storage/image/qcow2_chain.h"

namespace asr {

class Qcow2Disk : public Disk {
 public:
  // `chain` is what WalkQcow2Chain returned. Errors: those of NbdServer::Start; kIo.
  [[nodiscard]] static Result<std::unique_ptr<Qcow2Disk>> Open(std::vector<Qcow2Link> chain);

  [[nodiscard]] ImageFormat format() const override { return ImageFormat::kQcow2; }
  [[nodiscard]] std::uint64_t size_bytes() const override { return server_->size_bytes(); }
  [[nodiscard]] std::uint32_t logical_sector_bytes() const override { return 512; }
  [[nodiscard]] Status Read(std::uint64_t offset_bytes, MutableByteSpan out) const override;
  // In whole clusters: QEMU does not look for holes inside them.
  [[nodiscard]] Result<std::vector<Extent>> AllocatedExtents(Extent range) const override;
  [[nodiscard]] std::vector<BackingFile> files() const override;
  [[nodiscard]] std::vector<ImageDescription> Describe() const override;

  [[nodiscard]] int server_pid() const { return server_->pid(); }

 private:
  Qcow2Disk(std::vector<Qcow2Link> chain, std::unique_ptr<NbdServer> server)
      : chain_(std::move(chain)), server_(std::move(server)) {}
  Status CheckFiles() const;
  Error InThisImage(Error error) const;

  std::vector<Qcow2Link> chain_;
  std::unique_ptr<NbdServer> server_;
};

}  // namespace asr
