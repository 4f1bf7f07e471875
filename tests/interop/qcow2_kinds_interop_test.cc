// Every kind of qcow2 image that QEMU's tools make, and every state that they leave one in.
#include "tests/support/qcow2_interop_fixture.h"

namespace asr {
namespace {

using ::testing::ElementsAre;
using testing::ExpectRuns;
using ::testing::HasSubstr;
using testing::Qcow2InteropTest;

class Qcow2KindsTest : public Qcow2InteropTest {
 protected:
  std::string Create(const std::string& name, const std::string& size,
                     const std::string& options = "compat=1.1") {
    const std::string path = directory_ / name;
    ExpectRuns(fmt::format("qemu-img create -q -f qcow2 -o {} {} {}", options, path, size));
    return path;
  }
  static void QemuIo(const std::string& path, const std::string& commands) {
    ExpectRuns(fmt::format("qemu-io -f qcow2 {} {}", commands, path));
  }
};

TEST_F(Qcow2KindsTest, ReadsEveryKindThatQemuMakes) {
  for (const char* options :
       {"compat=0.10", "compat=1.1", "cluster_size=512", "cluster_size=2M", "extended_l2=on",
        "lazy_refcounts=on", "refcount_bits=1", "refcount_bits=64", "preallocation=metadata",
        "preallocation=falloc"}) {
    SCOPED_TRACE(options);
    const std::string path = directory_ / fmt::format("{}.qcow2", options);
    ExpectRuns(fmt::format("qemu-img create -q -f qcow2 -o {} {} 40M", options, path));
    ExpectRuns(fmt::format(
        "qemu-io -f qcow2 -c 'write -P 1 0 64k' -c 'write -P 2 20M 3M' -c 'write -P 3 2097k 1k' "
        "-c 'write -P 4 39M 1M' -c 'write -z 21M 64k' -c 'discard 22M 128k' {}",
        path));
    ExpectReadAsQemuDoes(path);
  }
}

TEST_F(Qcow2KindsTest, ReadsCompressedImages) {
  const std::string raw = directory_ / "disk.raw";
  ExpectRuns(
      fmt::format("qemu-img create -q -f raw {0} 20M && qemu-io -f raw -c 'write -P 7 1M "
                  "9M' {0}",
                  raw));
  for (const char* type : {"zlib", "zstd"}) {
    const std::string path = directory_ / fmt::format("{}.qcow2", type);
    ExpectRuns(fmt::format("qemu-img convert -c -O qcow2 -f raw -o compression_type={} {} {}", type,
                           raw, path));
    ExpectReadAsQemuDoes(path);
  }
}

TEST_F(Qcow2KindsTest, AnImageWhoseWriterWasKilledIsReadWithARemark) {
  const std::string path = Create("disk.qcow2", "40M", "lazy_refcounts=on");
  // qemu-io kills itself before it could close the image.
  ExpectRuns(fmt::format(
      "! qemu-io -f qcow2 -c 'write -P 1 0 3M' -c 'write -P 2 30M 1M' -c flush -c 'sigraise 9' {}",
      path));
  ExpectReadAsQemuDoes(path);
  EXPECT_THAT(MustOpen(path)->Describe()[0].remarks, ElementsAre(HasSubstr("lazy_refcounts")));
}

// What a host that lost power leaves: refcounts of clusters that the file never got.
TEST_F(Qcow2KindsTest, LeakedClustersPastTheFilesEndDoNotMatter) {
  const std::string path = Create("disk.qcow2", "40M");
  QemuIo(path, "-c 'write -P 1 0 3M'");
  const std::string later = directory_ / "later";
  ExpectRuns(fmt::format("cp {0} {0}.before; cp {0} {1}", path, later));
  QemuIo(later, "-c 'write -P 2 10M 3M'");
  ExpectRuns(fmt::format("dd if={} of={} bs=64k skip=2 seek=2 count=1 conv=notrunc", later, path));
  ExpectRuns(fmt::format("! cmp -s -n 192K {} {}.before", path, path));
  ExpectReadAsQemuDoes(path);
}

// A snapshot's clusters stay in the table of the disk, until they are written to.
TEST_F(Qcow2KindsTest, InternalSnapshotsAreNoPartOfTheDisk) {
  const std::string path = Create("disk.qcow2", "40M");
  QemuIo(path, "-c 'write -P 1 0 8M'");
  ExpectRuns(fmt::format("qemu-img snapshot -c one {}", path));
  ExpectReadAsQemuDoes(path);
  QemuIo(path, "-c 'write -P 2 4M 8M' -c 'discard 0 1M'");
  ExpectRuns(fmt::format("qemu-img snapshot -c two {}", path));
  QemuIo(path, "-c 'write -P 3 6M 1M'");
  ExpectReadAsQemuDoes(path);
  ExpectRuns(fmt::format("qemu-img snapshot -a one {}", path));
  ExpectReadAsQemuDoes(path);
  ExpectRuns(fmt::format("qemu-img snapshot -d one {}", path));
  ExpectReadAsQemuDoes(path);
}

TEST_F(Qcow2KindsTest, GrownAndShrunkImages) {
  for (const char* options : {"cluster_size=64k", "cluster_size=4k", "extended_l2=on"}) {
    SCOPED_TRACE(options);
    const std::string path = Create(fmt::format("{}.qcow2", options), "30M", options);
    QemuIo(path, "-c 'write -P 1 0 2M' -c 'write -P 2 20M 10M'");
    ExpectRuns(fmt::format("qemu-img resize -q -f qcow2 {} 90M", path));
    QemuIo(path, "-c 'write -P 3 80M 2M'");
    ExpectReadAsQemuDoes(path);
    ExpectRuns(fmt::format("qemu-img resize -q -f qcow2 --shrink {} 21M", path));
    ExpectReadAsQemuDoes(path);
    QemuIo(path, "-c 'write -P 4 3M 2M'");
    ExpectReadAsQemuDoes(path);
  }
}

TEST_F(Qcow2KindsTest, SizesThatAreNoWholeClusters) {
  for (const char* options :
       {"cluster_size=64k", "cluster_size=2M", "extended_l2=on", "preallocation=metadata",
        "preallocation=falloc", "preallocation=full", "preallocation=metadata,extended_l2=on"}) {
    SCOPED_TRACE(options);
    const std::string path = Create(fmt::format("{}.qcow2", options), "10486272", options);
    ExpectReadAsQemuDoes(path);
    QemuIo(path, "-c 'write -P 1 0 10486272' -c 'write -z 1M 1M' -c 'discard 3M 1M'");
    ExpectReadAsQemuDoes(path);
    ExpectRuns(fmt::format("qemu-img resize -q -f qcow2 {} 20M", path));
    ExpectReadAsQemuDoes(path);
  }
}

TEST_F(Qcow2KindsTest, ZerosOverWhatWasWritten) {
  const std::string path = Create("disk.qcow2", "40M");
  QemuIo(path,
         "-c 'write -P 1 0 20M' -c 'write -z 1M 4M' -c 'write -z -u 8M 4M' -c 'discard 16M "
         "2M' -c 'write -P 2 2M 64k' -c 'write -P 3 30M 5M'");
  ExpectReadAsQemuDoes(path);
}

TEST_F(Qcow2KindsTest, CompressedAndPlainClustersTogether) {
  const std::string path = Create("disk.qcow2", "40M");
  QemuIo(path,
         "-c 'write -c -P 1 0 64k' -c 'write -c -P 2 64k 64k' -c 'write -P 3 1M 1M' -c "
         "'write -c -P 4 3M 64k' -c 'write -P 5 64k 64k' -c 'write -P 6 8M 3M'");
  ExpectReadAsQemuDoes(path);
}

// As a QEMU leaves it that gives the last cluster no more of the file than the disk needs: once the
// disk is grown, it needs all of the cluster, and QEMU takes for zeros what is not there.
TEST_F(Qcow2KindsTest, AShortLastClusterIsRefusedWithAdviceThatHelps) {
  const std::string path = Create("disk.qcow2", "10486272", "preallocation=metadata");
  testing::ResizeFile(path, testing::FileSize(path) - 65536 + 512);
  ExpectReadAsQemuDoes(path);
  ExpectRuns(fmt::format("qemu-img resize -q -f qcow2 {} 20M", path));
  const Error refusal = MustRefuse(path);
  EXPECT_EQ(refusal.kind, ErrorKind::kCorrupt);
  const std::string advice = fmt::format("truncate -s %65536 {}", path);
  ASSERT_THAT(refusal.action, HasSubstr(advice));
  ExpectRuns(advice);
  ExpectReadAsQemuDoes(path);
}

}  // namespace
}  // namespace asr
