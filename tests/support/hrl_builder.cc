#include "tests/support/hrl_builder.h"

#include <algorithm>

namespace asr::testing {
namespace {

using Bytes = std::vector<std::byte>;

void Put(Bytes& target, std::size_t offset, const Bytes& bytes) {
  std::ranges::copy(bytes, target.begin() + static_cast<std::ptrdiff_t>(offset));
}

}  // namespace

std::uint32_t HrlSum(ByteSpan bytes, std::size_t ignored_offset) {
  std::uint32_t checksum = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i >= ignored_offset && i < ignored_offset + 4) continue;
    checksum += std::to_integer<std::uint32_t>(bytes[i]);
  }
  return ~checksum;
}

std::vector<std::byte> HrlBuilder::Bytes() const {
  asr::testing::Bytes file(4096);
  std::vector<std::vector<Write>> all = blocks;
  if (begins_with_an_empty_block) all.insert(all.begin(), std::vector<Write>());
  std::uint64_t last_block = 0;
  std::uint64_t entries = 0;
  for (const std::vector<Write>& writes : all) {
    for (const Write& write : writes) file.insert(file.end(), write.data.begin(), write.data.end());
    const std::uint64_t place = file.size();
    asr::testing::Bytes block(metadata_bytes);
    StoreLittle<std::uint64_t>(block, 0, last_block == 0 ? 0 : place - last_block);
    StoreLittle<std::uint32_t>(block, 8, static_cast<std::uint32_t>(writes.size()));
    StoreLittle<std::uint32_t>(block, 12, HrlSum(ByteSpan(block).first(32), 12));
    for (std::size_t i = 0; i < writes.size(); ++i) {
      const MutableByteSpan entry = MutableByteSpan(block).subspan(32 + i * 32, 32);
      StoreLittle<std::uint64_t>(entry, 0, writes[i].disk_offset);
      StoreLittle<std::uint32_t>(entry, 12, static_cast<std::uint32_t>(writes[i].data.size()));
      StoreLittle<std::uint32_t>(entry, 16, seconds);
      entry[20] = std::byte{writes[i].operation};
      if (writes[i].has_data_checksum) {
        StoreLittle<std::uint32_t>(entry, 21, HrlSum(writes[i].data, writes[i].data.size()));
      }
      StoreLittle<std::uint32_t>(entry, 8, HrlSum(entry, 8));
    }
    file.insert(file.end(), block.begin(), block.end());
    last_block = place;
    entries += writes.size();
  }
  Put(file, 0, {AsBytes("msctlog ").begin(), AsBytes("msctlog ").end()});
  StoreLittle<std::uint32_t>(file, 8, version);
  StoreLittle<std::uint32_t>(file, 12, seconds);
  Put(file, 16, {AsBytes(creator).begin(), AsBytes(creator).end()});
  StoreLittle<std::uint32_t>(file, 20, 0xA0000);
  StoreLittle<std::uint64_t>(file, 32, file.size());
  StoreLittle<std::uint64_t>(file, 44, is_closed ? file.size() : 0);
  StoreLittle<std::uint32_t>(file, 56, metadata_bytes);
  Put(file, 60, id);
  Put(file, 76, previous_id);
  StoreLittle<std::uint32_t>(file, 92, seconds + 4);
  StoreLittle<std::uint64_t>(file, 96, entries);
  StoreLittle<std::uint32_t>(file, 104, file_type);
  if (version != 0x00010000) Put(file, 110, data_write_guid);
  const std::uint32_t sum = HrlSum(ByteSpan(file).first(4096), 40);
  StoreLittle<std::uint32_t>(file, 40, header_checksum_is_right ? sum : sum + 1);
  return file;
}

}  // namespace asr::testing
