// Writes the seeds below tests/fuzz/corpus: make_fuzz_seeds tests/fuzz/corpus
#include <cstdio>

#include "storage/fs/file_system.h"
#include "tests/fuzz/fuzzed_image.h"
#include "tests/support/image_file.h"
#include "tests/support/qcow2_builder.h"
#include "tests/support/temp_dir.h"
#include "tests/support/vhd_builder.h"
#include "tests/support/vhdx_builder.h"
#include "tests/support/vhdx_log_builder.h"

namespace asr::testing {
namespace {

class SeedWriter {
 public:
  explicit SeedWriter(std::string corpus) : corpus_(std::move(corpus)) {
    content_.AddPiece(512, 512);
    content_.AddPiece(2 * kMiB - 512, 1024);
  }

  void WriteVhds() {
    VhdBuilder dynamic(content_);
    dynamic.block_bytes = 256 * 1024;
    Save(dynamic, "vhd/dynamic");
    VhdBuilder fixed(content_);
    fixed.type = 2;
    Save(fixed, "vhd/fixed");
    VhdBuilder child(content_);
    child.block_bytes = 256 * 1024;
    child.MakeChildOf(VhdBuilder::IdOf(7), u"base.vhd");
    Save(child, "vhd/child");
    VhdBuilder old(content_);
    old.block_bytes = 256 * 1024;
    old.footer_has_511_bytes = true;
    Save(old, "vhd/short-footer");
  }

  // As they are: the fuzzer takes an input for the image itself.
  void WriteQcow2s() {
    Qcow2Builder tables;
    tables.cluster_bits = 9;
    tables.disk_bytes = 64 * kKiB;
    tables.clusters = {{0, std::byte{1}}, {3, std::byte{2}}, {64, std::byte{3}}};
    const std::vector<std::byte> image = tables.Bytes();
    std::printf("qcow2/tables: %zu bytes\n", image.size());
    MustSucceed(WriteFileAtomic(PosixFileSystem(), JoinPath(corpus_, "qcow2/tables"), image));
  }

  void WriteVhdxs() {
    Save(VhdxBuilder(content_), "vhdx/dynamic");
    Save(VhdxBuilder(content_, 1024 * 1024, 4096), "vhdx/4k");
    VhdxBuilder child(content_);
    child.MakeChildOf(VhdxBuilder::GuidOf(7), u"base.vhdx");
    Save(child, "vhdx/child");
    VhdxBuilder(content_).Write(path());
    VhdxLogBuilder log(path());
    VhdxLogEntry entry;
    log.Undo({VhdxBuilder::kTableOffset, 4096}, entry);
    entry.zeros.push_back({VhdxBuilder::kTableOffset + 8192, 4096});
    log.Append(entry);
    SaveFile("vhdx/log");
  }

 private:
  [[nodiscard]] std::string path() const { return directory_ / "image"; }

  template <class Builder>
  void Save(const Builder& builder, const std::string& name) {
    builder.Write(path());
    SaveFile(name);
  }

  void SaveFile(const std::string& name) {
    const std::string image = ReadWholeFile(PosixFileSystem(), path()).value();
    const auto packed = PackImage(AsBytes(image), true);
    std::printf("%s: %zu bytes\n", name.c_str(), packed.size());
    MustSucceed(WriteFileAtomic(PosixFileSystem(), JoinPath(corpus_, name), packed));
    MustSucceed(PosixFileSystem().RemoveFile(path()));
  }

  std::string corpus_;
  DiskContent content_{3 * kMiB};
  TempDir directory_;
};

}  // namespace
}  // namespace asr::testing

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  asr::testing::SeedWriter seeds(argv[1]);
  seeds.WriteVhds();
  seeds.WriteVhdxs();
  seeds.WriteQcow2s();
  return 0;
}
