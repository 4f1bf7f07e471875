// Guests of 512 bytes in the real QEMU.
#include "core/failover/qemu_machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include <nlohmann/json.hpp>

#include "core/failover/guest_life.h"
#include "storage/base/subprocess.h"
#include "tests/support/boot_sector.h"
#include "tests/support/temp_dir.h"

namespace asr {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

// Reads the first 31 KiB of the first disk again and again.
const testing::BootCode kReadDisk = {
    0x31, 0xC0,        // 7C00  xor ax, ax
    0x8E, 0xC0,        // 7C02  mov es, ax
    0x8E, 0xD0,        // 7C04  mov ss, ax
    0xBC, 0x00, 0x7C,  // 7C06  mov sp, 7C00
    0xB8, 0x3E, 0x02,  // 7C09  mov ax, 023E  (read 62 sectors)
    0xB9, 0x01, 0x00,  // 7C0C  mov cx, 0001  (cylinder 0, sector 1)
    0xBA, 0x80, 0x00,  // 7C0F  mov dx, 0080  (head 0, first hard disk)
    0xBB, 0x00, 0x80,  // 7C12  mov bx, 8000  (to 0000:8000)
    0xCD, 0x13,        // 7C15  int 13
    0xEB, 0xF0,        // 7C17  jmp 7C09
};

// Resets the machine through the keyboard controller.
const testing::BootCode kRestart = {
    0xB0, 0xFE,  // 7C00  mov al, FE
    0xE6, 0x64,  // 7C02  out 64, al
    0xF4,        // 7C04  hlt
};

// Powers the machine off through ACPI: PIIX4's PM1a control, where SeaBIOS puts it.
const testing::BootCode kPowerOff = {
    0xBA, 0x04, 0x06,  // 7C00  mov dx, 0604
    0xB8, 0x00, 0x20,  // 7C03  mov ax, 2000  (SLP_EN, S5)
    0xEF,              // 7C06  out dx, ax
    0xF4,              // 7C07  hlt
};

// What the kernel's pvpanic driver does in a panic.
const testing::BootCode kPanic = {
    0xBA, 0x05, 0x05,  // 7C00  mov dx, 0505
    0xB0, 0x01,        // 7C03  mov al, 01
    0xEE,              // 7C05  out dx, al
    0xF4,              // 7C06  hlt
};

class QemuMachineTest : public ::testing::Test {
 protected:
  ~QemuMachineTest() override {
    for (const RunningMachine& machine : started_) {
      static_cast<void>(SignalProcess(machine.process, SIGKILL));
    }
  }

  // A disk of 1 MiB whose first sector holds `code` and `text` behind it.
  MachineSpec SpecFor(const testing::BootCode& code, const std::string& text = "") {
    MachineSpec spec;
    spec.name = "guest, tiny";
    spec.directory = directory_.path();
    spec.settings.memory_bytes = 128 * kMiB;
    const std::string path = directory_ / "disk.raw";
    std::ofstream(path, std::ios::binary) << testing::BootSector(code, text);
    std::filesystem::resize_file(path, 1 * kMiB);
    spec.disks.push_back({path, 512});
    return spec;
  }

  Result<RunningMachine> Start(const MachineSpec& spec) {
    auto machine = StartMachine(PosixFileSystem(), SystemClock(), spec);
    if (machine) started_.push_back(*machine);
    return machine;
  }

  static Result<LifeSign> Wait(const RunningMachine& machine, const std::string& text, int seconds,
                               const std::stop_token& stop = {}) {
    return WaitForLife(PosixFileSystem(), SystemClock(), machine,
                       {text, std::chrono::seconds{seconds}}, stop);
  }

  static Status Stop(const RunningMachine& machine) { return StopMachine(SystemClock(), machine); }

  // That nothing but the disk is there.
  void ExpectNothingLeft() {
    for (const auto& entry : std::filesystem::directory_iterator(directory_.path())) {
      EXPECT_EQ(entry.path().filename(), "disk.raw");
    }
    EXPECT_FALSE(FindMachine(PosixFileSystem(), directory_.path()));
  }

  testing::TempDir directory_;
  std::vector<RunningMachine> started_;
};

TEST_F(QemuMachineTest, TextOnTheSerialPortIsASignOfLife) {
  MachineSpec spec = SpecFor(testing::kWriteText, "one\r\nweb login: ready\r\ntwo\r\n");
  // A socket's address holds 107 bytes.
  for (int i = 0; i < 3; ++i) spec.directory += "/" + std::string(60, 'a');
  std::filesystem::create_directories(spec.directory);
  const auto machine = Start(spec);
  ASSERT_TRUE(machine) << machine.error().Line();
  EXPECT_TRUE(IsRunning(*machine));
  const auto sign = Wait(*machine, "login:", 60);
  ASSERT_TRUE(sign) << sign.error().Line();
  EXPECT_EQ(sign->sign, "web login: ready");
  EXPECT_GT(sign->seconds, 0);
  EXPECT_LT(sign->seconds, 60);
  EXPECT_TRUE(IsRunning(*machine));
  EXPECT_TRUE(std::filesystem::exists(machine->SerialLog()));

  EXPECT_EQ(FindMachine(PosixFileSystem(), spec.directory), *machine);
  const auto second = Start(spec);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind, ErrorKind::kState);
  EXPECT_TRUE(IsRunning(*machine));

  EXPECT_TRUE(Stop(*machine));
  EXPECT_FALSE(IsRunning(*machine));
  EXPECT_TRUE(Stop(*machine));  // again: fine
  EXPECT_FALSE(FindMachine(PosixFileSystem(), spec.directory));
}

// That QEMU has all devices that a VM of libvirt may have, and its firmware boots from them.
TEST_F(QemuMachineTest, BootsFromEachBusOfEachMachine) {
  struct Place {
    std::string machine;
    std::string bus;
    std::string scsi;
  };
  std::vector<Place> places;
  for (const std::string machine : {"pc-i440fx-7.2", "pc-q35-7.2"}) {
    for (const std::string bus : {"virtio", "ide", "sata", "usb"}) {
      places.push_back({machine, bus, ""});
    }
    for (const std::string scsi :
         {"virtio-scsi", "lsilogic", "lsisas1068", "lsisas1078", "vmpvscsi", "am53c974"}) {
      places.push_back({machine, "scsi", scsi});
    }
  }
  MachineSpec spec = SpecFor(testing::kWriteText, "booted\r\n");
  spec.settings.network = GuestNetwork::kIsolated;
  for (const char* model :
       {"virtio", "e1000", "e1000e", "rtl8139", "vmxnet3", "pcnet", "ne2k_pci", "unheard-of"}) {
    spec.hardware.cards.push_back({.mac = "", .model = model, .network = "user"});
  }
  for (const Place& place : places) {
    spec.disks[0].bus = place.bus;
    spec.hardware.machine_type = place.machine;
    spec.hardware.scsi_model = place.scsi;
    const auto machine = Start(spec);
    ASSERT_TRUE(machine) << place.machine << " " << place.bus << place.scsi << ": "
                         << machine.error().Line();
    const auto sign = Wait(*machine, "booted", 60);
    EXPECT_TRUE(sign) << place.machine << " " << place.bus << place.scsi;
    EXPECT_TRUE(Stop(*machine));
  }
}

TEST_F(QemuMachineTest, GuestThatReadsItsDiskLives) {
  const auto machine = Start(SpecFor(kReadDisk));
  ASSERT_TRUE(machine) << machine.error().Line();
  const auto sign = Wait(*machine, "", 5);
  ASSERT_TRUE(sign) << sign.error().Line() << sign.error().causes.size();
  EXPECT_THAT(sign->sign, HasSubstr("MiB of its disks"));
  EXPECT_GE(sign->seconds, 5);
  EXPECT_TRUE(Stop(*machine));
}

TEST_F(QemuMachineTest, DiskWithoutABootLoaderShowsNoLife) {
  MachineSpec spec = SpecFor({});
  std::ofstream(spec.disks[0].path, std::ios::binary) << std::string(512, '\0');
  std::filesystem::resize_file(spec.disks[0].path, 1 * kMiB);
  const auto machine = Start(spec);
  ASSERT_TRUE(machine) << machine.error().Line();
  const auto by_disk = Wait(*machine, "", 3);
  ASSERT_FALSE(by_disk);
  EXPECT_EQ(by_disk.error().code, ErrorCode::kGuestNoSignOfLife);
  EXPECT_THAT(by_disk.error().causes, Contains(HasSubstr("boot loader")));
  EXPECT_THAT(by_disk.error().causes, Contains(HasSubstr("nothing to its serial port")));
  EXPECT_TRUE(IsRunning(*machine));  // what becomes of it is the caller's to say
  EXPECT_TRUE(Stop(*machine));
}

TEST_F(QemuMachineTest, TextThatDoesNotComeIsNoSignAndTheErrorTellsTheLastLines) {
  const auto machine = Start(SpecFor(testing::kWriteText, "one\r\nemergency shell\r\n"));
  ASSERT_TRUE(machine) << machine.error().Line();
  const auto sign = Wait(*machine, "login:", 5);
  ASSERT_FALSE(sign);
  EXPECT_EQ(sign.error().code, ErrorCode::kGuestNoSignOfLife);
  EXPECT_THAT(sign.error().message, HasSubstr("\"login:\""));
  EXPECT_THAT(sign.error().causes, Contains(HasSubstr("one / emergency shell")));
  EXPECT_FALSE(sign.error().action.empty());
}

TEST_F(QemuMachineTest, RestartsOverAndOverAreNoLife) {
  const auto machine = Start(SpecFor(kRestart));
  ASSERT_TRUE(machine) << machine.error().Line();
  const auto sign = Wait(*machine, "", 60);
  ASSERT_FALSE(sign);
  EXPECT_EQ(sign.error().code, ErrorCode::kGuestDidNotStart);
  EXPECT_THAT(sign.error().message, HasSubstr("over and over"));
}

TEST_F(QemuMachineTest, GuestThatPowersOffDidNotStart) {
  const auto machine = Start(SpecFor(kPowerOff));
  ASSERT_TRUE(machine) << machine.error().Line();
  const auto sign = Wait(*machine, "login:", 60);
  ASSERT_FALSE(sign);
  EXPECT_EQ(sign.error().code, ErrorCode::kGuestDidNotStart);
  EXPECT_FALSE(IsRunning(*machine));
}

TEST_F(QemuMachineTest, PanicIsToldFromOtherEnds) {
  const auto machine = Start(SpecFor(kPanic));
  ASSERT_TRUE(machine) << machine.error().Line();
  const auto sign = Wait(*machine, "", 60);
  ASSERT_FALSE(sign);
  EXPECT_EQ(sign.error().code, ErrorCode::kGuestDidNotStart);
  EXPECT_THAT(sign.error().message, HasSubstr("panicked"));
}

TEST_F(QemuMachineTest, QemuKilledMeanwhileIsFoundOutAtOnce) {
  const auto machine = Start(SpecFor(testing::kWriteText, "still here\r\n"));
  ASSERT_TRUE(machine) << machine.error().Line();
  std::thread killer([&] {
    SystemClock().SleepSeconds(0.5);
    EXPECT_TRUE(SignalProcess(machine->process, SIGKILL));
  });
  const double start = SystemClock().MonotonicSeconds();
  const auto sign = Wait(*machine, "login:", 120);
  killer.join();
  ASSERT_FALSE(sign);
  EXPECT_EQ(sign.error().code, ErrorCode::kGuestDidNotStart);
  EXPECT_LT(SystemClock().MonotonicSeconds() - start, 30);
  EXPECT_FALSE(IsRunning(*machine));
  EXPECT_TRUE(Stop(*machine));
}

TEST_F(QemuMachineTest, HungQemuIsStoppedTheHardWay) {
  const auto machine = Start(SpecFor(testing::kWriteText));
  ASSERT_TRUE(machine) << machine.error().Line();
  ASSERT_TRUE(SignalProcess(machine->process, SIGSTOP));  // answers nothing, not even SIGTERM
  EXPECT_TRUE(Stop(*machine));
  EXPECT_FALSE(IsRunning(*machine));
}

TEST_F(QemuMachineTest, StopRequestEndsTheWait) {
  const auto machine = Start(SpecFor(testing::kWriteText));
  ASSERT_TRUE(machine) << machine.error().Line();
  std::stop_source stop;
  std::thread stopper([&] {
    SystemClock().SleepSeconds(0.3);
    stop.request_stop();
  });
  const auto sign = Wait(*machine, "login:", 120, stop.get_token());
  stopper.join();
  ASSERT_FALSE(sign);
  EXPECT_EQ(sign.error().kind, ErrorKind::kCancelled);
  EXPECT_TRUE(IsRunning(*machine));
}

TEST_F(QemuMachineTest, WhatQemuRefusesIsSaidAtOnceAndNothingIsLeft) {
  MachineSpec spec = SpecFor(testing::kWriteText);
  spec.settings.cpu_count = 100'000;
  const auto machine = Start(spec);
  ASSERT_FALSE(machine);
  EXPECT_EQ(machine.error().code, ErrorCode::kGuestDidNotStart);
  EXPECT_THAT(machine.error().causes, Contains(HasSubstr("CPUs")));
  ExpectNothingLeft();

  spec.settings.cpu_count = 1;
  spec.disks[0].path += ".gone";
  const auto without_disk = Start(spec);
  ASSERT_FALSE(without_disk);
  EXPECT_THAT(without_disk.error().causes, Contains(HasSubstr("disk.raw.gone")));
  ExpectNothingLeft();
}

TEST_F(QemuMachineTest, WithoutQemuTheErrorNamesThePackage) {
  const std::string path = std::getenv("PATH");
  ASSERT_EQ(::setenv("PATH", directory_.path().c_str(), 1), 0);
  const auto machine = Start(SpecFor(testing::kWriteText));
  ASSERT_EQ(::setenv("PATH", path.c_str(), 1), 0);
  ASSERT_FALSE(machine);
  EXPECT_EQ(machine.error().code, ErrorCode::kHypervisorMissing);
  EXPECT_THAT(machine.error().action, HasSubstr("qemu-system-x86"));
  ExpectNothingLeft();
}

TEST_F(QemuMachineTest, ProcessThatGotThePidLaterIsNotHarmed) {
  const auto stranger = SpawnDetached({FindProgram("sleep"), "60"}, {directory_.path(), "log"});
  ASSERT_TRUE(stranger) << stranger.error().Line();
  RunningMachine machine{*stranger, directory_.path()};
  started_.push_back(machine);
  machine.process.start_ticks -= 1;
  EXPECT_FALSE(IsRunning(machine));
  EXPECT_TRUE(Stop(machine));
  EXPECT_TRUE(IsAlive(*stranger));
  // Nor is it found as the guest of a directory whose pid file names it.
  std::filesystem::create_directory(directory_ / "machine");
  std::ofstream(directory_ / "machine/qemu.pid") << stranger->pid << "\n";
  EXPECT_FALSE(FindMachine(PosixFileSystem(), directory_ / "machine"));
  EXPECT_TRUE(FindMachine(PosixFileSystem(), directory_ / "machine/..") == std::nullopt);
}

TEST_F(QemuMachineTest, FirmwareOfTheSecondGenerationStartsFromADiskOfLargeSectors) {
  MachineSpec spec = SpecFor(testing::kWriteText);
  spec.generation = 2;
  spec.disks[0].logical_sector_bytes = 4096;
  const auto machine = Start(spec);
  ASSERT_TRUE(machine) << machine.error().Line();
  const auto sign = Wait(*machine, "BdsDxe", 120);  // OVMF's boot manager
  ASSERT_TRUE(sign) << sign.error().Line();
  EXPECT_TRUE(std::filesystem::exists(spec.directory + "/firmware-variables.fd"));
  EXPECT_TRUE(Stop(*machine));
  EXPECT_FALSE(IsRunning(*machine));
}

TEST(MachineJsonTest, ReadsBackAsWrittenAndRefusesTheRest) {
  const RunningMachine machine{{4711, 123'456'789'012, "boot"}, "/var/lib/asr/test"};
  const nlohmann::json json = MachineToJson(machine);
  EXPECT_EQ(json["serialLog"], "/var/lib/asr/test/serial.log");
  const auto read = MachineFromJson(nlohmann::json::parse(json.dump()));
  ASSERT_TRUE(read) << read.error().Line();
  EXPECT_EQ(*read, machine);
  for (const char* key : {"pid", "startTicks", "bootId", "directory"}) {
    nlohmann::json broken = json;
    broken.erase(key);
    EXPECT_FALSE(MachineFromJson(broken)) << key;
    broken[key] = -1;
    EXPECT_FALSE(MachineFromJson(broken)) << key;
  }
  EXPECT_FALSE(MachineFromJson(nlohmann::json::array()));
}

}  // namespace
}  // namespace asr
