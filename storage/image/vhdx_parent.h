// The parent locator of a differencing VHDX ([MS-VHDX] 2.6.2.6).
#pragma once

#include "storage/base/bytes.h"
#include "storage/base/result.h"
#include "storage/image/mapped_disk.h"

namespace asr {

// `bytes` are the metadata item. The ids are those that the parent's DataWriteGuid may have, as
// GuidText; a GUID of zeros is none, as Windows 11 writes it. kCorrupt says what is wrong.
[[nodiscard]] Result<ParentLink> ParseVhdxParentLocator(ByteSpan bytes);

}  // namespace asr
