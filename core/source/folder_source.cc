#include "core/source/folder_source.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "core/source/vm_json.h"
#include "storage/base/text.h"
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
  const std::string ending = AsciiLowerCase(name.substr(dot));
  return std::find(kImageEndings.begin(), kImageEndings.end(), ending) != kImageEndings.end();
}

std::string StemOf(const std::string& path) {
  const std::string name = BaseName(path);
  const auto dot = name.rfind('.');
  return dot == std::string::npos || dot == 0 ? name : name.substr(0, dot);
}

// Only to warn: what a format is, is never guessed from a file's bytes.
bool CarriesSignatureOfChains(FileSystem& fs, const std::string& path) {
  constexpr std::array<std::string_view, 3> kSignatures = {"QFI\xfb", "vhdxfile", "conectix"};
  const auto stamp = fs.Stat(path);
  if (!stamp || stamp->type != FileType::kRegular) return false;
  const auto file = fs.Open(path, {});
  if (!file) return false;
  std::array<std::byte, 8> start{};
  if (!(*file)->ReadUpTo(0, start)) return false;
  return std::ranges::any_of(kSignatures, [&](std::string_view signature) {
    return AsText(start).starts_with(signature);
  });
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

  // Learns its name, and opens no image. False: the directory is no VM.
  bool ReadName() {
    const auto entries = fs_.List(directory_);
    if (!entries) {
      AddReason(entries.error().Line());
      return true;
    }
    bool has_description = false;
    for (const DirectoryEntry& entry : *entries) {
      if (entry.is_directory) continue;
      if (entry.name == kVmDescriptionFile) {
        has_description = true;
      } else {
        (IsImageName(entry.name) ? found_ : others_).push_back(entry.name);
      }
    }
    is_listed_ = true;
    if (has_description) ReadDescription();
    return has_description || !found_.empty();
  }

  [[nodiscard]] const std::string& name() const { return vm_.name; }

  // After ReadName, once.
  VirtualMachine ReadDisks() {
    if (!is_listed_) return std::move(vm_);
    std::sort(found_.begin(), found_.end(), NaturalLess);
    AddDisks();
    RefuseUnknownLeaves();
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

  // An image as it was found, and what opening it told.
  struct Image {
    DescribedDisk described;
    VmDisk disk;
    std::vector<std::string> files;  // of its chain, leaf first; itself if it cannot be read
    std::optional<Error> problem;
  };

  void AddDisks() {
    std::vector<Image> images;
    for (const DescribedDisk& disk : described_) images.push_back(Open(disk));
    for (const std::string& name : found_) {
      if (std::ranges::find(described_, name, &DescribedDisk::path) == described_.end()) {
        images.push_back(Open({.path = name, .format = {}}));
      }
    }
    for (std::size_t i = 0; i < images.size(); ++i) {
      const bool is_described = i < described_.size();
      const Image* const child = ChildOf(images[i], images);
      if (child == nullptr) {
        AddDisk(images[i], is_described);
      } else if (is_described) {
        AddReason(
            fmt::format("{}: {} is the parent of {}, which holds what is newer; name that one",
                        kVmDescriptionFile, images[i].described.path, child->disk.path));
      }
    }
  }

  // libvirt names a snapshot's overlay "vm.SNAPSHOT". Whoever passes it by replicates a base that
  // nothing is written to any more, and never notices.
  void RefuseUnknownLeaves() {
    for (const std::string& name : others_) {
      if (std::ranges::find(described_, name, &DescribedDisk::path) != described_.end()) continue;
      if (!CarriesSignatureOfChains(fs_, JoinPath(directory_, name))) continue;
      AddReason(
          fmt::format("{} is an image that may build on a disk of this VM, but its name does "
                      "not end like one; name it in {} with its format, or take it away",
                      name, kVmDescriptionFile));
    }
  }

  // An image that builds on this one: then the VM's disk is the other.
  static const Image* ChildOf(const Image& image, const std::vector<Image>& images) {
    if (image.files.empty()) return nullptr;
    for (const Image& other : images) {
      const auto found = std::ranges::find(other.files, image.files.front());
      if (found != other.files.end() && found != other.files.begin()) return &other;
    }
    return nullptr;
  }

  void AddDisk(const Image& image, bool is_described) {
    if (!is_described && !described_.empty()) {
      vm_.warnings.push_back(fmt::format("{}: disks does not list {}; it comes after those listed",
                                         kVmDescriptionFile, image.described.path));
    }
    for (const VmDisk& other : vm_.disks) {
      if (other.name != image.disk.name) continue;
      AddReason(
          fmt::format("two images are both named {}: {} and {}; rename one, or if both are "
                      "children of one parent take the one away that the VM does not use",
                      image.disk.name.value, other.path, image.disk.path));
    }
    if (image.problem) AddProblem(image);
    vm_.disks.push_back(image.disk);
  }

  void AddProblem(const Image& image) {
    const Error problem =
        Error(*image.problem).WithContext(fmt::format("disk {}", image.disk.name.value));
    AddReason(fmt::format("disk {}: {}", image.disk.name.value, image.problem->Line()));
    if (problem.code == ErrorCode::kImageInUse && !vm_.in_use) vm_.in_use = problem;
  }

  Image Open(const DescribedDisk& described) {
    Image image{.described = described, .disk = {}, .files = {}, .problem = std::nullopt};
    image.disk.name = DiskName{StemOf(described.path)};
    image.disk.path = JoinPath(directory_, described.path);
    image.disk.folder = directory_;
    if (const Status status = Describe(image); !status) image.problem = status.error();
    return image;
  }

  Status Describe(Image& image) {
    VmDisk& disk = image.disk;
    ASR_TRY(const std::string folder, fs_.Canonical(directory_));
    ASR_TRY(const std::string canonical, fs_.Canonical(disk.path));
    if (canonical.compare(0, folder.size() + 1, folder + "/") != 0) {
      return Fail(ErrorKind::kUnsupported, ErrorCode::kVmDescription,
                  fmt::format("{} leads out of the VM's folder, to {}", disk.path, canonical));
    }
    image.files = {canonical};  // even if it cannot be read alone, another may build on it
    ASR_TRY(const auto opened, OpenDisk(fs_, disk.path, image.described.format, directory_));
    disk.format = FormatName(opened->format());
    disk.size_bytes = opened->size_bytes();
    disk.logical_sector_bytes = opened->logical_sector_bytes();
    image.files.clear();
    for (const Disk::BackingFile& file : opened->files()) {
      ASR_TRY(const std::string path, fs_.Canonical(file.path));
      image.files.push_back(path);
    }
    // A checkpoint puts a new leaf on the chain, and the disk stays the same: its base names it.
    disk.name = DiskName{StemOf(opened->files().back().path)};
    return {};
  }

  FileSystem& fs_;
  std::string directory_;
  VirtualMachine vm_;
  bool is_listed_ = false;
  std::vector<std::string> found_;   // names of images, in natural order
  std::vector<std::string> others_;  // names of all other files
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

// Of all VMs of the host; their disks are not read yet.
Result<std::vector<FolderVmReader>> ReadNames(FileSystem& fs, const FolderHost& host) {
  auto entries = fs.List(host.path);
  if (!entries) {
    return Fail(std::move(entries.error())
                    .WithContext(fmt::format("host {}", host.name))
                    .WithCause("the folder was moved, or its file system is not mounted"));
  }
  std::vector<FolderVmReader> readers;
  for (const DirectoryEntry& entry : *entries) {
    // Every ext file system has one at its root, which only root may list.
    if (!entry.is_directory || entry.name == "lost+found") continue;
    FolderVmReader reader(fs, host.name, JoinPath(host.path, entry.name));
    if (reader.ReadName()) readers.push_back(std::move(reader));
  }
  return readers;
}

}  // namespace

Result<std::vector<VirtualMachine>> ListFolderVms(FileSystem& fs, const FolderHost& host) {
  ASR_TRY(auto readers, ReadNames(fs, host));
  std::vector<VirtualMachine> vms;
  for (FolderVmReader& reader : readers) vms.push_back(reader.ReadDisks());
  RefuseSharedNames(vms);
  return vms;
}

Result<std::vector<std::string>> ListFolderVmNames(FileSystem& fs, const FolderHost& host) {
  ASR_TRY(const auto readers, ReadNames(fs, host));
  std::vector<std::string> names;
  for (const FolderVmReader& reader : readers) names.push_back(reader.name());
  return names;
}

Result<NamedVms> FindFolderVms(FileSystem& fs, const FolderHost& host, const std::string& name) {
  ASR_TRY(auto readers, ReadNames(fs, host));
  NamedVms found;
  for (FolderVmReader& reader : readers) {
    found.names.push_back(reader.name());
    if (reader.name() == name) found.vms.push_back(reader.ReadDisks());
  }
  RefuseSharedNames(found.vms);
  return found;
}

}  // namespace asr
