#include "storage/image/qcow2_disk.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "storage/base/file_descriptor.h"
#include "storage/image/image_error.h"

namespace asr {
namespace {

using Json = nlohmann::json;

// The very file that was looked at, for QEMU.
Result<FileDescriptor> OpenAgain(const ImageFile& image, int flags) {
  FileDescriptor file(::open(image.path.c_str(), O_RDONLY | O_CLOEXEC | flags));
  struct stat status {};
  if (!file.valid() || ::fstat(file.get(), &status) != 0) {
    return Fail(ErrnoError(errno, fmt::format("cannot open {}", image.path)));
  }
  if (status.st_dev != image.stamp.device || status.st_ino != image.stamp.inode) {
    return Fail(MakeError(ErrorKind::kCorrupt, ErrorCode::kImageChanged,
                          fmt::format("{} was replaced while it was being opened", image.path))
                    .WithAction("run the same command again")
                    .Retryable());
  }
  return file;
}

// Every file and format by name, and no backing file where there is none: nothing is left for QEMU
// to look up in a header.
Json NodeOf(const std::vector<Qcow2Link>& chain) {
  Json node = nullptr;
  for (std::size_t i = chain.size(); i-- > 0;) {
    const bool is_device = chain[i].image.stamp.type == FileType::kBlockDevice;
    Json link = {
        {"driver", chain[i].is_raw ? "raw" : "qcow2"},
        // A VM that is started while we read must start; what it writes then is noticed at the end.
        {"force-share", true},
        {"file", {{"driver", is_device ? "host_device" : "file"}, {"filename", NbdFileName(i)}}}};
    if (!chain[i].is_raw) link["backing"] = std::move(node);
    node = std::move(link);
  }
  return node;
}

}  // namespace

Result<std::unique_ptr<Qcow2Disk>> Qcow2Disk::Open(std::vector<Qcow2Link> chain) {
  std::vector<FileDescriptor> files;
  NbdServerOptions options{
      .node = NodeOf(chain).dump(), .descriptors = {}, .is_read_only = true, .is_direct = true};
  for (const Qcow2Link& link : chain) {
    ASR_TRY(FileDescriptor file, OpenAgain(link.image, 0));
    options.descriptors.push_back(file.get());
    files.push_back(std::move(file));
    // Where the file system has no direct I/O, QEMU must not ask for it.
    options.is_direct = options.is_direct && OpenAgain(link.image, O_DIRECT).has_value();
  }
  ASR_TRY(auto server, NbdServer::Start(options));
  if (server->size_bytes() != chain.front().header.disk_bytes) {
    return Fail(CorruptImage(fmt::format("QEMU reads a disk of {} bytes, its header says {}",
                                         server->size_bytes(), chain.front().header.disk_bytes)));
  }
  return std::unique_ptr<Qcow2Disk>(new Qcow2Disk(std::move(chain), std::move(server)));
}

Status Qcow2Disk::Read(std::uint64_t offset_bytes, MutableByteSpan out) const {
  if (offset_bytes > size_bytes() || out.size() > size_bytes() - offset_bytes) {
    return Fail(InThisImage(
        MakeError(ErrorKind::kInternal, ErrorCode::kInternal,
                  fmt::format("a read of {} bytes at offset {} passes the disk's end at {}",
                              out.size(), offset_bytes, size_bytes()))));
  }
  Status read = server_->Read(offset_bytes, out);
  // Afterwards: what QEMU finds past the end of a file that was cut reads as zeros.
  if (Status whole = CheckFiles(); !whole) return Fail(InThisImage(std::move(whole).error()));
  if (!read) return Fail(InThisImage(std::move(read).error()));
  return {};
}

Result<std::vector<Extent>> Qcow2Disk::AllocatedExtents(Extent range) const {
  const std::uint64_t begin = std::min(range.offset_bytes, size_bytes());
  const std::uint64_t length = std::min(range.length_bytes, size_bytes() - begin);
  auto extents = server_->DataExtents({begin, length});
  if (Status whole = CheckFiles(); !whole) return Fail(InThisImage(std::move(whole).error()));
  if (!extents) return Fail(InThisImage(std::move(extents).error()));
  return extents;
}

std::vector<Disk::BackingFile> Qcow2Disk::files() const {
  std::vector<BackingFile> files;
  for (const Qcow2Link& link : chain_) files.push_back({link.image.path, link.image.stamp});
  return files;
}

std::vector<ImageDescription> Qcow2Disk::Describe() const {
  std::vector<ImageDescription> descriptions;
  for (const Qcow2Link& link : chain_) {
    ImageDescription description;
    description.path = link.image.path;
    description.format = link.is_raw ? ImageFormat::kRaw : ImageFormat::kQcow2;
    description.size_bytes = link.is_raw ? link.image.size_bytes : link.header.disk_bytes;
    description.block_bytes = link.header.cluster_bytes;
    description.remarks = link.image.remarks;
    descriptions.push_back(std::move(description));
  }
  return descriptions;
}

Status Qcow2Disk::CheckFiles() const {
  for (const Qcow2Link& link : chain_) {
    ASR_TRY(const FileStamp now, link.image.file->Stat());
    if (now.size_bytes >= link.image.stamp.size_bytes) continue;
    return Fail(MakeError(ErrorKind::kCorrupt, ErrorCode::kImageChanged,
                          fmt::format("{} had {} bytes when it was opened and has {} now",
                                      link.image.path, link.image.stamp.size_bytes, now.size_bytes))
                    .WithCause("another program writes to it or replaces it")
                    .WithAction("stop what writes to the image, then run the same command again")
                    .Retryable());
  }
  return {};
}

Error Qcow2Disk::InThisImage(Error error) const {
  return std::move(error).WithContext(fmt::format("image {}", chain_.front().image.path));
}

}  // namespace asr
