// libnbd, loaded when the first qcow2 image, or live disk, is opened: with what it depends on, it
// would cost every start of the program five milliseconds.
#pragma once

#include <libnbd.h>

#include "storage/base/result.h"

namespace asr {

// The functions that we use, each by its name in libnbd(3) without `nbd_`.
struct NbdLibrary {
  decltype(&nbd_create) create;
  decltype(&nbd_close) close;
  decltype(&nbd_get_error) get_error;
  decltype(&nbd_get_errno) get_errno;
  decltype(&nbd_set_export_name) set_export_name;
  decltype(&nbd_add_meta_context) add_meta_context;
  decltype(&nbd_set_request_block_size) set_request_block_size;
  decltype(&nbd_set_pread_initialize) set_pread_initialize;
  decltype(&nbd_connect_socket) connect_socket;
  decltype(&nbd_can_meta_context) can_meta_context;
  decltype(&nbd_get_size) get_size;
  decltype(&nbd_block_status) block_status;
  decltype(&nbd_flush) flush;
  decltype(&nbd_shutdown) shutdown;
  decltype(&nbd_aio_pread) aio_pread;
  decltype(&nbd_aio_pwrite) aio_pwrite;
  decltype(&nbd_aio_command_completed) aio_command_completed;
  decltype(&nbd_poll) poll;
  decltype(&nbd_aio_get_fd) aio_get_fd;
};

// kUnsupported, with the package's name, if it is not installed. It stays loaded.
[[nodiscard]] Result<const NbdLibrary*> LoadNbdLibrary();

}  // namespace asr
