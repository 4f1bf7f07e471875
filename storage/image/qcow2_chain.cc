#include "storage/image/qcow2_chain.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "storage/image/image_chain.h"
#include "storage/image/image_error.h"
#include "storage/image/qcow2_tables.h"

namespace asr {
namespace {

Error BrokenBackingChain(std::string what) {
  return MakeError(ErrorKind::kCorrupt, ErrorCode::kImageChainBroken, std::move(what))
      .WithCause("a backing file was moved, renamed or left out when the images were copied")
      .WithAction(
          "bring all images of the chain into the VM's folder as they are on the host "
          "(`qemu-img info --backing-chain` lists them)");
}

// In use comes first: what a running VM has half written is not for us to judge.
Result<Qcow2Link> ReadLink(FileSystem& fs, ImageFile image) {
  ASR_CHECK(RequireAtRest(fs, image.path));
  std::vector<std::byte> start(std::min(image.size_bytes, kQcow2MostClusterBytes));
  ASR_CHECK(image.file->ReadAt(0, start));
  ASR_TRY(Qcow2Header header, ParseQcow2Header(start));
  ASR_CHECK(CheckQcow2Tables(image, header));
  if (header.is_dirty) {
    image.remarks.emplace_back(
        "QEMU was killed while it wrote to it (lazy_refcounts); the next start of the VM, or "
        "qemu-img check -r all, brings its refcounts up to date");
  }
  return Qcow2Link{std::move(image), false, std::move(header)};
}

Result<Qcow2Link> RawLink(FileSystem& fs, ImageFile image) {
  ASR_CHECK(RequireAtRest(fs, image.path));
  if (image.size_bytes == 0 || image.size_bytes % kRawSectorBytes != 0) {
    return Fail(CorruptImage(
        fmt::format("the raw image has {} bytes, which is not a whole number of 512-byte sectors",
                    image.size_bytes)));
  }
  return Qcow2Link{std::move(image), true, {}};
}

Error MissingFile(const Qcow2Link& child, const std::string& path) {
  Error error = BrokenBackingChain(
      fmt::format("{} builds on {}, which does not exist", child.image.path, path));
  if (child.header.backing_path != path) return error;
  // Where it was on the host; here it can only be in the VM's folder.
  return std::move(error).WithAction(
      fmt::format("bring the backing file into the VM's folder, then name it there: qemu-img "
                  "rebase -u -F {} -b {} {}",
                  child.header.backing_format, BaseName(path), child.image.path));
}

// Its canonical path.
Result<std::string> CheckBackingPlace(FileSystem& fs, const Qcow2Link& child,
                                      const std::string& path, const std::string& folder) {
  auto canonical = fs.Canonical(path);
  if (!canonical && canonical.error().kind == ErrorKind::kNotFound) {
    return Fail(MissingFile(child, path));
  }
  if (!canonical || IsBelow(*canonical, folder)) return canonical;
  return Fail(MakeError(ErrorKind::kUnsupported, ErrorCode::kImageChainBroken,
                        fmt::format("{} builds on {}, which lies outside of {}", child.image.path,
                                    *canonical, folder))
                  .WithCause("only the VM's own folder is read, for an image may name any file")
                  .WithAction("copy or move the backing file into the VM's folder, then qemu-img "
                              "rebase -u -F FORMAT -b FILE IMAGE"));
}

Result<Qcow2Link> OpenBacking(FileSystem& fs, const Qcow2Link& child, const std::string& folder,
                              const OpenImage& open) {
  const std::string& name = child.header.backing_path;
  const std::string path =
      name.starts_with('/') ? name : JoinPath(ParentOf(child.image.path), name);
  ASR_TRY(const std::string canonical, CheckBackingPlace(fs, child, path, folder));
  const auto read = [&]() -> Result<Qcow2Link> {
    ASR_TRY(ImageFile image, open({path, canonical}));
    return child.header.backing_format == "raw" ? RawLink(fs, std::move(image))
                                                : ReadLink(fs, std::move(image));
  };
  auto backing = read();
  if (backing) return backing;
  return Fail(std::move(backing).error().WithContext(
      fmt::format("backing file {} of {}", path, child.image.path)));
}

Status CheckNew(const std::vector<Qcow2Link>& chain, const Qcow2Link& next) {
  for (const Qcow2Link& link : chain) {
    if (link.image.stamp.device != next.image.stamp.device ||
        link.image.stamp.inode != next.image.stamp.inode) {
      continue;
    }
    return Fail(BrokenBackingChain(fmt::format("{} builds on {}, which is one of its own children",
                                               chain.back().image.path, next.image.path)));
  }
  return {};
}

}  // namespace

Result<std::vector<Qcow2Link>> WalkQcow2Chain(FileSystem& fs, ImageFile leaf,
                                              const std::string& folder, const OpenImage& open) {
  std::vector<Qcow2Link> chain;
  ASR_TRY(Qcow2Link first, ReadLink(fs, std::move(leaf)));
  chain.push_back(std::move(first));
  while (!chain.back().is_raw && !chain.back().header.backing_path.empty()) {
    if (chain.size() == kMostImagesOfAChain) {
      return Fail(BrokenBackingChain(fmt::format("the chain of {} has more than {} images",
                                                 chain.front().image.path, kMostImagesOfAChain)));
    }
    ASR_TRY(Qcow2Link next, OpenBacking(fs, chain.back(), folder, open));
    ASR_CHECK(CheckNew(chain, next));
    chain.push_back(std::move(next));
  }
  return chain;
}

}  // namespace asr
