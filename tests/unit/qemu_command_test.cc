#include "core/failover/qemu_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "storage/base/bytes.h"

namespace asr {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::vector<std::string> ValuesOf(const std::vector<std::string>& command,
                                  const std::string& option) {
  std::vector<std::string> values;
  for (std::size_t i = 0; i + 1 < command.size(); ++i) {
    if (command[i] == option) values.push_back(command[i + 1]);
  }
  return values;
}

MachineSpec SpecWithDisks(int generation, const std::vector<std::uint32_t>& sector_sizes) {
  MachineSpec spec;
  spec.name = "web";
  spec.directory = "/d";
  spec.generation = generation;
  for (const std::uint32_t size : sector_sizes) {
    spec.disks.push_back({"/d/" + std::to_string(spec.disks.size()) + ".raw", size});
  }
  return spec;
}

TEST(QemuCommandTest, FirstGenerationHasFourDisksOnIdeAndTheRestOnVirtio) {
  const auto command = QemuCommand(SpecWithDisks(1, {512, 512, 4096, 512, 512}), {"/q", true, ""});
  EXPECT_EQ(command.front(), "/q");
  EXPECT_EQ(ValuesOf(command, "-machine"), std::vector<std::string>{"pc"});
  EXPECT_EQ(ValuesOf(command, "-accel"), std::vector<std::string>{"kvm"});
  std::vector<std::string> disks = ValuesOf(command, "-device");
  std::erase_if(
      disks, [](const std::string& device) { return device.find("drive=") == std::string::npos; });
  ASSERT_EQ(disks.size(), 5U);
  EXPECT_THAT(disks[0], HasSubstr("ide-hd,bus=ide.0,unit=0,drive=disk0"));
  EXPECT_THAT(disks[0], HasSubstr("bootindex=1"));
  EXPECT_THAT(disks[1], HasSubstr("ide-hd,bus=ide.0,unit=1,drive=disk1"));
  EXPECT_THAT(disks[1], Not(HasSubstr("bootindex")));
  EXPECT_THAT(disks[2], HasSubstr("virtio-blk-pci,logical_block_size=4096"));
  EXPECT_THAT(disks[3], HasSubstr("ide-hd,bus=ide.1,unit=1,drive=disk3"));
  EXPECT_THAT(disks[4], HasSubstr("virtio-blk-pci,logical_block_size=512"));
}

TEST(QemuCommandTest, SecondGenerationHasFirmwareAndVirtio) {
  const auto command = QemuCommand(SpecWithDisks(2, {512}), {"/q", false, "/f/CODE,1.fd"});
  EXPECT_THAT(ValuesOf(command, "-machine").front(), HasSubstr("q35,pflash0=firmware-code"));
  EXPECT_EQ(ValuesOf(command, "-accel"), std::vector<std::string>{"tcg"});
  const auto backends = ValuesOf(command, "-blockdev");
  ASSERT_EQ(backends.size(), 3U);
  EXPECT_THAT(backends[0], HasSubstr(R"("filename":"/f/CODE,1.fd")"));
  EXPECT_THAT(backends[0], HasSubstr(R"("read-only":true)"));
  EXPECT_THAT(backends[1], HasSubstr(R"("read-only":false)"));
}

std::vector<std::string> DisksOf(const MachineSpec& spec) {
  std::vector<std::string> devices = ValuesOf(QemuCommand(spec, {"/q", false, "/f"}), "-device");
  std::erase_if(devices, [](const std::string& device) {
    return device.starts_with("VGA") || device.starts_with("pvpanic");
  });
  for (std::string& device : devices) device = device.substr(0, device.find(",logical_"));
  for (std::string& device : devices) device = device.substr(0, device.find(",drive="));
  return devices;
}

TEST(QemuCommandTest, DisksAreOnTheBusOfTheirHost) {
  MachineSpec spec = SpecWithDisks(1, {512, 512, 512, 4096, 512});
  const std::vector<std::string> buses = {"scsi", "virtio", "ide", "sata", "usb"};
  for (std::size_t i = 0; i < buses.size(); ++i) spec.disks[i].bus = buses[i];
  spec.hardware = {.machine_type = "pc-i440fx-7.2", .scsi_model = "lsilogic", .cards = {}};
  EXPECT_THAT(DisksOf(spec),
              ElementsAre("lsi53c895a,id=scsi0", "scsi-hd,bus=scsi0.0,scsi-id=0", "virtio-blk-pci",
                          "ide-hd,bus=ide.0,unit=0", "virtio-blk-pci", "qemu-xhci,id=usb0",
                          "usb-storage,bus=usb0.0"));
  // q35 has no IDE.
  spec = SpecWithDisks(1, {512, 512});
  spec.disks[0].bus = "ide";
  spec.disks[1].bus = "sata";
  spec.hardware.machine_type = "pc-q35-7.2";
  EXPECT_EQ(ValuesOf(QemuCommand(spec, {"/q", true, ""}), "-machine").front(), "q35");
  EXPECT_THAT(DisksOf(spec),
              ElementsAre("ich9-ahci,id=sata0", "ide-hd,bus=sata0.0", "ide-hd,bus=sata0.1"));
  // Its description does not tell of a disk that was plugged in while it ran.
  spec = SpecWithDisks(1, {512, 512, 512});
  spec.disks[0].bus = spec.disks[2].bus = "ide";
  spec.hardware.machine_type = "pc-i440fx-7.2";
  EXPECT_THAT(DisksOf(spec),
              ElementsAre("ide-hd,bus=ide.0,unit=0", "virtio-blk-pci", "ide-hd,bus=ide.0,unit=1"));
  // More than a controller has places for.
  spec = SpecWithDisks(2, std::vector<std::uint32_t>(7, 512));
  for (auto& disk : spec.disks) disk.bus = "scsi";
  spec.hardware.machine_type = "pc-i440fx-7.2";
  EXPECT_EQ(ValuesOf(QemuCommand(spec, {"/q", true, "/f"}), "-machine").front(),
            "pc,pflash0=firmware-code,pflash1=firmware-variables");
  EXPECT_THAT(DisksOf(spec), Contains("virtio-scsi-pci,id=scsi1"));
  EXPECT_THAT(DisksOf(spec), Contains("scsi-hd,bus=scsi1.0,scsi-id=0"));
}

TEST(QemuCommandTest, CardsAreThoseOfTheHostAndNoneMeetsAnother) {
  MachineSpec spec = SpecWithDisks(1, {512});
  spec.hardware.cards = {{.mac = "52:54:00:00:00:01", .model = "virtio", .network = "bridge br0"},
                         {.mac = "x,hostfwd=tcp::1-:1", .model = "igb,a=b", .network = "user"}};
  EXPECT_EQ(ValuesOf(QemuCommand(spec, {"/q", true, ""}), "-nic"),
            std::vector<std::string>{"none"});
  spec.settings.sign_of_life.tcp_port = 22;
  const auto command = QemuCommand(spec, {"/q", true, ""});
  EXPECT_THAT(ValuesOf(command, "-netdev"),
              ElementsAre("user,id=net0,restrict=on,hostfwd=tcp:127.0.0.1:0-:22",
                          "user,id=net0-1,restrict=on"));
  EXPECT_THAT(ValuesOf(command, "-device"),
              Contains("virtio-net-pci,netdev=net0,romfile=,mac=52:54:00:00:00:01"));
  EXPECT_THAT(ValuesOf(command, "-device"), Contains("e1000,netdev=net0-1,romfile="));
}

TEST(QemuCommandTest, FormatIsSaidAndNoNameBreaksOutOfItsOption) {
  MachineSpec spec = SpecWithDisks(1, {});
  spec.name = "web,debug-threads=on";
  spec.disks.push_back({R"(/d/a,b"c.raw)", 512});
  spec.settings.cpu_count = 3;
  spec.settings.memory_bytes = 512 * kMiB + 1;
  const auto command = QemuCommand(spec, {"/q", false, ""});
  EXPECT_EQ(ValuesOf(command, "-name"), std::vector<std::string>{"guest=web,,debug-threads=on"});
  const auto backends = ValuesOf(command, "-blockdev");
  ASSERT_EQ(backends.size(), 1U);
  EXPECT_THAT(backends[0], HasSubstr(R"("driver":"raw")"));
  EXPECT_THAT(backends[0], HasSubstr(R"("filename":"/d/a,b\"c.raw")"));
  EXPECT_EQ(ValuesOf(command, "-smp"), std::vector<std::string>{"3"});
  EXPECT_EQ(ValuesOf(command, "-m"), std::vector<std::string>{"513M"});
}

TEST(QemuCommandTest, GuestHasNoNetwork) {
  for (const int generation : {1, 2}) {
    const auto command = QemuCommand(SpecWithDisks(generation, {512}), {"/q", false, "/f"});
    EXPECT_EQ(ValuesOf(command, "-nic"), std::vector<std::string>{"none"});
    EXPECT_THAT(command, Contains("-nodefaults"));
    EXPECT_THAT(ValuesOf(command, "-netdev"), IsEmpty());
  }
}

TEST(QemuCommandTest, IsolatedNetworkEndsInQemuAndForwardsOnlyThePortThatIsAsked) {
  MachineSpec spec = SpecWithDisks(1, {512});
  spec.settings.network = GuestNetwork::kIsolated;
  const auto isolated = QemuCommand(spec, {"/q", false, ""});
  EXPECT_EQ(ValuesOf(isolated, "-netdev"), std::vector<std::string>{"user,id=net0,restrict=on"});
  EXPECT_THAT(ValuesOf(isolated, "-device"), Contains("e1000,netdev=net0,romfile="));
  EXPECT_THAT(ValuesOf(isolated, "-nic"), IsEmpty());
  spec = SpecWithDisks(2, {512});
  spec.settings.sign_of_life.tcp_port = 22;
  const auto asked = QemuCommand(spec, {"/q", false, "/f"});
  EXPECT_EQ(ValuesOf(asked, "-netdev"),
            std::vector<std::string>{"user,id=net0,restrict=on,hostfwd=tcp:127.0.0.1:0-:22"});
  EXPECT_THAT(ValuesOf(asked, "-device"), Contains("virtio-net-pci,netdev=net0,romfile="));
}

TEST(QemuCommandTest, ChannelOfTheAgentIsThereWhereItIsAsked) {
  MachineSpec spec = SpecWithDisks(1, {512});
  constexpr const char* kChannel = "virtserialport,chardev=agent0,name=org.qemu.guest_agent.0";
  EXPECT_THAT(ValuesOf(QemuCommand(spec, {"/q", false, ""}), "-device"), Not(Contains(kChannel)));
  spec.settings.sign_of_life.guest_agent = true;
  EXPECT_THAT(ValuesOf(QemuCommand(spec, {"/q", false, ""}), "-device"), Contains(kChannel));
}

}  // namespace
}  // namespace asr
