#include "storage/image/nbd_disk.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include <fmt/format.h>

namespace asr {
namespace {

// Each has a coroutine of QEMU's own for every request: more of them only cost memory.
constexpr int kConnections = 4;

Result<FileDescriptor> ConnectTo(const std::string& path) {
  struct sockaddr_un address {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return Fail(ErrorKind::kUsage, ErrorCode::kIo,
                fmt::format("the path of the socket is too long: {}", path));
  }
  std::ranges::copy(path, address.sun_path);
  FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.valid() ||
      ::connect(socket.get(), reinterpret_cast<struct sockaddr*>(&address), sizeof(address)) != 0) {
    return Fail(ErrnoError(errno, fmt::format("cannot connect to {}", path)));
  }
  return socket;
}

Status AddConnection(const NbdLibrary& nbd, const NbdDiskOptions& options,
                     const NbdConnection::Export& what, NbdPool& pool) {
  ASR_TRY(FileDescriptor socket, ConnectTo(options.socket_path));
  ASR_CHECK(options.on_connect(socket.get()));
  auto connection = std::make_unique<NbdConnection>(nbd);
  ASR_CHECK(connection->Connect(std::move(socket), what));
  pool.Add(std::move(connection));
  return {};
}

}  // namespace

Result<std::unique_ptr<NbdDisk>> NbdDisk::Open(const NbdDiskOptions& options) {
  ASR_TRY(const NbdLibrary* nbd, LoadNbdLibrary());
  std::unique_ptr<NbdDisk> disk(new NbdDisk(options));
  const auto connect = [&]() -> Status {
    for (int i = 0; i < kConnections; ++i) {
      ASR_CHECK(AddConnection(*nbd, options, {.name = options.export_name}, disk->pool_));
    }
    if (!options.bitmap.empty()) {
      ASR_CHECK(AddConnection(
          *nbd, options, {.name = options.export_name, .bitmap = options.bitmap}, disk->bitmap_));
    }
    ASR_TRY(disk->size_bytes_, disk->pool_.connections().front()->SizeBytes());
    return {};
  };
  if (Status connected = connect(); !connected) {
    return Fail(disk->InThisDisk(std::move(connected).error()));
  }
  return disk;
}

Status NbdDisk::Read(std::uint64_t offset_bytes, MutableByteSpan out) const {
  if (offset_bytes > size_bytes_ || out.size() > size_bytes_ - offset_bytes) {
    return Fail(InThisDisk(MakeError(ErrorKind::kInternal, ErrorCode::kInternal,
                                     fmt::format("a read of {} bytes at offset {} passes the "
                                                 "disk's end at {}",
                                                 out.size(), offset_bytes, size_bytes_))));
  }
  options_.on_read();
  Status read = pool_.Run([&](NbdConnection& to) { return to.Read(offset_bytes, out); });
  if (!read) return Fail(InThisDisk(std::move(read).error()));
  return {};
}

Result<std::vector<Extent>> NbdDisk::AllocatedExtents(Extent range) const {
  auto extents = pool_.Run([&](NbdConnection& to) { return to.Extents(Clip(range)); });
  if (!extents) return Fail(InThisDisk(std::move(extents).error()));
  return extents;
}

Result<std::vector<Extent>> NbdDisk::DirtyExtents(Extent range) const {
  auto extents = bitmap_.Run([&](NbdConnection& to) { return to.Extents(Clip(range)); });
  if (!extents) return Fail(InThisDisk(std::move(extents).error()));
  return extents;
}

std::vector<ImageDescription> NbdDisk::Describe() const {
  ImageDescription description;
  description.path = options_.image_path;
  description.format = options_.format;
  description.size_bytes = size_bytes_;
  return {description};
}

Extent NbdDisk::Clip(Extent range) const {
  const std::uint64_t begin = std::min(range.offset_bytes, size_bytes_);
  return {begin, std::min(range.length_bytes, size_bytes_ - begin)};
}

Error NbdDisk::InThisDisk(Error error) const {
  return std::move(error).WithContext(
      fmt::format("live disk {} of {}", options_.export_name, options_.image_path));
}

}  // namespace asr
