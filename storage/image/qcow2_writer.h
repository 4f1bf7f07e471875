// qcow2, written through QEMU.
#pragma once

#include <memory>

#include "storage/image/image_writer.h"

namespace asr {

// Into `image.path`, an empty file that exists. Errors: those of NbdServer::Start; kIo.
[[nodiscard]] Result<std::unique_ptr<ImageWriter>> CreateQcow2(std::unique_ptr<File> file,
                                                               const NewImage& image);

// kUnsupported if one of the programs or libraries that it takes is not installed.
[[nodiscard]] Status RequireQcow2Tools();

}  // namespace asr
