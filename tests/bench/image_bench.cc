// Makes the images that run.sh measures reading with, and reads one as a first replication does,
// with one thread: what dd is compared with.
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "storage/base/bytes.h"
#include "storage/fs/file_system.h"
#include "storage/image/disk.h"
#include "tests/support/disk_content.h"
#include "tests/support/image_file.h"
#include "tests/support/vhdx_builder.h"

namespace asr::testing {
namespace {

constexpr std::uint32_t kBlockBytes = 2 * kMiB;  // of a checkpoint's .avhdx
constexpr std::uint64_t kPieceBytes = 4 * kMiB;
constexpr std::uint64_t kWindowBytes = kGiB;

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

int Report(const Error& error) {
  fmt::print(stderr, "image_bench: {}\n", error.Line());
  return 1;
}

// Three of every four blocks.
DiskContent BaseContent(std::uint64_t size_bytes) {
  DiskContent content(size_bytes);
  for (std::uint64_t offset = 0; offset < size_bytes; offset += 64 * kMiB) {
    content.AddPiece(offset, 48 * kMiB);
  }
  return content;
}

// What a guest wrote since a checkpoint: in every 32 MiB whole blocks, and a log's and a
// database's pieces in blocks of their own.
DiskContent ChangesSinceCheckpoint(std::uint64_t size_bytes, std::uint64_t level) {
  DiskContent content(size_bytes);
  std::mt19937_64 random(level);
  for (std::uint64_t offset = level * 6 * kMiB; offset < size_bytes; offset += 32 * kMiB) {
    content.AddPiece(offset, kBlockBytes);
    for (std::uint64_t at = offset + kBlockBytes; at < offset + 2 * kBlockBytes;) {
      const std::uint64_t length_bytes = 64 * kKiB * (1 + random() % 4);
      content.AddPiece(at, length_bytes);
      at += length_bytes + 64 * kKiB * (1 + random() % 4);
    }
  }
  return content;
}

int MakeChain(const std::string& folder, std::uint64_t size_bytes) {
  const DiskContent base = BaseContent(size_bytes);
  VhdxBuilder base_image(base, kBlockBytes);
  base_image.data_write_guid = VhdxBuilder::GuidOf(1);
  base_image.Write(folder + "/chain.vhdx");
  std::u16string parent = u"chain.vhdx";
  for (std::uint8_t level = 1; level <= 2; ++level) {
    const DiskContent changes = ChangesSinceCheckpoint(size_bytes, level);
    VhdxBuilder image(changes, kBlockBytes);
    image.MakeChildOf(VhdxBuilder::GuidOf(level), parent);
    image.data_write_guid = VhdxBuilder::GuidOf(static_cast<std::uint8_t>(level + 1));
    image.Write(fmt::format("{}/chain_{}.avhdx", folder, level));
    parent = level == 1 ? u"chain_1.avhdx" : u"";
  }
  return 0;
}

// 64 TiB in blocks of 32 MiB, as New-VHD makes it, with every entry of the block table in use: 14
// TiB of blocks, as many as ext4 has room for, and the others unmapped.
int MakeVast(const std::string& path) {
  constexpr std::uint64_t kVastBlockBytes = 32 * kMiB;
  constexpr std::uint64_t kPresentBlocks = 14 * kTiB / kVastBlockBytes;
  const DiskContent content(64 * kTiB);
  VhdxBuilder image(content, kVastBlockBytes);
  const std::uint64_t block_count = content.size_bytes() / kVastBlockBytes;
  const std::uint64_t entry_count = image.EntryIndex(block_count - 1) + 1;
  std::vector<std::byte> table(entry_count * 8);
  for (std::uint64_t block = 0; block < block_count; ++block) {
    const bool is_present = block % 4 == 0 && block / 4 < kPresentBlocks;
    const std::uint64_t entry =
        is_present ? (image.blocks_offset() + block / 4 * kVastBlockBytes) | 6 : 3;
    StoreLittle<std::uint64_t>(table, image.EntryIndex(block) * 8, entry);
  }
  image.Write(path);
  OverwriteFile(path, VhdxBuilder::kTableOffset, table);
  ResizeFile(path, image.blocks_offset() + kPresentBlocks * kVastBlockBytes);
  return 0;
}

int Read(const std::string& path) {
  const auto disk = OpenDisk(PosixFileSystem(), path);
  if (!disk) return Report(disk.error());
  AlignedBuffer buffer(kPieceBytes);
  const auto start = std::chrono::steady_clock::now();
  std::uint64_t read_bytes = 0;
  for (std::uint64_t window = 0; window < (*disk)->size_bytes(); window += kWindowBytes) {
    const auto extents = (*disk)->AllocatedExtents({window, kWindowBytes});
    if (!extents) return Report(extents.error());
    for (const Extent& extent : *extents) {
      for (std::uint64_t at = extent.offset_bytes; at < extent.end_bytes(); at += kPieceBytes) {
        const MutableByteSpan out =
            buffer.span().first(std::min(kPieceBytes, extent.end_bytes() - at));
        const Status status = (*disk)->Read(at, out);
        if (!status) return Report(status.error());
        read_bytes += out.size();
      }
    }
  }
  fmt::print("{} {:.6f}\n", read_bytes, SecondsSince(start));
  return 0;
}

int Open(const std::string& path) {
  const auto start = std::chrono::steady_clock::now();
  const auto disk = OpenDisk(PosixFileSystem(), path);
  const double seconds = SecondsSince(start);
  if (!disk) return Report(disk.error());
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  fmt::print("{} {:.6f}\n", usage.ru_maxrss, seconds);
  return 0;
}

}  // namespace
}  // namespace asr::testing

int main(int argc, char** argv) {
  using namespace asr::testing;
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() == 3 && arguments[0] == "make-chain") {
    return MakeChain(arguments[1], std::stoull(arguments[2]) * asr::kMiB);
  }
  if (arguments.size() == 2 && arguments[0] == "make-vast") return MakeVast(arguments[1]);
  if (arguments.size() == 2 && arguments[0] == "read") return Read(arguments[1]);
  if (arguments.size() == 2 && arguments[0] == "open") return Open(arguments[1]);
  fmt::print(stderr,
             "usage: image_bench make-chain DIR MIB | make-vast FILE | read FILE | open FILE\n");
  return 2;
}
