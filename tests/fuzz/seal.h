// Sets the checksums of a damaged image right again, so that a fuzzer reaches what lies behind
// them.
#pragma once

#include "storage/base/bytes.h"

namespace asr::testing {

// The footer at the end, its copy, and the dynamic header behind that.
void SealVhd(MutableByteSpan image);

// Both headers, both region tables, and every entry of the log that says how long it is.
void SealVhdx(MutableByteSpan image);

}  // namespace asr::testing
