// One connection to an NBD server.
#pragma once

#include <cstdint>
#include <string>
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
  ~NbdConnection() { Close(); }
  NbdConnection(const NbdConnection&) = delete;
  NbdConnection& operator=(const NbdConnection&) = delete;

  struct Export {
    std::string name = {};
    // Of QEMU, the dirty bitmap that Extents() tells of; empty: it tells of data.
    std::string bitmap = {};
  };

  // Over a socket that is connected. Returns once the server has answered. kUnsupported if it has
  // no such bitmap.
  [[nodiscard]] Status Connect(FileDescriptor socket, const Export& what);
  [[nodiscard]] Result<std::uint64_t> SizeBytes();

  // Ranges lie inside the disk.
  [[nodiscard]] Status Read(std::uint64_t offset_bytes, MutableByteSpan out);
  [[nodiscard]] Status Write(std::uint64_t offset_bytes, ByteSpan bytes);
  [[nodiscard]] Status Flush();
  // Parts that may hold data other than zeros, or those that the bitmap has as dirty; ascending and
  // joined. All of it if the server cannot tell.
  [[nodiscard]] Result<std::vector<Extent>> Extents(Extent range);
  // Tells the server that we go. The last call.
  [[nodiscard]] Status Disconnect();

 private:
  template <class Issue>
  Status Transfer(std::uint64_t length_bytes, std::uint64_t piece_bytes, const Issue& issue);
  Error LastError(std::string_view what) const;
  void Close();

  const NbdLibrary& nbd_;
  nbd_handle* handle_ = nullptr;  // null: not connected, or lost
  std::string context_;           // that Extents() asks for
  std::uint32_t skipped_flag_ = 0;
  std::uint32_t skipped_value_ = 0;
};

}  // namespace asr
