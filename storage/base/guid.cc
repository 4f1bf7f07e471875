#include "storage/base/guid.h"

#include <cstdint>

#include <fmt/format.h>

#include "storage/base/bytes.h"

namespace asr {

std::string GuidText(const Guid& guid) {
  const ByteSpan bytes(guid);
  return fmt::format("{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", LoadLittle<std::uint32_t>(bytes, 0),
                     LoadLittle<std::uint16_t>(bytes, 4), LoadLittle<std::uint16_t>(bytes, 6),
                     LoadBig<std::uint16_t>(bytes, 8),
                     LoadBig<std::uint64_t>(bytes, 8) & 0xFFFF'FFFF'FFFF);
}

}  // namespace asr
