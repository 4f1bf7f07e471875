#include "core/source/ssh_place.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>

namespace asr {
namespace {

constexpr const char* kPrefix = "asr-ssh-";
constexpr const char* kFile = "/ssh";
// One that was just made is not locked yet.
constexpr std::chrono::minutes kOldEnough{1};

void RemovePlace(const std::string& directory) {
  ::unlink((directory + kFile).c_str());
  ::rmdir(directory.c_str());
}

bool IsAbandoned(const std::string& directory) {
  const FileDescriptor lock(
      ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat status {};
  if (!lock.valid() || ::fstat(lock.get(), &status) != 0 || status.st_uid != ::geteuid()) {
    return false;
  }
  const auto now = std::chrono::system_clock::now();
  if (now - std::chrono::system_clock::from_time_t(status.st_mtime) < kOldEnough) return false;
  return ::flock(lock.get(), LOCK_EX | LOCK_NB) == 0;
}

void RemoveAbandoned(const std::string& parent) {
  std::error_code problem;
  std::filesystem::directory_iterator entry(parent, problem);
  for (; !problem && entry != std::filesystem::directory_iterator(); entry.increment(problem)) {
    const std::filesystem::path path = entry->path();
    if (!path.filename().native().starts_with(kPrefix)) continue;
    if (IsAbandoned(path.native())) RemovePlace(path.native());
  }
}

}  // namespace

Result<SshPlace> SshPlace::Make(const std::string& parent) {
  RemoveAbandoned(parent);
  std::string directory = parent + "/" + kPrefix + "XXXXXX";
  if (::mkdtemp(directory.data()) == nullptr) {
    return Fail(ErrnoError(errno, "cannot make a directory in " + parent));
  }
  SshPlace place;
  place.path_ = directory + kFile;
  place.lock_ = FileDescriptor(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!place.lock_.valid() || ::flock(place.lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    return Fail(ErrnoError(errno, "cannot lock " + directory));
  }
  return place;
}

SshPlace::SshPlace(SshPlace&& other) noexcept
    : path_(std::exchange(other.path_, {})), lock_(std::move(other.lock_)) {}

SshPlace& SshPlace::operator=(SshPlace&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(lock_, other.lock_);
  return *this;
}

void SshPlace::Remove() {
  if (path_.empty()) return;
  RemovePlace(std::filesystem::path(path_).parent_path().native());
  path_.clear();
  lock_ = FileDescriptor();
}

}  // namespace asr
