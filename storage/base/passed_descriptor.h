// One byte through a Unix stream socket, and a descriptor beside it: unix(7), SCM_RIGHTS.
#pragma once

#include <sys/types.h>

#include "storage/base/file_descriptor.h"

namespace asr {

// The receiver gets a descriptor of its own, also if it reads after ours is closed. As send(2): 1,
// or -1 and errno; interrupted calls go on, and a receiver that is gone raises no signal.
[[nodiscard]] ssize_t SendWithDescriptor(int socket, char word, int descriptor);

// `beside` is what came with the byte, invalid if nothing did. As recv(2) with these flags: 1; 0 at
// the end; or -1 and errno.
[[nodiscard]] ssize_t ReceiveWithDescriptor(int socket, char& word, FileDescriptor& beside,
                                            int flags);

}  // namespace asr
