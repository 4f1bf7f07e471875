#include "storage/blob/vhd_blob.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "storage/blob/azure_blob_version.h"
#include "storage/http/url.h"
#include "storage/image/image_error.h"
#include "storage/image/vhd_footer.h"
#include "storage/image/vhd_format.h"

namespace asr {
namespace {

// Ranges of pages may be as short as 512 bytes: a request for each would cost more than the zeros
// between them.
constexpr std::uint64_t kReadUnitBytes = 64 * kKiB;

// Rounded to units, joined, and cut to `range`.
std::vector<Extent> InUnits(const std::vector<Extent>& extents, Extent range) {
  std::vector<Extent> units;
  for (const Extent& extent : extents) {
    std::uint64_t begin =
        std::max(AlignDown(extent.offset_bytes, kReadUnitBytes), range.offset_bytes);
    const std::uint64_t end =
        std::min(AlignUp(extent.end_bytes(), kReadUnitBytes), range.end_bytes());
    if (!units.empty()) begin = std::max(begin, units.back().end_bytes());
    if (begin < end) AppendExtent(units, {begin, end - begin});
  }
  return units;
}

class VhdBlob : public BlobDisk {
 public:
  VhdBlob(VhdBlobOptions options, Clock& clock)
      : transport_(std::move(options.transport)),
        authorizer_(std::move(options.authorizer)),
        http_(*transport_, clock),
        client_(http_, *authorizer_, std::move(options.container_url), std::move(options.stop)) {}

  Status Open(const std::string& blob, const std::string& snapshot_time);

  [[nodiscard]] ImageFormat format() const override { return ImageFormat::kVhdFixed; }
  [[nodiscard]] std::uint64_t size_bytes() const override { return size_bytes_; }
  [[nodiscard]] std::uint32_t logical_sector_bytes() const override {
    return static_cast<std::uint32_t>(kVhdSectorBytes);
  }
  [[nodiscard]] Status Read(std::uint64_t offset_bytes, MutableByteSpan out) const override {
    return pages_->Read(offset_bytes, out);
  }
  [[nodiscard]] Result<std::vector<Extent>> AllocatedExtents(Extent range) const override {
    const std::uint64_t end = std::min(range.end_bytes(), size_bytes_);
    if (range.offset_bytes >= end) return std::vector<Extent>{};
    const Extent inside{range.offset_bytes, end - range.offset_bytes};
    ASR_TRY(const auto extents, pages_->DataExtents(inside));
    return InUnits(extents, inside);
  }
  [[nodiscard]] std::vector<BackingFile> files() const override { return {}; }
  Result<std::vector<std::pair<std::string, std::string>>> NameAsSource() override;

 private:
  Status CheckFooter(std::uint64_t blob_bytes);

  std::unique_ptr<HttpTransport> transport_;
  std::unique_ptr<Authorizer> authorizer_;
  HttpClient http_;
  AzureClient client_;
  std::string blob_;  // encoded
  std::string snapshot_time_;
  std::unique_ptr<PageBlobReader> pages_;
  std::uint64_t size_bytes_ = 0;  // of the disk
};

Error UploadAnother(std::string what) {
  return UnsupportedImage(std::move(what),
                          "make a fixed VHD (qemu-img convert -O vpc -o "
                          "subformat=fixed,force_size=on), and upload it as a page blob (azcopy "
                          "copy --blob-type PageBlob)");
}

Status VhdBlob::Open(const std::string& blob, const std::string& snapshot_time) {
  // The client takes names encoded.
  blob_ = PercentEncode(blob, "/");
  snapshot_time_ = snapshot_time;
  auto pages = OpenAzureReader(client_, blob_, {.id = {snapshot_time}, .time = snapshot_time});
  if (!pages && pages.error().code == ErrorCode::kBlobCorrupt) {
    return Fail(UploadAnother("it is no page blob"));
  }
  ASR_CHECK(pages);
  pages_ = *std::move(pages);
  return CheckFooter(pages_->size_bytes());
}

Result<std::vector<std::pair<std::string, std::string>>> VhdBlob::NameAsSource() {
  AzureRequest request{.what = "cannot name " + blob_ + " as a source"};
  ASR_CHECK(client_.SetCopySource(request, blob_, snapshot_time_));
  std::vector<std::pair<std::string, std::string>> headers;
  for (const auto& [name, value] : request.headers) headers.emplace_back(name, value);
  return headers;
}

Status VhdBlob::CheckFooter(std::uint64_t blob_bytes) {
  if (blob_bytes <= kVhdFooterBytes) {
    return Fail(CorruptImage(fmt::format(
        "the blob has {} bytes, no more than the footer that ends every VHD", blob_bytes)));
  }
  const std::uint64_t data_bytes = blob_bytes - kVhdFooterBytes;
  VhdFooter footer{};
  ASR_CHECK(pages_->Read(data_bytes, footer));
  ASR_TRY(const VhdFooterFields fields, ParseVhdFooter(footer));
  if (fields.type != VhdType::kFixed) {
    return Fail(UploadAnother("it is a dynamic or differencing VHD, not a fixed one"));
  }
  if (fields.size_bytes != data_bytes) {
    return Fail(
        CorruptImage(fmt::format("the footer of the VHD gives the disk {} bytes, the blob "
                                 "holds {}",
                                 fields.size_bytes, data_bytes)));
  }
  size_bytes_ = data_bytes;
  return {};
}

}  // namespace

Result<std::unique_ptr<BlobDisk>> OpenVhdBlob(VhdBlobOptions options, Clock& clock) {
  const std::string blob = options.blob;
  const std::string snapshot_time = options.snapshot_time;
  auto disk = std::make_unique<VhdBlob>(std::move(options), clock);
  ASR_CHECK(disk->Open(blob, snapshot_time));
  return std::unique_ptr<BlobDisk>(std::move(disk));
}

}  // namespace asr
