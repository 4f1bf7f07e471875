#include "storage/image/nbd_library.h"

#include <dlfcn.h>

#include "storage/image/image_error.h"

namespace asr {
namespace {

template <class Function>
bool Find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  return function != nullptr;
}

bool FindAll(void* library, NbdLibrary& nbd) {
  return Find(library, "nbd_create", nbd.create) && Find(library, "nbd_close", nbd.close) &&
         Find(library, "nbd_get_error", nbd.get_error) &&
         Find(library, "nbd_get_errno", nbd.get_errno) &&
         Find(library, "nbd_set_export_name", nbd.set_export_name) &&
         Find(library, "nbd_add_meta_context", nbd.add_meta_context) &&
         Find(library, "nbd_set_request_block_size", nbd.set_request_block_size) &&
         Find(library, "nbd_set_pread_initialize", nbd.set_pread_initialize) &&
         Find(library, "nbd_connect_socket", nbd.connect_socket) &&
         Find(library, "nbd_can_meta_context", nbd.can_meta_context) &&
         Find(library, "nbd_get_size", nbd.get_size) &&
         Find(library, "nbd_block_status", nbd.block_status) &&
         Find(library, "nbd_flush", nbd.flush) && Find(library, "nbd_shutdown", nbd.shutdown) &&
         Find(library, "nbd_aio_pread", nbd.aio_pread) &&
         Find(library, "nbd_aio_pwrite", nbd.aio_pwrite) &&
         Find(library, "nbd_aio_command_completed", nbd.aio_command_completed) &&
         Find(library, "nbd_poll", nbd.poll);
}

const NbdLibrary* Load() {
  static NbdLibrary nbd{};
  void* library = ::dlopen("libnbd.so.0", RTLD_NOW | RTLD_LOCAL);
  return library != nullptr && FindAll(library, nbd) ? &nbd : nullptr;
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
