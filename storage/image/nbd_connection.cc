#include "storage/image/nbd_connection.h"

#include <algorithm>
#include <cerrno>
#include <deque>
#include <utility>

#include <fmt/format.h>

#include "storage/base/end_connection.h"

namespace asr {
namespace {

// QEMU serves up to 16 requests of a connection at once.
constexpr std::size_t kMostInFlight = 16;
// Measured: with larger pieces QEMU waits for a piece before it sends it, and one thread alone
// reads at half the speed of dd; with these it keeps up.
constexpr std::uint64_t kReadPieceBytes = 256 * kKiB;
// A write makes QEMU look for room in the image: the less often the better.
constexpr std::uint64_t kWritePieceBytes = kMiB;
constexpr std::uint64_t kMostStatusBytes = kGiB;

// Completions are asked for, in Transfer.
constexpr nbd_completion_callback kNoCallback{nullptr, nullptr, nullptr};
constexpr const char* kAllocation = "base:allocation";
// A hole alone promises nothing about what it reads as.
constexpr std::uint32_t kReadsAsZeros = LIBNBD_STATE_ZERO;
constexpr std::string_view kDirtyBitmap = "qemu:dirty-bitmap:";
constexpr std::uint32_t kIsDirty = 1;  // QEMU, docs/interop/nbd.txt

// What a reply to nbd_block_status adds up to.
struct StatusReply {
  std::uint64_t offset_bytes = 0;  // of the next entry
  std::uint64_t end_bytes = 0;     // of what was asked for; the last entry may pass it
  std::vector<Extent>* extents = nullptr;
  // Entries whose flags, masked, are this are left out.
  std::uint32_t skipped_flag = 0;
  std::uint32_t skipped_value = 0;
};

int TakeEntries(void* user_data, const char* /*context*/, std::uint64_t /*offset*/,
                std::uint32_t* entries, std::size_t entry_words, int* /*error*/) {
  auto& reply = *static_cast<StatusReply*>(user_data);
  for (std::size_t i = 0; i + 1 < entry_words && reply.offset_bytes < reply.end_bytes; i += 2) {
    const std::uint64_t length =
        std::min<std::uint64_t>(entries[i], reply.end_bytes - reply.offset_bytes);
    if ((entries[i + 1] & reply.skipped_flag) != reply.skipped_value) {
      AppendExtent(*reply.extents, {reply.offset_bytes, length});
    }
    reply.offset_bytes += length;
  }
  return 0;
}

Error LostConnection() {
  return MakeError(ErrorKind::kIo, ErrorCode::kIo, "the connection to QEMU is lost");
}

}  // namespace

void NbdConnection::Close() {
  if (handle_ == nullptr) return;
  // Others may have the socket, too; libnbd has closed it itself if the connection was lost.
  if (const int socket = nbd_.aio_get_fd(handle_); socket >= 0) EndConnection(socket);
  nbd_.close(std::exchange(handle_, nullptr));
}

Error NbdConnection::LastError(std::string_view what) const {
  const int problem = nbd_.get_errno();
  const char* text = nbd_.get_error();
  Error error = ErrnoError(problem == 0 ? EIO : problem, what);
  if (problem == 0 && text != nullptr) error.message = fmt::format("{}: {}", what, text);
  return error;
}

Status NbdConnection::Connect(FileDescriptor socket, const Export& what) {
  context_ = what.bitmap.empty() ? kAllocation : std::string(kDirtyBitmap) + what.bitmap;
  skipped_flag_ = what.bitmap.empty() ? kReadsAsZeros : kIsDirty;
  skipped_value_ = what.bitmap.empty() ? kReadsAsZeros : 0;
  handle_ = nbd_.create();
  if (handle_ == nullptr) return Fail(LastError("cannot use libnbd"));
  // Not asked for its block size, QEMU takes any offset and length.
  if (nbd_.set_request_block_size(handle_, false) != 0 ||
      nbd_.set_pread_initialize(handle_, false) != 0 ||
      nbd_.set_export_name(handle_, what.name.c_str()) != 0 ||
      nbd_.add_meta_context(handle_, context_.c_str()) != 0 ||
      nbd_.connect_socket(handle_, socket.Release()) != 0) {
    return Fail(LastError("cannot connect to QEMU's NBD server"));
  }
  if (what.bitmap.empty() || nbd_.can_meta_context(handle_, context_.c_str()) == 1) return {};
  return Fail(ErrorKind::kUnsupported, ErrorCode::kIo,
              fmt::format("QEMU does not show the dirty bitmap {}", what.bitmap));
}

Result<std::uint64_t> NbdConnection::SizeBytes() {
  const std::int64_t size_bytes = nbd_.get_size(handle_);
  if (size_bytes < 0) return Fail(LastError("QEMU does not tell the disk's size"));
  return static_cast<std::uint64_t>(size_bytes);
}

// `issue` starts one piece and returns its cookie. Returns once no piece is under way any more,
// whatever happened: libnbd reads from and writes into the caller's memory until then.
template <class Issue>
Status NbdConnection::Transfer(std::uint64_t length_bytes, std::uint64_t piece_bytes,
                               const Issue& issue) {
  if (handle_ == nullptr) return Fail(LostConnection());
  std::deque<std::int64_t> cookies;
  Status status;
  std::uint64_t issued = 0;
  while (true) {
    while (status && issued < length_bytes && cookies.size() < kMostInFlight) {
      const std::uint64_t count = std::min(piece_bytes, length_bytes - issued);
      const std::int64_t cookie = issue(issued, count);
      if (cookie < 0) {
        status = Fail(LastError("QEMU's NBD server failed"));
      } else {
        cookies.push_back(cookie);
        issued += count;
      }
    }
    if (cookies.empty()) return status;
    const int done =
        nbd_.aio_command_completed(handle_, static_cast<std::uint64_t>(cookies.front()));
    if (done < 0 && status) status = Fail(LastError("QEMU's NBD server failed"));
    if (done != 0) {
      cookies.pop_front();
    } else if (nbd_.poll(handle_, -1) < 0) {
      status = Fail(LastError("the connection to QEMU is lost"));
      Close();
      return status;
    }
  }
}

Status NbdConnection::Read(std::uint64_t offset_bytes, MutableByteSpan out) {
  return Transfer(out.size(), kReadPieceBytes, [&](std::uint64_t done, std::uint64_t count) {
    return nbd_.aio_pread(handle_, out.data() + done, count, offset_bytes + done, kNoCallback, 0);
  });
}

Status NbdConnection::Write(std::uint64_t offset_bytes, ByteSpan bytes) {
  return Transfer(bytes.size(), kWritePieceBytes, [&](std::uint64_t done, std::uint64_t count) {
    return nbd_.aio_pwrite(handle_, bytes.data() + done, count, offset_bytes + done, kNoCallback,
                           0);
  });
}

Status NbdConnection::Flush() {
  if (handle_ == nullptr) return Fail(LostConnection());
  if (nbd_.flush(handle_, 0) != 0) return Fail(LastError("QEMU cannot flush the image"));
  return {};
}

Result<std::vector<Extent>> NbdConnection::Extents(Extent range) {
  if (handle_ == nullptr) return Fail(LostConnection());
  std::vector<Extent> extents;
  const int can_tell = nbd_.can_meta_context(handle_, context_.c_str());
  if (can_tell < 0) return Fail(LastError("the connection to QEMU is lost"));
  if (can_tell == 0) {
    AppendExtent(extents, range);
    return extents;
  }
  StatusReply reply{.offset_bytes = range.offset_bytes,
                    .end_bytes = range.offset_bytes,
                    .extents = &extents,
                    .skipped_flag = skipped_flag_,
                    .skipped_value = skipped_value_};
  while (reply.offset_bytes < range.end_bytes()) {
    const std::uint64_t begin = reply.offset_bytes;
    const std::uint64_t count = std::min(kMostStatusBytes, range.end_bytes() - begin);
    reply.end_bytes = begin + count;
    const nbd_extent_callback take{TakeEntries, &reply, nullptr};
    if (nbd_.block_status(handle_, count, begin, take, 0) != 0) {
      return Fail(LastError("QEMU cannot tell what is allocated, or dirty"));
    }
    if (reply.offset_bytes == begin) return Fail(LostConnection());
  }
  return extents;
}

Status NbdConnection::Disconnect() {
  if (handle_ == nullptr) return Fail(LostConnection());
  if (nbd_.shutdown(handle_, 0) != 0)
    return Fail(LastError("cannot take leave of QEMU's NBD server"));
  return {};
}

}  // namespace asr
