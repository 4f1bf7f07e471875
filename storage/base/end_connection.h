// Ends a connection of which other processes hold descriptors, too.
#pragma once

namespace asr {

// Of a Unix stream socket: nothing is sent nor received through it any more, whoever holds it, and
// what was on its way to us is taken out of it, so that the other side, which may wait until it has
// room, finds out at once. (Without that a shutdown wakes nobody: poll(2) shows a peer that waits
// to write a hang-up alone, and QEMU 7.2 spins on that.) Never waits.
void EndConnection(int socket);

}  // namespace asr
