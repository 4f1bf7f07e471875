// Real guests on a real libvirtd, for tests that libvirt_lab.sh runs: in CMakeLists.txt all of
// interop/libvirt_*_test.cc and crash/libvirt_*_test.cc. What cannot be done is thrown
// (std::runtime_error), which fails the test.
//
//   LibvirtGuest guest({.name = "web", .disks = {{}, {.format = "raw"}}});
//   guest.Start();
//   guest.WaitForSynced(1);                       // it has booted, and writes
//   guest.RunInGuest("fstrim /data");
//
// The guest writes the numbers 1, 2, 3, ... as lines of a file `journal` on each of its disks in
// turn, each line synced, and says `synced N` on its console once N is on all of them. Its first
// disk is mounted at /data, the others at /data-vdb, /data-vdc, ... (guest_journal.h reads the
// journals of images). It runs the guest agent, ends on `virsh shutdown`, and goes on after a kill.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "storage/base/bytes.h"
#include "tests/support/loop_device.h"
#include "tests/support/shell_command.h"
#include "tests/support/temp_dir.h"

namespace asr::testing {

// `virsh -c qemu:///system WORDS`; Virsh returns what it says and throws if it fails.
[[nodiscard]] CommandOutput TryVirsh(const std::vector<std::string>& words);
std::string Virsh(const std::vector<std::string>& words);

[[nodiscard]] int LibvirtdPid();
// kill -9, guests go on. Fine if it does not run.
void KillLibvirtd();
// Kills it if it runs; answers when this returns.
void RestartLibvirtd();

// From now on guests run as this user, root until then. Starts libvirtd anew.
void RunQemuAs(const std::string& user);

// From now on `ssh lab-host` and qemu+ssh://lab-host/system lead to this lab, by a real ssh server
// and by what is in root's home, /run/lab/home then: .ssh/config, known_hosts, a key (lab_ssh.sh).
void ReachLabBySsh();

struct LabDisk {
  std::string format = "qcow2";  // or "raw"
  std::uint64_t size_bytes = 256 * kMiB;
  std::string bus = "virtio";  // or "scsi", then its target is sda and not vda
  bool is_device = false;      // a loop device with the image's content; qcow2 has room to grow
};

struct LabGuestSpec {
  std::string name = "guest";
  std::vector<LabDisk> disks = {{}};
  // The first disk (256 MiB at least) carries a boot loader and its ext4 in a partition, so that a
  // copy starts anywhere. Else the guest gets its kernel from libvirt, which is faster.
  bool starts_from_disk = false;
  bool is_uefi = false;         // with starts_from_disk
  std::string machine = "q35";  // or "pc"
  std::uint64_t memory_bytes = 256 * kMiB;
  int interval_ms = 20;          // between two numbers; not with starts_from_disk, where it is 20
  std::string devices_xml = {};  // more devices
};

class LibvirtGuest {
 public:
  // Makes its disks, empty but for their file systems, and defines it.
  explicit LibvirtGuest(LabGuestSpec spec = {});
  // Kills and undefines it; its disks are gone.
  ~LibvirtGuest();
  LibvirtGuest(const LibvirtGuest&) = delete;
  LibvirtGuest& operator=(const LibvirtGuest&) = delete;

  // Returns when its QEMU runs. WaitForMoreSynced() waits for its boot.
  void Start();
  void Destroy();
  // By its power button: all its file systems are unmounted.
  void Shutdown();
  // kill -9 at once; returns when libvirt knows it, if libvirtd runs.
  void KillQemu();
  // "running", "paused", "shut off": the first line of virsh domstate.
  [[nodiscard]] std::string State() const;
  [[nodiscard]] int QemuPid() const;  // throws if it does not run

  // The last number that all disks had when the guest said so; 0 before the first.
  [[nodiscard]] std::int64_t LastSynced() const;
  // Returns LastSynced() once that is at least `number`; throws with the console's end if not.
  std::int64_t WaitForSynced(std::int64_t number,
                             std::chrono::seconds limit = std::chrono::seconds(90)) const;
  std::int64_t WaitForMoreSynced(std::int64_t count = 1) const {
    return WaitForSynced(LastSynced() + count);
  }
  // Returns once the guest agent answers, some moments after the first number.
  void WaitForAgent() const;
  // What the guest has said in all its lives.
  [[nodiscard]] std::string Console() const;

  // A command line for busybox's shell in the guest; needs neither libvirtd nor the guest agent.
  // Hangs in a guest whose file systems are frozen if it writes; throws after `limit`.
  CommandOutput TryInGuest(const std::string& command,
                           std::chrono::seconds limit = std::chrono::seconds(90)) const;
  // As TryInGuest; throws unless the command ends with 0.
  std::string RunInGuest(const std::string& command,
                         std::chrono::seconds limit = std::chrono::seconds(90)) const;
  // Returns when nothing is being written, and all that was is synced.
  void StopWriting() const;
  void StartWriting() const;
  // By this life of it, to all disks.
  [[nodiscard]] std::uint64_t WrittenBytes() const;
  // A disk that is a raw device, and what the running guest has of it.
  void GrowDevice(std::size_t index, std::uint64_t size_bytes) const;
  // A file NAME of random bytes in a directory of the guest, synced.
  void WriteRandomFile(const std::string& path, std::uint64_t size_bytes) const;

  [[nodiscard]] const std::string& name() const { return spec_.name; }
  // Absolute paths of its images, in the order of vda, vdb, ...
  [[nodiscard]] const std::vector<std::string>& disks() const { return disks_; }
  // A directory of its own for images and scratch files, gone with it.
  [[nodiscard]] const std::string& directory() const { return directory_.path(); }

 private:
  void MakeDisk(std::size_t index, const std::string& kit);
  [[nodiscard]] std::string LineOf(int connection,
                                   std::chrono::steady_clock::time_point deadline) const;
  [[nodiscard]] std::string DomainXml() const;

  LabGuestSpec spec_;
  TempDir directory_;
  std::vector<std::string> disks_;
  std::vector<LoopDevice> devices_;
};

}  // namespace asr::testing
