#include "storage/image/image_writer.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "storage/base/checksum.h"
#include "storage/base/clock.h"
#include "storage/image/qcow2_writer.h"
#include "storage/image/vhd_footer.h"
#include "storage/image/vhd_format.h"
#include "storage/image/vhd_writer.h"
#include "storage/image/vhdx_writer.h"

namespace asr {
namespace {

constexpr std::uint64_t kMostBytes = 64 * kTiB;

// Raw and fixed VHD: the disk's bytes lie in the file one to one.
class RawWriter : public ImageWriter {
 public:
  explicit RawWriter(std::unique_ptr<File> file) : file_(std::move(file)) {}

  Status Write(std::uint64_t offset_bytes, ByteSpan bytes) override {
    return file_->WriteAt(offset_bytes, bytes);
  }
  Status Finish() override { return file_->Sync(); }

  Result<std::vector<Extent>> WrittenExtents(Extent range) override {
    return file_->DataExtents(range);
  }
  Status Read(std::uint64_t offset_bytes, MutableByteSpan out) override {
    return file_->ReadAt(offset_bytes, out);
  }
  Status Discard(Extent range) override { return file_->PunchHole(range); }

 protected:
  File& file() { return *file_; }

 private:
  std::unique_ptr<File> file_;
};

class FixedVhdWriter : public RawWriter {
 public:
  FixedVhdWriter(std::unique_ptr<File> file, std::uint64_t size_bytes)
      : RawWriter(std::move(file)), size_bytes_(size_bytes) {}

  Status Finish() override {
    ASR_CHECK(file().Sync());  // the footer must never vouch for data that is not there
    const VhdFooter footer =
        MakeFixedVhdFooter(size_bytes_, RandomBits(), VhdSeconds(SystemClock().Now()));
    ASR_CHECK(file().WriteAt(size_bytes_, footer));
    return file().Sync();
  }

 private:
  std::uint64_t size_bytes_;
};

// Adds what every format needs: checked ranges, the file's name in errors, a durable name.
class CheckedWriter : public ImageWriter {
 public:
  CheckedWriter(FileSystem& fs, NewImage image, std::unique_ptr<ImageWriter> format)
      : fs_(fs), image_(std::move(image)), format_(std::move(format)) {}

  Status Write(std::uint64_t offset_bytes, ByteSpan bytes) override {
    if (offset_bytes % kVhdFooterBytes != 0 || bytes.size() % kVhdFooterBytes != 0 ||
        offset_bytes > image_.size_bytes || bytes.size() > image_.size_bytes - offset_bytes) {
      return Fail(InThisImage(MakeError(
          ErrorKind::kInternal, ErrorCode::kInternal,
          fmt::format("a write of {} bytes at offset {} is not made of sectors of the disk of {} "
                      "bytes",
                      bytes.size(), offset_bytes, image_.size_bytes))));
    }
    return Named(format_->Write(offset_bytes, bytes));
  }

  Result<std::vector<Extent>> WrittenExtents(Extent range) override {
    auto extents = format_->WrittenExtents(range);
    if (!extents) return Fail(InThisImage(std::move(extents).error()));
    return extents;
  }
  Status Read(std::uint64_t offset_bytes, MutableByteSpan out) override {
    return Named(format_->Read(offset_bytes, out));
  }
  Status Discard(Extent range) override { return Named(format_->Discard(range)); }

  Status Finish() override {
    ASR_CHECK(Named(format_->Finish()));
    return fs_.SyncDirectory(ParentOf(image_.path));
  }

 private:
  Status Named(Status status) const {
    if (status) return status;
    return Fail(InThisImage(std::move(status).error()));
  }
  Error InThisImage(Error error) const {
    return std::move(error).WithContext(fmt::format("image {}", image_.path));
  }

  FileSystem& fs_;
  NewImage image_;
  std::unique_ptr<ImageWriter> format_;
};

Status CheckNewImage(const NewImage& image) {
  const auto refuse = [](std::string what) {
    return Fail(ErrorKind::kUsage, ErrorCode::kUsage, std::move(what));
  };
  const bool is_vhd = image.format == "vhd" || image.format == "vhd-dynamic";
  constexpr std::array<std::string_view, 5> kFormats = {"raw", "vhd", "vhd-dynamic", "vhdx",
                                                        "qcow2"};
  if (std::ranges::find(kFormats, image.format) == kFormats.end()) {
    return refuse(fmt::format("images of format `{}` cannot be written: use {}", image.format,
                              fmt::join(kFormats, ", ")));
  }
  if (image.logical_sector_bytes != 512 && image.logical_sector_bytes != 4096) {
    return refuse(fmt::format("no disk has sectors of {} bytes: 512 and 4096 exist",
                              image.logical_sector_bytes));
  }
  if ((is_vhd || image.format == "qcow2") && image.logical_sector_bytes != 512) {
    return refuse(fmt::format("a {} has sectors of 512 bytes, the disk has 4096: use vhdx or raw",
                              is_vhd ? "VHD" : "qcow2"));
  }
  if (image.size_bytes == 0 || image.size_bytes % image.logical_sector_bytes != 0 ||
      image.size_bytes > kMostBytes) {
    return refuse(fmt::format("a disk cannot have {} bytes: whole sectors of {} up to 64 TiB",
                              image.size_bytes, image.logical_sector_bytes));
  }
  if (image.format == "vhd-dynamic" && image.size_bytes > kVhdMostDynamicBytes) {
    return refuse(fmt::format(
        "a dynamic VHD has at most 2040 GiB, the disk has {} bytes: use vhdx, vhd or raw",
        image.size_bytes));
  }
  return {};
}

Result<std::unique_ptr<ImageWriter>> OpenWriter(FileSystem& fs, const NewImage& image,
                                                std::unique_ptr<File> file) {
  std::unique_ptr<ImageWriter> format;
  if (image.format == "vhdx") {
    ASR_TRY(format, VhdxWriter::Open(std::move(file), image));
  } else if (image.format == "qcow2") {
    ASR_TRY(format, CreateQcow2(std::move(file), image));
  } else if (image.format == "vhd") {
    ASR_CHECK(file->Resize(image.size_bytes + kVhdFooterBytes));
    format = std::make_unique<FixedVhdWriter>(std::move(file), image.size_bytes);
  } else if (image.format == "vhd-dynamic") {
    ASR_TRY(format, DynamicVhdWriter::Open(std::move(file), image));
  } else {
    ASR_CHECK(file->Resize(image.size_bytes));
    format = std::make_unique<RawWriter>(std::move(file));
  }
  return std::make_unique<CheckedWriter>(fs, image, std::move(format));
}

}  // namespace

Result<std::unique_ptr<ImageWriter>> CreateImage(FileSystem& fs, const NewImage& image) {
  ASR_CHECK(CheckNewImage(image));
  if (image.format == "qcow2") ASR_CHECK(RequireQcow2Tools());
  ASR_TRY(auto file, fs.Open(image.path, {.mode = OpenMode::kCreate, .direct = true}));
  return OpenWriter(fs, image, std::move(file));
}

bool CanContinueImage(const std::string& format) { return format != "qcow2"; }

Result<std::unique_ptr<ImageWriter>> ContinueImage(FileSystem& fs, const NewImage& image) {
  ASR_CHECK(CheckNewImage(image));
  // Others may have made a link of that name in the directory.
  ASR_TRY(const std::string directory, fs.Canonical(ParentOf(image.path)));
  ASR_TRY(auto file, fs.Open(JoinPath(directory, BaseName(image.path)),
                             {.mode = OpenMode::kOpenOrCreate, .direct = true, .no_links = true}));
  return OpenWriter(fs, image, std::move(file));
}

std::string ImageEnding(const std::string& format) {
  return format == "vhd-dynamic" ? "vhd" : format;
}

}  // namespace asr
