#include "tests/support/qcow2_builder.h"

#include <algorithm>
#include <utility>

#include "tests/support/image_file.h"

namespace asr::testing {

void Qcow2Builder::SetBacking(const std::string& path, const std::string& format) {
  backing_path = path;
  extensions.emplace_back(kBackingFormat, format);
}

std::vector<std::byte> Qcow2Builder::Bytes() const {
  const std::uint64_t cluster = std::uint64_t{1} << cluster_bits;
  std::map<std::uint64_t, std::uint64_t> tables;  // L1 entry -> where its L2 table lies
  for (const auto& [number, fill] : clusters) tables[number / (cluster / 8)] = 0;
  std::uint64_t end = 4 * cluster;
  for (auto& [entry, place] : tables) place = std::exchange(end, end + cluster);
  std::vector<std::byte> file(end + clusters.size() * cluster);
  const auto put32 = [&](std::size_t at, std::uint32_t value) { StoreBig(file, at, value); };
  const auto put64 = [&](std::size_t at, std::uint64_t value) { StoreBig(file, at, value); };
  const auto put_text = [&](std::size_t at, const std::string& text) {
    std::ranges::copy(AsBytes(text), file.begin() + static_cast<std::ptrdiff_t>(at));
  };
  put32(0, 0x514649FB);
  put32(4, version);
  put32(20, cluster_bits);
  put64(24, disk_bytes);
  put32(32, encryption);
  const std::uint64_t of_a_table = cluster / 8 * cluster;  // bytes of the disk that an L2 maps
  put32(36, static_cast<std::uint32_t>(DivideRoundingUp(disk_bytes, of_a_table)));
  put64(40, 3 * cluster);  // L1
  put64(48, cluster);      // refcount table
  put32(56, 1);
  std::size_t at = 72;
  if (version == 3) {
    put64(72, incompatible_features);
    put32(96, refcount_order);
    put32(100, 104);
    at = 104;
  }
  for (const auto& [type, data] : extensions) {
    put32(at, type);
    put32(at + 4, static_cast<std::uint32_t>(data.size()));
    put_text(at + 8, data);
    at += 8 + AlignUp<std::size_t>(data.size(), 8);
  }
  at += 8;  // the extension of type 0 that ends them
  if (!backing_path.empty()) {
    put64(8, at);
    put32(16, static_cast<std::uint32_t>(backing_path.size()));
    put_text(at, backing_path);
  }
  put64(cluster, 2 * cluster);  // the refcount block; its counts have 16 bits
  for (std::size_t i = 0; i < file.size() / cluster; ++i) {
    StoreBig<std::uint16_t>(file, 2 * cluster + 2 * i, std::uint16_t{1});
  }
  constexpr std::uint64_t kCopied = std::uint64_t{1} << 63;
  for (const auto& [entry, place] : tables) put64(3 * cluster + entry * 8, kCopied | place);
  for (const auto& [number, fill] : clusters) {
    put64(tables.at(number / (cluster / 8)) + number % (cluster / 8) * 8, kCopied | end);
    std::fill_n(file.begin() + static_cast<std::ptrdiff_t>(end), cluster, fill);
    end += cluster;
  }
  return file;
}

void Qcow2Builder::Write(const std::string& path) const { ImageFileMaker(path).Put(0, Bytes()); }

}  // namespace asr::testing
