#include "core/source/vm_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/base/bytes.h"

namespace asr {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(VmJsonTest, ReadsEverything) {
  const auto vm = ParseVmDescription(R"({
    "name": "Web Server", "generation": 2, "cpuCount": 4, "memory": "2GiB",
    "disks": [{"path": "boot/root.img", "format": "raw"}, {"path": ".//data.vhdx"}],
    "signOfLife": {"serialText": "login:", "waitSeconds": 60}})");
  ASSERT_TRUE(vm.has_value()) << vm.error().Line();
  EXPECT_EQ(vm->name, "Web Server");
  EXPECT_EQ(vm->settings.generation, 2);
  EXPECT_EQ(vm->settings.cpu_count, 4);
  EXPECT_EQ(vm->settings.memory_bytes, 2 * kGiB);
  ASSERT_EQ(vm->disks.size(), 2u);
  EXPECT_EQ(vm->disks[0].path, "boot/root.img");
  EXPECT_EQ(vm->disks[0].format, "raw");
  EXPECT_EQ(vm->disks[1].path, "data.vhdx");
  EXPECT_EQ(vm->disks[1].format, "");
  EXPECT_EQ(vm->settings.sign_of_life.serial_text, "login:");
  EXPECT_EQ(vm->settings.sign_of_life.wait, std::chrono::seconds{60});
  EXPECT_TRUE(vm->warnings.empty());
}

TEST(VmJsonTest, AnEmptyObjectMeansTheDefaults) {
  const auto vm = ParseVmDescription("{}");
  ASSERT_TRUE(vm.has_value());
  EXPECT_EQ(vm->settings, MachineSettings{});
  EXPECT_EQ(vm->name, "");
  EXPECT_TRUE(vm->disks.empty());
}

TEST(VmJsonTest, OneSignOfLifeAndANetwork) {
  const auto port = ParseVmDescription(R"({"signOfLife": {"tcpPort": 22, "waitSeconds": 5}})");
  ASSERT_TRUE(port.has_value());
  EXPECT_EQ(port->settings.sign_of_life.tcp_port, 22);
  EXPECT_TRUE(port->settings.has_network());
  EXPECT_TRUE(port->warnings.empty());
  const auto agent =
      ParseVmDescription(R"({"signOfLife": {"guestAgent": true}, "network": "isolated"})");
  ASSERT_TRUE(agent.has_value());
  EXPECT_EQ(agent->settings.sign_of_life.kind(), SignOfLife::Kind::kGuestAgent);
  EXPECT_EQ(agent->settings.network, GuestNetwork::kIsolated);
  EXPECT_FALSE(ParseVmDescription(R"({"network": "bridge"})"));
  EXPECT_FALSE(ParseVmDescription(R"({"network": "none", "signOfLife": {"tcpPort": 22}})"));
  EXPECT_FALSE(ParseVmDescription(R"({"signOfLife": {"tcpPort": 65536}})"));
  EXPECT_FALSE(ParseVmDescription(R"({"signOfLife": {"tcpPort": 22, "serialText": "a"}})"));
  EXPECT_FALSE(ParseVmDescription(R"({"signOfLife": {"guestAgent": 1}})"));
}

TEST(VmJsonTest, UnknownKeysAreWarnings) {
  const auto vm = ParseVmDescription(
      R"({"secureBoot": true, "disks": [{"path": "a.raw", "bus": "ide"}], "signOfLife": {"x": 1}})");
  ASSERT_TRUE(vm.has_value());
  EXPECT_THAT(vm->warnings, ElementsAre(HasSubstr("secureBoot"), HasSubstr("disks[0].bus"),
                                        HasSubstr("signOfLife.x")));
}

TEST(VmJsonTest, MemoryInBytes) {
  EXPECT_EQ(ParseVmDescription(R"({"memoryBytes": 536870912})")->settings.memory_bytes, 512 * kMiB);
  EXPECT_EQ(ParseVmDescription(R"({"memory": "512MiB"})")->settings.memory_bytes, 512 * kMiB);
}

TEST(VmJsonTest, RefusesNamingTheKey) {
  struct Row {
    const char* text;
    const char* problem;
  };
  for (const Row& row : std::initializer_list<Row>{
           {"", "is not valid JSON"},
           {"{", "is not valid JSON"},
           {"[]", "must hold a JSON object"},
           {R"({"name": 7})", "name must be a text"},
           {R"({"name": null})", "name must be a text"},
           {R"({"name": ""})", "name must have 1 to 100 characters"},
           {R"({"name": "a/b"})", "name must have"},
           {R"({"name": "a\nb"})", "name must have"},
           {R"({"generation": 3})", "generation 3 is out of range: 1 to 2"},
           {R"({"generation": "2"})", "generation must be a whole number, 1 to 2"},
           {R"({"generation": 1.5})", "generation must be a whole number"},
           {R"({"generation": -1})", "generation must be a whole number"},
           {R"({"cpuCount": 0})", "cpuCount 0 is out of range: 1 to 240"},
           {R"({"cpuCount": 99999999999999999999999})", "cpuCount must be a whole number"},
           {R"({"memoryBytes": 1})", "memoryBytes 1 is out of range"},
           {R"({"memory": 2})", "memory must be a text"},
           {R"({"memory": "2GB"})", "memory '2GB' is no size from 32MiB to 16TiB"},
           {R"({"memory": "1MiB"})", "memory '1MiB' is no size"},
           {R"({"memory": "17TiB"})", "memory '17TiB' is no size"},
           {R"({"memory": "99999999999999999999GiB"})", "is no size"},
           {R"({"memory": ""})", "memory '' is no size"},
           {R"({"memory": "2GiB", "memoryBytes": 2147483648})", "not both"},
           {R"({"disks": {}})", "disks must be a list"},
           {R"({"disks": ["a.raw"]})", "disks[0] must be an object"},
           {R"({"disks": [{"path": "a.raw"}, {}]})", "disks[1].path '' must be relative"},
           {R"({"disks": [{"path": 1}]})", "disks[0].path must be a text"},
           {R"({"disks": [{"path": "/etc/x.raw"}]})", "disks[0].path '/etc/x.raw' must be"},
           {R"({"disks": [{"path": "../x.raw"}]})", "disks[0].path '../x.raw' must be"},
           {R"({"disks": [{"path": "a/../../x.raw"}]})", "must be relative and stay"},
           {R"({"disks": [{"path": "a/.."}]})", "must be relative and stay"},
           {R"({"disks": [{"path": "."}]})", "must be relative and stay"},
           {R"({"disks": [{"path": "a.img", "format": "vmdk"}]})",
            "disks[0].format 'vmdk' is none of raw, vhd, vhdx, qcow2"},
           {R"({"disks": [{"path": "a.img", "format": ""}]})", "disks[0].format '' is none of"},
           {R"({"signOfLife": "login:"})", "signOfLife must be an object"},
           {R"({"signOfLife": {"serialText": 1}})", "signOfLife.serialText must be a text"},
           {R"({"signOfLife": {"waitSeconds": 0}})", "signOfLife.waitSeconds 0 is out of range"},
           {R"({"signOfLife": {"waitSeconds": 3601}})", "1 to 3600"}}) {
    const auto vm = ParseVmDescription(row.text);
    ASSERT_FALSE(vm.has_value()) << row.text;
    EXPECT_EQ(vm.error().code, ErrorCode::kVmDescription);
    EXPECT_THAT(vm.error().message, HasSubstr("vm.json: "));
    EXPECT_THAT(vm.error().message, HasSubstr(row.problem));
  }
}

}  // namespace
}  // namespace asr
