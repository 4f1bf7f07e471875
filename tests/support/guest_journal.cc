#include "tests/support/guest_journal.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <stdexcept>

#include "storage/base/bytes.h"
#include "storage/base/text.h"
#include "tests/support/shell_command.h"
#include "tests/support/temp_dir.h"

namespace asr::testing {
namespace {

constexpr char kTools[] = "PATH=$PATH:/sbin:/usr/sbin ";
// Where cli/guest-image.sh lays the data partition.
constexpr std::uint64_t kDataPartition = 33 * kMiB;

std::string FormatOf(const std::string& path) {
  if (path.ends_with(".qcow2")) return "qcow2";
  return path.ends_with(".vhd") ? "vpc" : "raw";
}

bool HasExt4At(const std::string& path, std::uint64_t offset_bytes) {
  std::ifstream file(path, std::ios::binary);
  file.seekg(static_cast<std::streamoff>(offset_bytes + 1024 + 56));
  char magic[2] = {};
  file.read(magic, sizeof(magic));
  return file.good() && magic[0] == '\x53' && magic[1] == '\xEF';
}

std::string Header(const std::string& file_system) {
  return MustRunShell(kTools + fmt::format("dumpe2fs -h {}", ShellQuote(file_system)));
}

// What a mount does before anything else: it replays the journal, frees files that were deleted
// while they were open, counts what is free. Not `-E journal_only`: with -f that repairs
// everything.
void Recover(const std::string& file_system) {
  const CommandOutput recovery =
      RunShell(kTools + fmt::format("e2fsck -p {}", ShellQuote(file_system)));
  if (recovery.exit_code > 1) throw std::runtime_error("its recovery: " + recovery.text);
}

// A line that is cut at the end was never synced.
std::int64_t LastNumber(const std::string& journal) {
  std::int64_t number = 0;
  for (std::size_t start = 0;;) {
    const std::size_t end = journal.find('\n', start);
    if (end == std::string::npos) return number;
    const std::string line = journal.substr(start, end - start);
    if (line != std::to_string(number + 1)) {
      throw std::runtime_error(fmt::format("its journal has '{}' after {}", line, number));
    }
    ++number;
    start = end + 1;
  }
}

// The path of a raw image of the file system alone: the image itself if that is one and may stay as
// it is, else a copy in `directory`. e2fsck replays no journal at an offset in a file.
std::string FileSystemOf(const std::string& image, JournalState state, const TempDir& directory) {
  std::string raw = image;
  if (FormatOf(image) != "raw" || state == JournalState::kCrash) {
    raw = directory / "copy.raw";
    MustRunShell(fmt::format("qemu-img convert -U -f {} -O raw {} {}", FormatOf(image),
                             ShellQuote(image), ShellQuote(raw)));
  }
  if (HasExt4At(raw, 0)) return raw;
  if (!HasExt4At(raw, kDataPartition)) throw std::runtime_error("there is no ext4 in it");
  std::string partition = directory / "partition.raw";
  MustRunShell(fmt::format("qemu-img convert -U --image-opts driver=raw,offset={},{}{} -O raw {}",
                           kDataPartition, "file.driver=file,file.filename=", ShellQuote(raw),
                           ShellQuote(partition)));
  return partition;
}

std::int64_t LastNumberIn(const std::string& image, JournalState state) {
  const TempDir directory;
  const std::string file_system = FileSystemOf(image, state, directory);
  if (state == JournalState::kCrash) {
    Recover(file_system);
  } else if (Header(file_system).find("needs_recovery") != std::string::npos) {
    throw std::runtime_error("its journal needs to be replayed");
  }
  MustRunShell(kTools + fmt::format("e2fsck -fn {}", ShellQuote(file_system)));
  const std::string journal = directory / "journal";
  MustRunShell(kTools +
               fmt::format("debugfs -R 'dump /journal {}' {}", journal, ShellQuote(file_system)));
  std::ifstream file(journal, std::ios::binary);
  return LastNumber({std::istreambuf_iterator<char>(file), {}});
}

}  // namespace

std::int64_t GuestJournal::SyncedNumber() const {
  return last_numbers.empty() ? 0 : *std::min_element(last_numbers.begin(), last_numbers.end());
}

GuestJournal ReadGuestJournal(const std::vector<std::string>& images, JournalState state) {
  GuestJournal result;
  for (const std::string& image : images) {
    try {
      result.last_numbers.push_back(LastNumberIn(image, state));
    } catch (const std::runtime_error& error) {
      result.problem = image + ": " + error.what();
      return result;
    }
  }
  // Each number goes to the disks in their order.
  const bool is_one_instant =
      !images.empty() && std::is_sorted(result.last_numbers.rbegin(), result.last_numbers.rend()) &&
      result.last_numbers.front() - result.last_numbers.back() <= 1;
  if (!is_one_instant) {
    result.problem = fmt::format("the disks are not of one instant: their journals end with {}",
                                 fmt::join(result.last_numbers, ", "));
  }
  return result;
}

}  // namespace asr::testing
