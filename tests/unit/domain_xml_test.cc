#include "core/source/domain_xml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "storage/base/bytes.h"

namespace asr {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::string DomainWith(const std::string& devices, const std::string& os = "<type>hvm</type>") {
  return "<domain type='kvm'><name>web</name><uuid>6a3c4f1e-0000-4000-8000-000000000001</uuid>"
         "<memory unit='MiB'>512</memory><vcpu>3</vcpu><os>" +
         os + "</os><devices>" + devices + "</devices></domain>";
}

std::string DiskXml(const std::string& target, const std::string& more = "",
                    const std::string& attributes = "type='file' device='disk'") {
  return "<disk " + attributes + "><driver name='qemu' type='qcow2'/><source file='/vm/" + target +
         ".qcow2'/><target dev='" + target + "' bus='virtio'/>" + more + "</disk>";
}

TEST(DomainXmlTest, ReadsWhatReplicationNeeds) {
  const auto vm = ParseDomainXml(
      DomainWith(DiskXml("vda", "<blockio logical_block_size='4096'/>") +
                 "<channel><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"));
  ASSERT_TRUE(vm.has_value()) << vm.error().Line();
  EXPECT_EQ(vm->name, "web");
  EXPECT_EQ(vm->settings.cpu_count, 3);
  EXPECT_EQ(vm->settings.memory_bytes, 512 * kMiB);
  EXPECT_EQ(vm->settings.generation, 1);
  EXPECT_TRUE(vm->has_guest_agent);
  ASSERT_EQ(vm->disks.size(), 1u);
  EXPECT_EQ(vm->disks[0].name.value, "vda");
  EXPECT_EQ(vm->disks[0].path, "/vm/vda.qcow2");
  EXPECT_EQ(vm->disks[0].format, "qcow2");
  EXPECT_EQ(vm->disks[0].logical_sector_bytes, 4096u);
  EXPECT_EQ(vm->disks[0].refusal, "");
  EXPECT_THAT(vm->warnings, IsEmpty());
}

TEST(DomainXmlTest, ReadsWhatTheMachineIsMadeOf) {
  const auto vm = ParseDomainXml(DomainWith(
      DiskXml("vda") + "<controller type='usb'/><controller type='scsi' model='lsilogic'/>" +
          "<interface type='network'><mac address='52:54:00:00:00:01'/>" +
          "<source network='default' bridge='virbr0'/><model type='virtio'/></interface>" +
          "<interface type='bridge'><source bridge='br0'/></interface>" +
          "<interface type='direct'><source dev='eth0' mode='bridge'/></interface>" +
          "<interface type='user'/>",
      "<type arch='x86_64' machine='pc-q35-7.2'>hvm</type>"));
  ASSERT_TRUE(vm.has_value()) << vm.error().Line();
  EXPECT_EQ(vm->disks[0].bus, "virtio");
  const MachineHardware expected = {
      .machine_type = "pc-q35-7.2",
      .scsi_model = "lsilogic",
      .cards = {{.mac = "52:54:00:00:00:01", .model = "virtio", .network = "network default"},
                {.mac = "", .model = "", .network = "bridge br0"},
                {.mac = "", .model = "", .network = "direct eth0"},
                {.mac = "", .model = "", .network = "user"}}};
  EXPECT_EQ(vm->hardware, expected);
}

TEST(DomainXmlTest, KnowsUefiByItsLoader) {
  const auto by_loader =
      ParseDomainXml(DomainWith("", "<loader type='pflash'>/f.fd</loader><nvram>/vars.fd</nvram>"));
  ASSERT_TRUE(by_loader.has_value());
  EXPECT_EQ(by_loader->settings.generation, 2);
  EXPECT_EQ(by_loader->nvram_path, "/vars.fd");
  EXPECT_EQ(by_loader->nvram_format, "raw");
  const auto by_source = ParseDomainXml(
      DomainWith("", "<nvram type='file' format='qcow2'><source file='/vars.qcow2'/></nvram>"));
  ASSERT_TRUE(by_source);
  EXPECT_EQ(by_source->nvram_path, "/vars.qcow2");
  EXPECT_EQ(by_source->nvram_format, "qcow2");
  const std::string automatic = "<domain><name>a</name><uuid>b</uuid><os firmware='efi'/></domain>";
  EXPECT_EQ(ParseDomainXml(automatic)->settings.generation, 2);
}

TEST(DomainXmlTest, DisksComeInBootOrder) {
  const auto vm = ParseDomainXml(
      DomainWith(DiskXml("vda") + DiskXml("vdb", "<boot order='1'/>") + DiskXml("vdc")));
  ASSERT_TRUE(vm.has_value());
  std::vector<std::string> names;
  for (const VmDisk& disk : vm->disks) names.push_back(disk.name.value);
  EXPECT_THAT(names, ElementsAre("vdb", "vda", "vdc"));
}

TEST(DomainXmlTest, WhatHoldsNothingIsLeftOut) {
  const auto vm = ParseDomainXml(DomainWith(
      DiskXml("sda", "", "type='file' device='cdrom'") + DiskXml("fda", "", "device='floppy'") +
      DiskXml("vda") + DiskXml("vdb", "<readonly/>") + DiskXml("vdc", "<transient/>")));
  ASSERT_TRUE(vm.has_value());
  ASSERT_EQ(vm->disks.size(), 1u);
  EXPECT_THAT(vm->warnings, Contains(HasSubstr("disk vdb is left out: it is read-only")));
  EXPECT_THAT(vm->warnings, Contains(HasSubstr("disk vdc is left out: it is transient")));
  EXPECT_THAT(vm->warnings, Not(Contains(HasSubstr("sda"))));
}

TEST(DomainXmlTest, WhatCannotBeReplicatedSaysWhy) {
  const auto vm = ParseDomainXml(DomainWith(
      DiskXml("vda", "<shareable/>") + DiskXml("vdb", "", "type='block' device='lun'") +
      DiskXml("vdc", "", "type='network' device='disk'") +
      "<disk type='file'><driver type='vmdk'/><source file='/x'/><target dev='vdd'/></disk>" +
      "<disk type='file'><driver type='raw'/><target dev='vde'/></disk>" +
      DiskXml("vdf", "<encryption format='luks'/>") +
      "<disk type='file'><driver type='raw'/><source file='/x'><slices/></source><target "
      "dev='vdg'/></disk>"));
  ASSERT_TRUE(vm.has_value());
  ASSERT_EQ(vm->disks.size(), 7u);
  EXPECT_THAT(vm->disks[0].refusal, HasSubstr("shared with other VMs"));
  EXPECT_THAT(vm->disks[1].refusal, HasSubstr("passed through"));
  EXPECT_THAT(vm->disks[2].refusal, HasSubstr("type 'network'"));
  EXPECT_THAT(vm->disks[3].refusal, HasSubstr("format is 'vmdk'"));
  EXPECT_THAT(vm->disks[4].refusal, HasSubstr("no image"));
  EXPECT_THAT(vm->disks[5].refusal, HasSubstr("encrypted"));
  EXPECT_THAT(vm->disks[6].refusal, HasSubstr("slice"));
}

TEST(DomainXmlTest, WhatIsNoDescriptionIsRefused) {
  for (const char* text : {"", "<domain>", "<domain/>", "<domain><name>x</name></domain>", "{}"}) {
    const auto vm = ParseDomainXml(text);
    ASSERT_FALSE(vm.has_value()) << text;
    EXPECT_EQ(vm.error().code, ErrorCode::kVmDescription);
  }
}

TEST(DomainXmlTest, AJobNamesItsDisksAndItsCheckpoint) {
  BackupDescription backup{.socket_path = "/run/a<b",
                           .checkpoint = "asr-1",
                           .disks = {{.target = "vda",
                                      .scratch_path = "/s/vda",
                                      .has_checkpoint = true,
                                      .base_checkpoint = "asr-0"},
                                     {.target = "vdb",
                                      .scratch_path = "/s/vdb",
                                      .has_checkpoint = false,
                                      .base_checkpoint = ""}},
                           .other_targets = {"vdc"}};
  const std::string job = BackupXml(backup);
  EXPECT_EQ(SocketOfBackup(job), "/run/a<b");
  EXPECT_THAT(job,
              HasSubstr("name=\"vda\" backup=\"yes\" type=\"file\" backupmode=\"incremental\""));
  EXPECT_THAT(job, HasSubstr("incremental=\"asr-0\""));
  EXPECT_THAT(job, HasSubstr("name=\"vdb\" backup=\"yes\" type=\"file\" backupmode=\"full\""));
  EXPECT_THAT(job, HasSubstr("name=\"vdc\" backup=\"no\""));
  const std::string checkpoint = CheckpointXml(backup);
  EXPECT_THAT(checkpoint, HasSubstr("<name>asr-1</name>"));
  EXPECT_THAT(checkpoint, HasSubstr("name=\"vda\" checkpoint=\"bitmap\""));
  EXPECT_THAT(checkpoint, HasSubstr("name=\"vdb\" checkpoint=\"no\""));
  EXPECT_THAT(checkpoint, HasSubstr("name=\"vdc\" checkpoint=\"no\""));
  // Of raw disks alone nobody notes changes.
  backup.disks.front().has_checkpoint = false;
  EXPECT_EQ(CheckpointXml(backup), "");
}

TEST(DomainXmlTest, AJobWithoutASocketOfThisKindHasNone) {
  EXPECT_EQ(SocketOfBackup("<domainbackup mode='push'/>"), "");
  EXPECT_EQ(SocketOfBackup("<domainbackup><server transport='tcp' name='h'/></domainbackup>"), "");
  EXPECT_EQ(SocketOfBackup("nonsense"), "");
}

TEST(WithoutDisksTest, TakesTheirReasonsAlong) {
  VmDisk shared;
  shared.name = {"vdb"};
  shared.refusal = "it is shared";
  VmDisk plain;
  plain.name = {"vda"};
  VirtualMachine vm;
  vm.disks = {plain, shared};
  vm.reasons = {RefusalReason(shared), "another"};
  EXPECT_THAT(RefusalReason(shared), HasSubstr("--exclude-disk vdb"));
  const VirtualMachine rest = WithoutDisks(vm, {{"vdb"}});
  ASSERT_EQ(rest.disks.size(), 1u);
  EXPECT_THAT(rest.reasons, ElementsAre("another"));
  EXPECT_EQ(WithoutDisks(vm, {}).reasons.size(), 2u);
}

}  // namespace
}  // namespace asr
