#include "core/failover/qemu_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "storage/base/bytes.h"

namespace asr {
namespace {

using ::testing::Contains;
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

MachineSpec SpecWithDisks(int generation, std::vector<std::uint32_t> sector_sizes) {
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
