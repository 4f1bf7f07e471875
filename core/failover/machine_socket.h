// Sockets that a machine's QEMU listens on, in the machine's directory.
#pragma once

#include <string>

#include "storage/base/file_descriptor.h"
#include "storage/base/result.h"

namespace asr {

// Connects to the socket `name` in `directory`, whose path may be longer than the 107 bytes that a
// socket's address holds. The socket does not block. kNotFound or kIo if nobody listens.
[[nodiscard]] Result<FileDescriptor> ConnectToMachine(const std::string& directory,
                                                      const std::string& name);

}  // namespace asr
