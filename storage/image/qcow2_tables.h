// What the tables of a qcow2 image say about its file, held against the file before QEMU reads it:
// QEMU takes what lies past the end of a file for zeros, and would make an empty disk of a bad one.
#pragma once

#include "storage/base/result.h"
#include "storage/image/mapped_disk.h"
#include "storage/image/qcow2_header.h"

namespace asr {

// Every table that maps the disk lies in the file, and so does every cluster of the disk that they
// name; of the last one, what the disk needs. No two of them, nor the header and what the refcounts
// lie in, share a cluster: one flipped bit of a table is enough for that, and no checksum tells.
// How high the refcounts are does not matter to a reader, and after a power loss they may be wrong.
// Reads the refcount table, the L1 table, and each L2 table once (64 KiB for
// 512 MiB of the disk, as QEMU makes them): at most what the file has allocated, whatever the
// tables say.
// Errors: kCorrupt, kIo.
[[nodiscard]] Status CheckQcow2Tables(const ImageFile& image, const Qcow2Header& header);

}  // namespace asr
