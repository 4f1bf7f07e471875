// A qemu-nbd of our own that shows one image as a plain disk, and our connections to it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "storage/base/bytes.h"
#include "storage/base/child_process.h"
#include "storage/base/result.h"
#include "storage/image/nbd_pool.h"

namespace asr {

struct NbdServerOptions {
  std::string node;              // QEMU's description of the image as a JSON object
  std::vector<int> descriptors;  // of the image's files, for the names that NbdFileName() gives
  bool is_read_only = true;
  bool is_direct = false;  // the host's page cache is gone round
};

// What `node` calls the file of descriptors[index]: QEMU never sees a name of the file system, so
// no odd character in one can mean anything to it, and what it opens is what we looked at.
[[nodiscard]] std::string NbdFileName(std::size_t index);

// The path of a program of Debian's qemu-utils. kUnsupported if it is not installed.
[[nodiscard]] Result<std::string> FindQemuTool(std::string_view name);

// Read, Write and DataExtents may be called from several threads at once. The server ends with this
// object, and with our process however that ends: it lives as long as it has connections.
class NbdServer {
 public:
  // Errors: kUnsupported if qemu-nbd or libnbd is missing, kBusy (kImageInUse) if a QEMU has the
  // image open in a way that excludes us, kCorrupt with QEMU's words if it refuses the image.
  [[nodiscard]] static Result<std::unique_ptr<NbdServer>> Start(const NbdServerOptions& options);
  ~NbdServer();
  NbdServer(const NbdServer&) = delete;
  NbdServer& operator=(const NbdServer&) = delete;

  [[nodiscard]] std::uint64_t size_bytes() const { return size_bytes_; }
  [[nodiscard]] int pid() const { return process_.pid(); }

  // Ranges lie inside the disk.
  [[nodiscard]] Status Read(std::uint64_t offset_bytes, MutableByteSpan out);
  [[nodiscard]] Status Write(std::uint64_t offset_bytes, ByteSpan bytes);
  // Parts that may hold data other than zeros, ascending and joined; all of it if QEMU cannot tell.
  [[nodiscard]] Result<std::vector<Extent>> DataExtents(Extent range);
  // Writes what QEMU keeps in memory, ends the server and waits for it. Once, and the last call.
  [[nodiscard]] Status Finish();

 private:
  NbdServer(const NbdLibrary& nbd, ChildProcess process);
  Status Connect(std::vector<FileDescriptor> sockets);
  Error StartError(const Error& problem);

  const NbdLibrary& nbd_;
  ChildProcess process_;
  std::uint64_t size_bytes_ = 0;
  NbdPool pool_;
};

}  // namespace asr
