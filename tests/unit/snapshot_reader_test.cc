// What a writer may do between any two calls of a reader, one place after the other.
#include "storage/blob/snapshot_reader.h"

#include <gtest/gtest.h>

#include <functional>
#include <random>

#include "storage/blob/directory_store.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/page_blob_model.h"
#include "tests/support/power_loss_file_system.h"

namespace asr {
namespace {

using testing::ByteVector;
using testing::FaultFileSystem;
using testing::IsOk;
using testing::PowerLossFileSystem;
using testing::ReadAll;

constexpr std::uint64_t kChunk = 64 * kKiB;
constexpr char kName[] = "x.vhd";

using Disturbance = std::function<Status(PageBlob&)>;

struct Case {
  std::string name;
  Disturbance disturb;
};

Status Overwrite(PageBlob& blob) { return blob.Write(0, ByteVector(4 * kChunk, std::byte{9})); }

class SnapshotReaderTest : public ::testing::TestWithParam<Case> {
 protected:
  // Snapshots a, b, c; each of the four chunks is found somewhere else when b is read.
  void Prepare(PowerLossFileSystem& memory) {
    auto store = OpenDirectoryStore(memory, "/vault", true);
    ASSERT_TRUE(IsOk(store));
    auto blob = (*store)->CreatePageBlob(kName, 4 * kChunk);
    ASSERT_TRUE(IsOk(blob));
    blob_ = *std::move(blob);
    ASSERT_TRUE(IsOk(blob_->Write(0, ByteVector(4 * kChunk, std::byte{1}))));
    ASSERT_TRUE(IsOk(blob_->CreateSnapshot({"a"})));
    ASSERT_TRUE(IsOk(blob_->Write(kChunk, ByteVector(3 * kChunk, std::byte{2}))));
    ASSERT_TRUE(IsOk(blob_->CreateSnapshot({"b"})));
    ASSERT_TRUE(IsOk(blob_->Write(2 * kChunk, ByteVector(kChunk, std::byte{3}))));
    ASSERT_TRUE(IsOk(blob_->CreateSnapshot({"c"})));
    ASSERT_TRUE(IsOk(blob_->Write(3 * kChunk, ByteVector(kChunk, std::byte{4}))));
  }

  std::unique_ptr<PageBlob> blob_;
};

TEST_P(SnapshotReaderTest, BytesAreRightWhereverTheWriterStrikes) {
  ByteVector expected(4 * kChunk, std::byte{2});
  std::fill_n(expected.begin(), kChunk, std::byte{1});
  for (const bool reader_is_warm : {false, true}) {
    std::uint64_t strike = 1;
    bool struck = true;
    for (; struck; ++strike) {
      SCOPED_TRACE("before call " + std::to_string(strike));
      PowerLossFileSystem memory;
      ASSERT_NO_FATAL_FAILURE(Prepare(memory));
      FaultFileSystem fs(memory);
      auto reader = SnapshotReader::Open(fs, kName, std::string("/vault/") + kName, {"b"});
      ASSERT_TRUE(IsOk(reader));
      if (reader_is_warm) {
        ASSERT_TRUE(IsOk(ReadAll(**reader)));
      }
      fs.DieAt(0);  // counts from here
      struck = false;
      Status disturbed;
      fs.before_call = [&](std::uint64_t call) {
        if (call != strike) return;
        struck = true;
        disturbed = GetParam().disturb(*blob_);
      };
      const auto bytes = ReadAll(**reader);
      ASSERT_TRUE(IsOk(disturbed));
      ASSERT_TRUE(IsOk(bytes));
      ASSERT_TRUE(*bytes == expected);
    }
    EXPECT_GT(strike, 5U);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Disturbances, SnapshotReaderTest,
    ::testing::Values(Case{"Overwrite", Overwrite},
                      Case{"Clear",
                           [](PageBlob& blob) {
                             return blob.Clear({0, 4 * kChunk});
                           }},
                      Case{"Shrink", [](PageBlob& blob) { return blob.Resize(512); }},
                      Case{"SealThenOverwrite",
                           [](PageBlob& blob) -> Status {
                             ASR_CHECK(blob.CreateSnapshot({"d"}));
                             return Overwrite(blob);
                           }},
                      Case{"SealOverwriteDrop",
                           [](PageBlob& blob) -> Status {
                             ASR_CHECK(blob.CreateSnapshot({"d"}));
                             ASR_CHECK(Overwrite(blob));
                             return blob.DeleteSnapshot({"d"});
                           }},
                      Case{"DropNewerThenOverwrite",
                           [](PageBlob& blob) -> Status {
                             ASR_CHECK(blob.DeleteSnapshot({"c"}));
                             return Overwrite(blob);
                           }},
                      Case{"DropNewerAndMakeItAnew",
                           [](PageBlob& blob) -> Status {
                             ASR_CHECK(blob.DeleteSnapshot({"c"}));
                             ASR_CHECK(Overwrite(blob));
                             ASR_CHECK(blob.CreateSnapshot({"c"}));
                             return Overwrite(blob);
                           }},
                      Case{"DropOldest",
                           [](PageBlob& blob) { return blob.DeleteSnapshot({"a"}); }}),
    [](const auto& kind) { return kind.param.name; });

}  // namespace
}  // namespace asr
