#include "storage/image/nbd_library.h"

#include "storage/base/shared_library.h"
#include "storage/image/image_error.h"

namespace asr {
namespace {

bool FindAll(SharedLibrary library, NbdLibrary& nbd) {
  return library.Find("nbd_create", nbd.create)
      .Find("nbd_close", nbd.close)
      .Find("nbd_get_error", nbd.get_error)
      .Find("nbd_get_errno", nbd.get_errno)
      .Find("nbd_set_export_name", nbd.set_export_name)
      .Find("nbd_add_meta_context", nbd.add_meta_context)
      .Find("nbd_set_request_block_size", nbd.set_request_block_size)
      .Find("nbd_set_pread_initialize", nbd.set_pread_initialize)
      .Find("nbd_connect_socket", nbd.connect_socket)
      .Find("nbd_can_meta_context", nbd.can_meta_context)
      .Find("nbd_get_size", nbd.get_size)
      .Find("nbd_block_status", nbd.block_status)
      .Find("nbd_flush", nbd.flush)
      .Find("nbd_shutdown", nbd.shutdown)
      .Find("nbd_aio_pread", nbd.aio_pread)
      .Find("nbd_aio_pwrite", nbd.aio_pwrite)
      .Find("nbd_aio_command_completed", nbd.aio_command_completed)
      .Find("nbd_poll", nbd.poll)
      .Find("nbd_aio_get_fd", nbd.aio_get_fd)
      .has_all();
}

const NbdLibrary* Load() {
  static NbdLibrary nbd{};
  return FindAll(SharedLibrary("libnbd.so.0"), nbd) ? &nbd : nullptr;
}

}  // namespace

Result<const NbdLibrary*> LoadNbdLibrary() {
  static const NbdLibrary* const loaded = Load();
  if (loaded != nullptr) return loaded;
  return Fail(
      UnsupportedImage("qcow2 images and live disks are read through libnbd 1.12 or newer, "
                       "which is not installed",
                       "install it: apt install libnbd0"));
}

}  // namespace asr
