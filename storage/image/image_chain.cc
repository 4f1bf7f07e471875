#include "storage/image/image_chain.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "storage/image/image_error.h"

namespace asr {
namespace {

std::vector<std::string> SplitWindowsPath(const std::string& path) {
  std::vector<std::string> names;
  std::string name;
  for (const char letter : path + "/") {
    if (letter != '/' && letter != '\\') {
      name.push_back(letter);
    } else if (!name.empty() && name != ".") {
      names.push_back(std::exchange(name, ""));
    } else {
      name.clear();
    }
  }
  return names;
}

bool IsAbsoluteOnWindows(const std::string& path) {
  return path.starts_with('\\') || path.starts_with('/') || (path.size() > 1 && path[1] == ':');
}

bool IsSameName(const std::string& left, const std::string& right) {
  return std::ranges::equal(left, right, [](unsigned char a, unsigned char b) {
    return std::tolower(a) == std::tolower(b);
  });
}

// The entry of this name, if need be in another case; empty if there is none.
Result<std::string> FindName(FileSystem& fs, const std::string& directory,
                             const std::string& name) {
  if (Exists(fs, JoinPath(directory, name))) return JoinPath(directory, name);
  const auto entries = fs.List(directory);
  if (!entries && entries.error().kind == ErrorKind::kNotFound) return std::string();
  if (!entries) return Fail(entries.error());
  for (const DirectoryEntry& entry : *entries) {
    if (IsSameName(entry.name, name)) return JoinPath(directory, entry.name);
  }
  return std::string();
}

Error BrokenChain(std::string what) {
  return MakeError(ErrorKind::kCorrupt, ErrorCode::kImageChainBroken, std::move(what))
      .WithCause("a parent was moved, renamed or left out when the images were copied")
      .WithCause("a parent was written to, or attached, after its child was made")
      .WithAction(
          "bring all images of the chain into the VM's folder as they are on the host "
          "(Get-VHD shows ParentPath); do not repair ids by hand before you have a copy");
}

class ParentFinder {
 public:
  ParentFinder(FileSystem& fs, const std::string& folder, const OpenParent& open)
      : fs_(fs), folder_(folder), open_(open) {}

  Result<std::unique_ptr<MappedDisk>> Find(const MappedDisk& child) {
    const ParentLink& link = *child.shape().parent;
    std::optional<Error> problem;  // with the likeliest
    const auto remember = [&](Error error) {
      if (!problem) problem = std::move(error);
    };
    std::vector<std::string> seen;
    for (const std::string& place : PlacesOf(child)) {
      const auto path = FindAt(child, place);
      // What lies outside may be a stranger's; the right one may still be in the folder.
      if (!path && IsOutside(child, place)) {
        remember(Outside(child, place));
        continue;
      }
      if (!path) return Fail(path.error());
      if (path->empty() || std::ranges::find(seen, *path) != seen.end()) continue;
      seen.push_back(*path);
      ASR_TRY(const std::string canonical, fs_.Canonical(*path));
      if (!IsBelow(canonical, folder_)) {
        remember(Outside(child, canonical));
        continue;
      }
      // One that is there and cannot be read may be the right one: a copy of it is not.
      ASR_TRY(auto parent, OpenCandidate(child, {*path, canonical}));
      if (std::ranges::find(link.ids, parent->shape().id) != link.ids.end()) return parent;
      remember(BrokenChain(
          fmt::format("{} builds on the image with id {}, but its parent {} has id {}",
                      child.path(), fmt::join(link.ids, " or "), *path, parent->shape().id)));
    }
    if (problem) return Fail(*std::move(problem));
    return Fail(BrokenChain(fmt::format(
        "the parent of {}, an image with id {}, is neither {}; the child calls it {}", child.path(),
        fmt::join(link.ids, " or "), fmt::join(PlacesOf(child), " nor "), link.paths.front())));
  }

 private:
  // Where a parent may lie, likeliest first, each once, as paths of this machine.
  static std::vector<std::string> PlacesOf(const MappedDisk& child) {
    std::vector<std::string> places;
    const auto add = [&](const std::string& path) {
      const std::string place = JoinPath(ParentOf(child.path()), path);
      if (std::ranges::find(places, place) == places.end()) places.push_back(place);
    };
    const ParentLink& link = *child.shape().parent;
    for (const std::string& path : link.paths) {
      if (!IsAbsoluteOnWindows(path))
        add(fmt::format("{}", fmt::join(SplitWindowsPath(path), "/")));
    }
    for (const std::string& path : link.paths) {
      const auto names = SplitWindowsPath(path);
      if (!names.empty() && names.back() != "..") add(names.back());
    }
    return places;
  }

  static std::string RelativeTo(const MappedDisk& child, const std::string& place) {
    return place.substr(JoinPath(ParentOf(child.path()), "").size());
  }

  // What lies there, if need be under a name in another case; empty if nothing does.
  Result<std::string> FindAt(const MappedDisk& child, const std::string& place) {
    return FindNamedFile(fs_, ParentOf(child.path()), RelativeTo(child, place));
  }

  // Of a place that cannot be looked at.
  bool IsOutside(const MappedDisk& child, const std::string& place) {
    const auto directory = fs_.Canonical(ParentOf(child.path()));
    if (!directory) return false;
    const std::filesystem::path path(JoinPath(*directory, RelativeTo(child, place)));
    return !IsBelow(path.lexically_normal().string(), folder_);
  }

  [[nodiscard]] Error Outside(const MappedDisk& child, const std::string& path) const {
    return MakeError(ErrorKind::kUnsupported, ErrorCode::kImageChainBroken,
                     fmt::format("{} builds on {}, which lies outside of {}", child.path(), path,
                                 folder_))
        .WithCause("only the VM's own folder is read, for a guest's image may name any file")
        .WithAction("copy or move the parent into the VM's folder");
  }

  Result<std::unique_ptr<MappedDisk>> OpenCandidate(const MappedDisk& child,
                                                    const ImagePlace& place) {
    auto parent = open_(place, child.format());
    if (!parent) {
      return Fail(std::move(parent).error().WithContext(
          fmt::format("parent {} of {}", place.path, child.path())));
    }
    return parent;
  }

  FileSystem& fs_;
  const std::string& folder_;
  const OpenParent& open_;
};

bool IsSameFile(const FileStamp& left, const FileStamp& right) {
  return left.device == right.device && left.inode == right.inode;
}

}  // namespace

bool IsBelow(const std::string& path, const std::string& folder) {
  return path.starts_with(folder == "/" ? folder : folder + "/");
}

Result<std::string> FindNamedFile(FileSystem& fs, const std::string& directory,
                                  const std::string& windows_path) {
  std::string path = directory;
  for (const std::string& name : SplitWindowsPath(windows_path)) {
    if (name == "..") {
      path = JoinPath(path, name);
      continue;
    }
    ASR_TRY(path, FindName(fs, path, name));
    if (path.empty()) return path;
  }
  return path;
}

Status CompleteChain(FileSystem& fs, MappedDisk& leaf, const std::string& folder,
                     const OpenParent& open) {
  ParentFinder finder(fs, folder, open);
  std::vector<FileStamp> files = {leaf.stamp()};
  for (MappedDisk* child = &leaf; child->shape().parent;) {
    if (files.size() == kMostImagesOfAChain) {
      return Fail(BrokenChain(fmt::format("the chain of {} has more than {} images", leaf.path(),
                                          kMostImagesOfAChain)));
    }
    ASR_TRY(auto parent, finder.Find(*child));
    for (const FileStamp& file : files) {
      if (!IsSameFile(file, parent->stamp())) continue;
      return Fail(BrokenChain(fmt::format("{} builds on {}, which is one of its own children",
                                          child->path(), parent->path())));
    }
    if (parent->logical_sector_bytes() != child->logical_sector_bytes()) {
      return Fail(BrokenChain(fmt::format("{} has sectors of {} bytes, its parent {} of {}",
                                          child->path(), child->logical_sector_bytes(),
                                          parent->path(), parent->logical_sector_bytes())));
    }
    files.push_back(parent->stamp());
    MappedDisk* const next = parent.get();
    child->SetParent(std::move(parent));
    child = next;
  }
  return {};
}

}  // namespace asr
