#include "core/source/folder_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/fault_file_system.h"
#include "tests/support/qemu_lock.h"
#include "tests/support/temp_dir.h"
#include "tests/support/vhdx_builder.h"

namespace asr {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class FolderSourceTest : public ::testing::Test {
 protected:
  void Write(const std::string& name, const std::string& text) {
    const std::string path = directory_ / name;
    ASSERT_TRUE(fs_.CreateDirectories(ParentOf(path)).has_value());
    ASSERT_TRUE(WriteFileAtomic(fs_, path, AsBytes(text)).has_value());
  }
  void WriteImage(const std::string& name) { Write(name, std::string(kMiB, 'x')); }

  std::vector<VirtualMachine> List() {
    auto vms = ListFolderVms(fs_, {"lab", directory_.path()});
    EXPECT_TRUE(vms.has_value()) << vms.error().Line();
    return vms ? *std::move(vms) : std::vector<VirtualMachine>{};
  }
  VirtualMachine Only() {
    const auto vms = List();
    EXPECT_THAT(vms, SizeIs(1));
    return vms.empty() ? VirtualMachine{} : vms[0];
  }
  static std::vector<std::string> DiskNames(const VirtualMachine& vm) {
    std::vector<std::string> names;
    for (const VmDisk& disk : vm.disks) names.push_back(disk.name.value);
    return names;
  }

  FileSystem& fs_ = PosixFileSystem();
  testing::TempDir directory_;
};

TEST_F(FolderSourceTest, DescribesAVm) {
  WriteImage("web/root.raw");
  const VirtualMachine vm = Only();
  EXPECT_EQ(vm.name, "web");
  EXPECT_EQ(vm.host, "lab");
  EXPECT_EQ(vm.power_state, VmPowerState::kOff);
  EXPECT_TRUE(vm.protectable());
  EXPECT_THAT(vm.disks, ElementsAre(VmDisk{.name = {"root"},
                                           .path = directory_ / "web/root.raw",
                                           .folder = directory_ / "web",
                                           .format = "raw",
                                           .size_bytes = kMiB,
                                           .logical_sector_bytes = 512}));
}

TEST_F(FolderSourceTest, OnlyFoldersWithImagesAreVms) {
  WriteImage("loose.raw");
  Write("notes/readme.txt", "x");
  ASSERT_TRUE(fs_.CreateDirectories(directory_ / "trap.raw/inner.raw").has_value());
  WriteImage("B/DISK.RAW");
  WriteImage("a/x.raw");
  const auto vms = List();
  ASSERT_THAT(vms, SizeIs(2));
  EXPECT_EQ(vms[0].name, "B");
  EXPECT_EQ(vms[1].name, "a");
  EXPECT_TRUE(vms[0].protectable()) << vms[0].reasons[0];
}

TEST_F(FolderSourceTest, EveryEndingCountsInAnyCase) {
  for (const char* ending : {"vhd", "VHDX", "avhd", "AvhdX", "qcow2", "raw", "Img"}) {
    Write(std::string("vm-") + ending + "/disk." + ending, "short");
  }
  const auto vms = List();
  EXPECT_THAT(vms, SizeIs(7));
  for (const VirtualMachine& vm : vms) EXPECT_EQ(DiskNames(vm), std::vector<std::string>{"disk"});
}

TEST_F(FolderSourceTest, AnUnreadableImageMakesTheVmUnprotectable) {
  WriteImage("web/a.raw");
  Write("web/b.vhdx", "no vhdx at all");
  const VirtualMachine vm = Only();
  EXPECT_FALSE(vm.protectable());
  EXPECT_THAT(vm.reasons, ElementsAre(HasSubstr("disk b: ")));
  ASSERT_EQ(DiskNames(vm), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(vm.disks[0].format, "raw");
  EXPECT_EQ(vm.disks[1].format, "");
}

TEST_F(FolderSourceTest, AnImageInUseIsAReasonThatPasses) {
  WriteImage("web/a.raw");
  Write("web/b.vhdx", "half written");
  {
    const testing::QemuLock writer(directory_ / "web/b.vhdx");
    const VirtualMachine vm = Only();
    EXPECT_FALSE(vm.protectable());
    ASSERT_TRUE(vm.in_use.has_value());
    EXPECT_EQ(vm.in_use->kind, ErrorKind::kBusy);
    EXPECT_TRUE(vm.in_use->retryable);
    EXPECT_THAT(vm.in_use->Line(), HasSubstr("disk b, "));
  }
  EXPECT_FALSE(Only().in_use.has_value());
}

TEST_F(FolderSourceTest, NaturalOrderOfDisks) {
  for (const char* name : {"disk10", "disk2", "disk1", "disk02b", "boot", "disk2a"}) {
    WriteImage(std::string("web/") + name + ".raw");
  }
  EXPECT_EQ(DiskNames(Only()),
            (std::vector<std::string>{"boot", "disk1", "disk2", "disk2a", "disk02b", "disk10"}));
}

TEST_F(FolderSourceTest, OrderAndFormatsOfVmJson) {
  WriteImage("web/data.raw");
  WriteImage("web/extra.raw");
  WriteImage("web/boot/root.img");
  Write("web/vm.json", R"({"name": "Web", "cpuCount": 2, "color": "red",
      "disks": [{"path": "boot/root.img", "format": "raw"}, {"path": "data.raw"}]})");
  const VirtualMachine vm = Only();
  EXPECT_EQ(vm.name, "Web");
  EXPECT_EQ(vm.settings.cpu_count, 2);
  EXPECT_TRUE(vm.protectable()) << vm.reasons[0];
  EXPECT_EQ(DiskNames(vm), (std::vector<std::string>{"root", "data", "extra"}));
  EXPECT_THAT(vm.warnings, ElementsAre(HasSubstr("color"), HasSubstr("extra.raw")));
}

TEST_F(FolderSourceTest, AnImgNeedsItsFormatDeclared) {
  WriteImage("web/root.img");
  EXPECT_THAT(Only().reasons, ElementsAre(HasSubstr("root.img")));
}

TEST_F(FolderSourceTest, ABadVmJsonIsAReasonAndHidesNothing) {
  WriteImage("web/root.raw");
  Write("web/vm.json", R"({"generation": 9})");
  WriteImage("db/root.raw");
  const auto vms = List();
  ASSERT_THAT(vms, SizeIs(2));
  EXPECT_TRUE(vms[0].protectable());
  EXPECT_THAT(vms[1].reasons, ElementsAre(HasSubstr("vm.json: generation 9")));
  EXPECT_EQ(DiskNames(vms[1]), std::vector<std::string>{"root"});
}

TEST_F(FolderSourceTest, AMissingImageOfVmJsonIsAReason) {
  WriteImage("web/root.raw");
  Write("web/vm.json", R"({"disks": [{"path": "gone.raw"}]})");
  EXPECT_THAT(Only().reasons, ElementsAre(HasSubstr("disk gone: ")));
}

TEST_F(FolderSourceTest, AVmJsonWithoutImagesIsAVmWithoutDisks) {
  Write("web/vm.json", "{}");
  EXPECT_THAT(Only().reasons, ElementsAre(HasSubstr("holds no disk image")));
}

TEST_F(FolderSourceTest, TwoImagesOfOneName) {
  WriteImage("web/root.raw");
  WriteImage("web/root.RAW");
  EXPECT_THAT(Only().reasons, ElementsAre(HasSubstr("both named root")));
}

TEST_F(FolderSourceTest, TwoVmsOfOneName) {
  WriteImage("a/root.raw");
  WriteImage("b/root.raw");
  Write("b/vm.json", R"({"name": "a"})");
  for (const VirtualMachine& vm : List()) {
    EXPECT_THAT(vm.reasons, ElementsAre(HasSubstr("2 VMs of host lab are named a")));
  }
}

// Writes down which files are opened.
class OpenedFiles : public testing::FaultFileSystem {
 public:
  OpenedFiles() : FaultFileSystem(PosixFileSystem()) {}
  Result<std::unique_ptr<File>> Open(const std::string& path, OpenOptions options) override {
    names.push_back(BaseName(ParentOf(path)) + "/" + BaseName(path));
    return FaultFileSystem::Open(path, options);
  }
  std::vector<std::string> names;
};

TEST_F(FolderSourceTest, FindingOneVmOpensItsImagesOnly) {
  for (const char* name : {"a/root.raw", "b/root.raw", "c/root.raw"}) WriteImage(name);
  Write("b/vm.json", R"({"name": "web"})");
  OpenedFiles files;
  const auto found = FindFolderVms(files, {"lab", directory_.path()}, "web");
  ASSERT_TRUE(found.has_value()) << found.error().Line();
  EXPECT_THAT(files.names, ElementsAre("b/vm.json", "b/root.raw"));
  EXPECT_THAT(found->names, ElementsAre("a", "web", "c"));
  ASSERT_THAT(found->vms, SizeIs(1));
  EXPECT_EQ(found->vms[0].disks, List()[1].disks);
  EXPECT_TRUE(found->vms[0].protectable());
  EXPECT_THAT(FindFolderVms(fs_, {"lab", directory_.path()}, "b")->vms, IsEmpty());
}

TEST_F(FolderSourceTest, FindingAVmWhoseNameIsShared) {
  WriteImage("a/root.raw");
  WriteImage("b/root.raw");
  Write("b/vm.json", R"({"name": "a"})");
  const auto found = FindFolderVms(fs_, {"lab", directory_.path()}, "a");
  ASSERT_THAT(found->vms, SizeIs(2));
  EXPECT_THAT(found->vms[0].reasons, ElementsAre(HasSubstr("2 VMs of host lab are named a")));
}

TEST_F(FolderSourceTest, LinksOutOfTheFolderAreRefused) {
  WriteImage("other/secret.raw");
  WriteImage("web/real.raw");
  ASSERT_EQ(::symlink("../other/secret.raw", (directory_ / "web/out.raw").c_str()), 0);
  ASSERT_EQ(::symlink("real.raw", (directory_ / "web/within.raw").c_str()), 0);
  const auto vms = List();
  ASSERT_THAT(vms, SizeIs(2));
  EXPECT_THAT(vms[1].reasons, ElementsAre(HasSubstr("out.raw leads out of the VM's folder")));
}

TEST_F(FolderSourceTest, AFolderBesideWithTheSameBeginningIsOutside) {
  WriteImage("web2/secret.raw");
  WriteImage("web/real.raw");
  ASSERT_EQ(::symlink("../web2/secret.raw", (directory_ / "web/out.raw").c_str()), 0);
  EXPECT_THAT(List()[0].reasons, ElementsAre(HasSubstr("leads out of the VM's folder")));
}

TEST_F(FolderSourceTest, APipeIsNoImage) {
  WriteImage("web/real.raw");
  ASSERT_EQ(::mkfifo((directory_ / "web/pipe.raw").c_str(), 0600), 0);
  EXPECT_THAT(Only().reasons, ElementsAre(HasSubstr("neither a file nor a block device")));
}

TEST_F(FolderSourceTest, AHostWithoutItsFolder) {
  const auto vms = ListFolderVms(fs_, {"lab", directory_ / "gone"});
  ASSERT_FALSE(vms.has_value());
  EXPECT_EQ(vms.error().kind, ErrorKind::kNotFound);
  EXPECT_THAT(vms.error().Line(), HasSubstr("host lab"));
}

TEST_F(FolderSourceTest, AnEmptyHostHasNoVms) { EXPECT_THAT(List(), IsEmpty()); }

TEST_F(FolderSourceTest, AnOverlayWithoutAKnownEndingIsAReason) {
  WriteImage("web/vm.raw");
  Write("web/notes.txt", "nothing");
  EXPECT_TRUE(Only().protectable());
  Write("web/vm.snap1", "QFI\xfb and so on");
  EXPECT_THAT(Only().reasons, ElementsAre(HasSubstr("vm.snap1")));
}

// A chain of differencing VHDXs, base first, in the folder of VM "web".
class FolderChainTest : public FolderSourceTest {
 protected:
  void SetUp() override {
    ASSERT_TRUE(fs_.CreateDirectories(directory_ / "web").has_value());
    content_.AddPiece(0, kMiB);
  }
  testing::VhdxBuilder Image(std::uint8_t id) {
    testing::VhdxBuilder builder(content_);
    builder.data_write_guid.fill(id);
    return builder;
  }
  void WriteBase(const std::string& name, std::uint8_t id) {
    Image(id).Write(directory_ / "web/" + name);
  }
  void WriteChild(const std::string& name, std::uint8_t id, const std::string& parent,
                  std::uint8_t parent_id) {
    testing::VhdxBuilder builder = Image(id);
    testing::VhdxBuilder::GuidBytes parent_guid{};
    parent_guid.fill(parent_id);
    builder.MakeChildOf(parent_guid, std::u16string(parent.begin(), parent.end()));
    builder.Write(directory_ / "web/" + name);
  }

  testing::DiskContent content_{3 * kMiB};
};

TEST_F(FolderChainTest, TheLeafIsTheDiskAndTheBaseNamesIt) {
  WriteBase("root.vhdx", 1);
  WriteChild("root_A1.avhdx", 2, "root.vhdx", 1);
  WriteChild("root_B2.avhdx", 3, "root_A1.avhdx", 2);
  const VirtualMachine vm = Only();
  EXPECT_THAT(vm.reasons, IsEmpty());
  ASSERT_THAT(vm.disks, SizeIs(1));
  EXPECT_EQ(vm.disks[0].name.value, "root");
  EXPECT_EQ(vm.disks[0].path, directory_ / "web/root_B2.avhdx");
}

TEST_F(FolderChainTest, TwoLeavesOfOneBaseAreAReason) {
  WriteBase("root.vhdx", 1);
  WriteChild("one.avhdx", 2, "root.vhdx", 1);
  WriteChild("two.avhdx", 3, "root.vhdx", 1);
  EXPECT_THAT(Only().reasons, ElementsAre(HasSubstr("children of one parent")));
}

TEST_F(FolderChainTest, ABrokenChainIsAReasonThatNamesBothFiles) {
  WriteBase("root.vhdx", 9);
  WriteChild("leaf.avhdx", 2, "root.vhdx", 1);
  const VirtualMachine vm = Only();
  ASSERT_FALSE(vm.protectable());
  EXPECT_THAT(vm.reasons[0], AllOf(HasSubstr("leaf.avhdx"), HasSubstr("root.vhdx")));
}

TEST_F(FolderChainTest, ADescriptionThatNamesAParentIsAReason) {
  WriteBase("root.vhdx", 1);
  WriteChild("leaf.avhdx", 2, "root.vhdx", 1);
  Write("web/vm.json", R"({"disks": [{"path": "root.vhdx"}]})");
  EXPECT_THAT(Only().reasons, ElementsAre(HasSubstr("is the parent of")));
}

}  // namespace
}  // namespace asr
