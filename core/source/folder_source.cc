#include "core/source/folder_source.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "core/source/vm_json.h"
#include "storage/image/disk.h"

namespace asr {
namespace {

constexpr std::array<std::string_view, 7> kImageEndings = {".vhd",   ".vhdx", ".avhd", ".avhdx",
                                                           ".qcow2", ".raw",  ".img"};
constexpr std::uint64_t kMostDescriptionBytes = kMiB;

bool IsDigit(char letter) { return letter >= '0' && letter <= '9'; }

bool IsImageName(const std::string& name) {
  const auto dot = name.rfind('.');
  if (dot == std::string::npos || dot == 0) return false;
  std::string ending = name.substr(dot);
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
  return std::find(kImageEndings.begin(), kImageEndings.end(), ending) != kImageEndings.end();
}

std::string StemOf(const std::string& path) {
  const std::string name = BaseName(path);
  const auto dot = name.rfind('.');
  return dot == std::string::npos || dot == 0 ? name : name.substr(0, dot);
}

// The digits at the front, without leading zeros; taken off `text`.
std::string_view TakeNumber(std::string_view& text) {
  const auto end = std::find_if_not(text.begin(), text.end(), IsDigit);
  std::string_view number = text.substr(0, static_cast<std::size_t>(end - text.begin()));
  text.remove_prefix(number.size());
  number.remove_prefix(std::min(number.find_first_not_of('0'), number.size()));
  return number;
}

// "disk2" before "disk10".
bool NaturalLess(const std::string& left_name, const std::string& right_name) {
  std::string_view left = left_name;
  std::string_view right = right_name;
  while (!left.empty() && !right.empty()) {
    if (IsDigit(left.front()) && IsDigit(right.front())) {
      const std::string_view left_number = TakeNumber(left);
      const std::string_view right_number = TakeNumber(right);
      if (left_number.size() != right_number.size())
        return left_number.size() < right_number.size();
      if (left_number != right_number) return left_number < right_number;
    } else {
      if (left.front() != right.front()) return left.front() < right.front();
      left.remove_prefix(1);
      right.remove_prefix(1);
    }
  }
  if (left.empty() != right.empty()) return left.empty();
  return left_name < right_name;
}

class FolderVmReader {
 public:
  FolderVmReader(FileSystem& fs, std::string host, std::string directory)
      : fs_(fs), directory_(std::move(directory)) {
    vm_.name = BaseName(directory_);
    vm_.host = std::move(host);
    vm_.power_state = VmPowerState::kOff;
  }

  // nullopt: the directory is no VM.
  std::optional<VirtualMachine> Read() {
    const auto entries = fs_.List(directory_);
    if (!entries) {
      AddReason(entries.error().Line());
      return std::move(vm_);
    }
    bool has_description = false;
    for (const DirectoryEntry& entry : *entries) {
      if (entry.is_directory) continue;
      if (IsImageName(entry.name)) found_.push_back(entry.name);
      has_description |= entry.name == kVmDescriptionFile;
    }
    if (found_.empty() && !has_description) return std::nullopt;
    std::sort(found_.begin(), found_.end(), NaturalLess);
    if (has_description) ReadDescription();
    AddDisks();
    if (vm_.disks.empty()) AddReason(fmt::format("{} holds no disk image", directory_));
    return std::move(vm_);
  }

 private:
  void AddReason(std::string reason) { vm_.reasons.push_back(std::move(reason)); }

  void ReadDescription() {
    const auto read = [&]() -> Result<VmDescription> {
      const std::string path = JoinPath(directory_, kVmDescriptionFile);
      ASR_TRY(const std::string text, ReadWholeFile(fs_, path, kMostDescriptionBytes));
      return ParseVmDescription(text);
    };
    auto description = read();
    if (!description) return AddReason(description.error().Line());
    if (!description->name.empty()) vm_.name = description->name;
    vm_.settings = description->settings;
    vm_.warnings = std::move(description->warnings);
    described_ = std::move(description->disks);
  }

  void AddDisks() {
    std::set<std::string> listed;
    for (const DescribedDisk& disk : described_) {
      listed.insert(disk.path);
      AddDisk(disk);
    }
    for (const std::string& name : found_) {
      if (listed.count(name) > 0) continue;
      if (!described_.empty()) {
        vm_.warnings.push_back(fmt::format(
            "{}: disks does not list {}; it comes after those listed", kVmDescriptionFile, name));
      }
      AddDisk({.path = name, .format = {}});
    }
  }

  void AddDisk(const DescribedDisk& described) {
    VmDisk disk;
    disk.name = DiskName{StemOf(described.path)};
    disk.path = JoinPath(directory_, described.path);
    for (const VmDisk& other : vm_.disks) {
      if (other.name != disk.name) continue;
      AddReason(fmt::format("two images are both named {}: {} and {}; rename one", disk.name.value,
                            other.path, disk.path));
    }
    if (const Status status = Describe(described.format, disk); !status) {
      AddReason(fmt::format("disk {}: {}", disk.name.value, status.error().Line()));
    }
    vm_.disks.push_back(std::move(disk));
  }

  Status Describe(const std::string& declared_format, VmDisk& disk) {
    ASR_TRY(const std::string folder, fs_.Canonical(directory_));
    ASR_TRY(const std::string image, fs_.Canonical(disk.path));
    if (image.compare(0, folder.size() + 1, folder + "/") != 0) {
      return Fail(ErrorKind::kUnsupported, ErrorCode::kVmDescription,
                  fmt::format("{} leads out of the VM's folder, to {}", disk.path, image));
    }
    ASR_TRY(const auto opened, OpenDisk(fs_, disk.path, declared_format));
    disk.format = FormatName(opened->format());
    disk.size_bytes = opened->size_bytes();
    disk.logical_sector_bytes = opened->logical_sector_bytes();
    return {};
  }

  FileSystem& fs_;
  std::string directory_;
  VirtualMachine vm_;
  std::vector<std::string> found_;  // names of images, in natural order
  std::vector<DescribedDisk> described_;
};

// HOST/NAME must lead to one VM.
void RefuseSharedNames(std::vector<VirtualMachine>& vms) {
  std::map<std::string, std::size_t> counts;
  for (const VirtualMachine& vm : vms) ++counts[vm.name];
  for (VirtualMachine& vm : vms) {
    if (counts[vm.name] == 1) continue;
    vm.reasons.push_back(fmt::format("{} VMs of host {} are named {}; give each its own name in {}",
                                     counts[vm.name], vm.host, vm.name, kVmDescriptionFile));
  }
}

}  // namespace

Result<std::vector<VirtualMachine>> ListFolderVms(FileSystem& fs, const FolderHost& host) {
  auto entries = fs.List(host.path);
  if (!entries) {
    return Fail(std::move(entries.error())
                    .WithContext(fmt::format("host {}", host.name))
                    .WithCause("the folder was moved, or its file system is not mounted"));
  }
  std::vector<VirtualMachine> vms;
  for (const DirectoryEntry& entry : *entries) {
    // Every ext file system has one at its root, which only root may list.
    if (!entry.is_directory || entry.name == "lost+found") continue;
    FolderVmReader reader(fs, host.name, JoinPath(host.path, entry.name));
    if (auto vm = reader.Read()) vms.push_back(*std::move(vm));
  }
  RefuseSharedNames(vms);
  return vms;
}

}  // namespace asr
