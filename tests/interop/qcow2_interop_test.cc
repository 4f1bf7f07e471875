// qcow2 against QEMU's own tools: what we read of theirs, what they read of ours, and what becomes
// of the server that we read through.
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include <fmt/format.h>

#include "core/source/folder_source.h"
#include "storage/base/clock.h"
#include "storage/base/process.h"
#include "storage/image/disk.h"
#include "storage/image/image_writer.h"
#include "storage/image/qcow2_disk.h"
#include "tests/support/disk_content.h"
#include "tests/support/image_file.h"
#include "tests/support/qcow2_builder.h"
#include "tests/support/qcow2_interop_fixture.h"

namespace asr {
namespace {

using testing::DiskContent;
using testing::ExpectRuns;
using ::testing::HasSubstr;
using testing::MustSucceed;
using testing::Qcow2InteropTest;

bool EndsSoon(const ProcessIdentity& process) {
  for (int i = 0; i < 500 && IsAlive(process); ++i) SystemClock().SleepSeconds(0.02);
  return !IsAlive(process);
}

// For this process and what it starts, as long as it lives.
class DescriptorLimit {
 public:
  explicit DescriptorLimit(rlim_t count) {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const struct rlimit limit { count, before_.rlim_max };
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
  ~DescriptorLimit() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  DescriptorLimit(const DescriptorLimit&) = delete;
  DescriptorLimit& operator=(const DescriptorLimit&) = delete;

 private:
  struct rlimit before_ {};
};

TEST_F(Qcow2InteropTest, ReadsAChainOfThreeWithOddNamesAndSizes) {
  MustSucceed(PosixFileSystem().CreateDirectories(directory_ / "a,b=c {\"d\"}"));
  const std::string base = directory_ / "a,b=c {\"d\"}/base, \xE9:1.img";
  const std::string middle = directory_ / "a,b=c {\"d\"}/middle,,.img";
  const std::string leaf = directory_ / "leaf file,x=y.qcow2";
  ExpectRuns(
      fmt::format("qemu-img create -q -f raw '{0}' 8M && qemu-io -f raw -c 'write -P 1 0 "
                  "8M' '{0}'",
                  base));
  ExpectRuns(fmt::format("qemu-img create -q -f qcow2 -F raw -b '{}' '{}' 16M", base, middle));
  ExpectRuns(
      fmt::format("qemu-io -f qcow2 -c 'write -P 2 1M 1M' -c 'write -P 2 12M 1M' '{}'", middle));
  ExpectRuns(fmt::format("qemu-img create -q -f qcow2 -F qcow2 -b '{}' '{}' 24M", middle, leaf));
  ExpectRuns(
      fmt::format("qemu-io -f qcow2 -c 'write -P 3 2M 70k' -c 'write -z 12M 64k' -c 'write "
                  "-P 3 20M 1M' '{}'",
                  leaf));
  ExpectReadAsQemuDoes(leaf);
  const auto files = MustOpen(leaf)->files();
  ASSERT_EQ(files.size(), 3U);
  EXPECT_EQ(files[0].path, leaf);
  EXPECT_EQ(files[2].path, base);
  EXPECT_EQ(files[2].stamp, PosixFileSystem().Stat(base).value());
  const auto described = MustOpen(leaf)->Describe();
  EXPECT_EQ(described[1].format, ImageFormat::kQcow2);
  EXPECT_EQ(described[2].format, ImageFormat::kRaw);
  EXPECT_EQ(described[2].size_bytes, 8 * kMiB);
}

// Of images that the tests build: QEMU takes them, so they are what the unit tests think they are.
TEST_F(Qcow2InteropTest, ReadsTheLongestChain) {
  const std::string base = directory_ / "0.qcow2";
  ExpectRuns(fmt::format(
      "qemu-img create -q -f qcow2 {0} 1M && qemu-io -f qcow2 -c 'write -P 5 0 64k' {0}", base));
  for (int i = 1; i < 256; ++i) {
    testing::Qcow2Builder builder;
    builder.cluster_bits = 9;
    builder.disk_bytes = kMiB;
    builder.SetBacking(fmt::format("{}.qcow2", i - 1), "qcow2");
    builder.Write(directory_ / fmt::format("{}.qcow2", i));
  }
  ExpectRuns(fmt::format("qemu-img check -q -f qcow2 {}", directory_ / "255.qcow2"));
  const DescriptorLimit as_in_a_shell_of_debian(1024);
  const auto disk = MustOpen(directory_ / "255.qcow2");
  ASSERT_NE(disk, nullptr);
  EXPECT_EQ(disk->files().size(), 256U);
  std::vector<std::byte> out(64 * kKiB);
  MustSucceed(disk->Read(0, out));
  EXPECT_EQ(out.back(), std::byte{5});
  EXPECT_EQ(disk->AllocatedExtents({0, kMiB}).value(), (std::vector<Extent>{{0, 64 * kKiB}}));
}

TEST_F(Qcow2InteropTest, QemuReadsWhatWeWrite) {
  DiskContent content(200 * kMiB + 1536);
  content.AddPiece(0, 5 * kMiB + 512);
  content.AddPiece(64 * kMiB - 4096, 8192);
  content.AddPiece(200 * kMiB, 1536);
  for (const char* format : {"raw", "qcow2"}) {
    const std::string path = directory_ / fmt::format("a,b.{}", format);
    const auto writer =
        CreateImage(PosixFileSystem(), {path, format, content.size_bytes(), 512}).value();
    for (const auto& [offset, piece] : content.pieces()) MustSucceed(writer->Write(offset, piece));
    MustSucceed(writer->Finish());
  }
  ExpectRuns(
      fmt::format("qemu-img compare -f raw -F qcow2 {0}/a,b.raw {0}/a,b.qcow2", directory_.path()));
  ExpectRuns(fmt::format("qemu-img check -f qcow2 {}/a,b.qcow2", directory_.path()));
  EXPECT_EQ(DifferenceFrom(content, *MustOpen(directory_ / "a,b.qcow2")), "");
}

TEST_F(Qcow2InteropTest, AWriterThatIsDroppedLeavesNoServerBehind) {
  const std::string path = directory_ / "disk.qcow2";
  {
    const auto writer = CreateImage(PosixFileSystem(), {path, "qcow2", 10 * kMiB, 512}).value();
    MustSucceed(writer->Write(0, std::vector<std::byte>(kMiB, std::byte{1})));
  }
  EXPECT_FALSE(PosixFileSystem().FindWriter(path).value().has_value());
}

TEST_F(Qcow2InteropTest, AnImageThatQemuWritesToIsRefused) {
  const std::string base = directory_ / "base.qcow2";
  const std::string leaf = directory_ / "leaf.qcow2";
  ExpectRuns(fmt::format("qemu-img create -q -f qcow2 {} 10M", base));
  ExpectRuns(fmt::format("qemu-img create -q -f qcow2 -F qcow2 -b {} {}", base, leaf));
  for (const std::string& held : {leaf, base}) {
    std::FILE* qemu = ::popen(fmt::format("qemu-io -f qcow2 {} >/dev/null", held).c_str(), "w");
    for (int i = 0; i < 500 && !PosixFileSystem().FindWriter(held).value(); ++i) {
      SystemClock().SleepSeconds(0.02);
    }
    const Error refusal = MustRefuse(leaf);
    EXPECT_EQ(refusal.code, ErrorCode::kImageInUse) << refusal.Line();
    EXPECT_THAT(refusal.Line(), HasSubstr(held));
    EXPECT_TRUE(refusal.retryable);
    EXPECT_EQ(::pclose(qemu), 0);
    EXPECT_NE(MustOpen(leaf), nullptr);
  }
}

// The base alone could not be read: its name does not say what it is.
TEST_F(Qcow2InteropTest, AnOverlayOnAnImgIsTheOneDiskOfItsFolder) {
  ExpectRuns(
      fmt::format("mkdir {0}/web && truncate -s 1M {0}/web/disk.img && "
                  "qemu-img create -q -f qcow2 -F raw -b disk.img {0}/web/top.qcow2",
                  directory_.path()));
  const auto vms = ListFolderVms(PosixFileSystem(), {"lab", directory_.path()}).value();
  ASSERT_EQ(vms.size(), 1U);
  EXPECT_TRUE(vms[0].protectable()) << vms[0].reasons.front();
  ASSERT_EQ(vms[0].disks.size(), 1U);
  EXPECT_EQ(vms[0].disks[0].name.value, "disk");
}

// One that begins between our look and QEMU's opening.
TEST_F(Qcow2InteropTest, QemusOwnLockIsUnderstood) {
  const std::string path = directory_ / "disk.qcow2";
  ExpectRuns(fmt::format("qemu-img create -q -f qcow2 {} 10M", path));
  const auto start = [&] {
    const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    return NbdServer::Start(
        {.node = fmt::format(R"({{"driver":"qcow2","file":{{"driver":"file","filename":"{}"}}}})",
                             NbdFileName(0)),
         .descriptors = {file.get()}});
  };
  std::FILE* qemu = ::popen(fmt::format("qemu-io -f qcow2 {} >/dev/null", path).c_str(), "w");
  for (int i = 0; i < 500 && !PosixFileSystem().FindWriter(path).value(); ++i) {
    SystemClock().SleepSeconds(0.02);
  }
  const auto refused = start();
  EXPECT_EQ(::pclose(qemu), 0);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kImageInUse) << refused.error().Line();
  EXPECT_TRUE(start().has_value());
}

TEST_F(Qcow2InteropTest, AnExternalDataFileIsRefused) {
  const std::string path = directory_ / "disk.qcow2";
  ExpectRuns(fmt::format("qemu-img create -q -f qcow2 -o data_file={}/data.raw {} 10M",
                         directory_.path(), path));
  EXPECT_EQ(MustRefuse(path).kind, ErrorKind::kUnsupported);
}

TEST_F(Qcow2InteropTest, AFileThatWasCutIsCorrupt) {
  const std::string path = directory_ / "disk.qcow2";
  ExpectRuns(
      fmt::format("qemu-img create -q -f qcow2 {0} 10M && qemu-io -f qcow2 -c 'write -P 1 0 "
                  "8M' {0}",
                  path));
  const std::uint64_t whole_bytes = testing::FileSize(path);
  for (const std::uint64_t cut_bytes : {std::uint64_t{1}, std::uint64_t{60000}, kMiB}) {
    testing::ResizeFile(path, whole_bytes - cut_bytes);
    EXPECT_EQ(MustRefuse(path).kind, ErrorKind::kCorrupt) << cut_bytes;
  }
}

TEST_F(Qcow2InteropTest, TheServerEndsWithTheDisk) {
  const std::string path = directory_ / "disk.qcow2";
  ExpectRuns(fmt::format("qemu-img create -q -f qcow2 {} 10M", path));
  auto disk = MustOpen(path);
  ASSERT_NE(disk, nullptr);
  const auto server = ProcessWithId(static_cast<const Qcow2Disk&>(*disk).server_pid());
  ASSERT_TRUE(server.has_value());
  disk.reset();
  EXPECT_FALSE(IsAlive(*server));
}

// Whichever thread opened it: a signal at a parent's death would come when that thread ends.
TEST_F(Qcow2InteropTest, TheServerOutlivesTheThreadThatOpenedTheDisk) {
  const std::string path = directory_ / "disk.qcow2";
  ExpectRuns(fmt::format("qemu-img create -q -f qcow2 {} 10M", path));
  std::unique_ptr<Disk> disk;
  std::thread([&] { disk = MustOpen(path); }).join();
  SystemClock().SleepSeconds(0.1);
  std::vector<std::byte> out(kMiB);
  EXPECT_TRUE(disk->Read(0, out).has_value());
}

TEST_F(Qcow2InteropTest, KillingUsLeavesNoServerBehind) {
  const std::string path = directory_ / "disk.qcow2";
  ExpectRuns(fmt::format("qemu-img create -q -f qcow2 {} 10M", path));
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto disk = OpenDisk(PosixFileSystem(), path);
    const int pid = disk ? static_cast<const Qcow2Disk&>(**disk).server_pid() : 0;
    static_cast<void>(::write(ends[1], &pid, sizeof(pid)) == sizeof(pid));
    ::pause();
  }
  int pid = 0;
  ASSERT_EQ(::read(ends[0], &pid, sizeof(pid)), static_cast<ssize_t>(sizeof(pid)));
  const auto server = ProcessWithId(pid);
  ASSERT_TRUE(server.has_value());
  ASSERT_EQ(::kill(child, SIGKILL), 0);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_TRUE(EndsSoon(*server));
}

TEST_F(Qcow2InteropTest, AServerThatDiesIsAnErrorAndNoHang) {
  const std::string path = directory_ / "disk.qcow2";
  ExpectRuns(fmt::format("qemu-img create -q -f qcow2 {} 10M", path));
  const auto disk = MustOpen(path);
  ASSERT_NE(disk, nullptr);
  ASSERT_EQ(::kill(static_cast<const Qcow2Disk&>(*disk).server_pid(), SIGKILL), 0);
  std::vector<std::byte> out(8 * kMiB);
  for (int i = 0; i < 6; ++i) EXPECT_FALSE(disk->Read(0, out).has_value());
  EXPECT_FALSE(disk->AllocatedExtents({0, kMiB}).has_value());
}

TEST_F(Qcow2InteropTest, WithoutQemuTheErrorNamesThePackage) {
  const std::string path = directory_ / "disk.qcow2";
  ExpectRuns(fmt::format("qemu-img create -q -f qcow2 {} 10M", path));
  const std::string before = std::getenv("PATH");
  ::setenv("PATH", directory_.path().c_str(), 1);
  const Error refusal = MustRefuse(path);
  const auto writer = CreateImage(PosixFileSystem(), {directory_ / "new", "qcow2", kMiB, 512});
  ::setenv("PATH", before.c_str(), 1);
  EXPECT_EQ(refusal.kind, ErrorKind::kUnsupported);
  EXPECT_THAT(refusal.action, HasSubstr("qemu-utils"));
  ASSERT_FALSE(writer.has_value());
  EXPECT_THAT(writer.error().action, HasSubstr("qemu-utils"));
  EXPECT_FALSE(Exists(PosixFileSystem(), directory_ / "new"));
}

TEST_F(Qcow2InteropTest, FixturesOfOthers) {
  const char* given = std::getenv("ASR_FIXTURES");
  const std::string fixtures = given != nullptr ? given : ASR_SOURCE_DIR "/../shared/fixtures";
  if (!Exists(PosixFileSystem(), fixtures)) GTEST_SKIP() << "no images at " << fixtures;
  for (const char* name : {"ext2.qcow2", "windows_volume.qcow2"}) {
    SCOPED_TRACE(name);
    ExpectRuns(fmt::format("cp {}/dfvfs/{} {}", fixtures, name, directory_.path()));
    ExpectReadAsQemuDoes(directory_ / name);
  }
}

}  // namespace
}  // namespace asr
