// One connection to an NBD server.
#pragma once

#include <cstdint>
#include <vector>

#include "storage/base/bytes.h"
#include "storage/base/file_descriptor.h"
#include "storage/base/result.h"
#include "storage/image/nbd_library.h"

namespace asr {

// For one thread at a time.
class NbdConnection {
 public:
  explicit NbdConnection(const NbdLibrary& nbd) : nbd_(nbd) {}
  ~NbdConnection();
  NbdConnection(const NbdConnection&) = delete;
  NbdConnection& operator=(const NbdConnection&) = delete;

  // Over a socket that is connected. Returns once the server has answered.
  [[nodiscard]] Status Connect(FileDescriptor socket);
  [[nodiscard]] Result<std::uint64_t> SizeBytes();

  // Ranges lie inside the disk.
  [[nodiscard]] Status Read(std::uint64_t offset_bytes, MutableByteSpan out);
  [[nodiscard]] Status Write(std::uint64_t offset_bytes, ByteSpan bytes);
  [[nodiscard]] Status Flush();
  // Parts that may hold data other than zeros, ascending and joined; all of it if the server cannot
  // tell.
  [[nodiscard]] Result<std::vector<Extent>> DataExtents(Extent range);
  // Tells the server that we go. The last call.
  [[nodiscard]] Status Disconnect();

 private:
  template <class Issue>
  Status Transfer(std::uint64_t length_bytes, std::uint64_t piece_bytes, const Issue& issue);
  Error LastError(std::string_view what) const;

  const NbdLibrary& nbd_;
  nbd_handle* handle_ = nullptr;  // null: not connected, or lost
};

}  // namespace asr
