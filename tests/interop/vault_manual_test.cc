// What the manual says about recovering by hand is tried with the very lines it prints.
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>
#include <string>

#include "storage/blob/directory_store.h"
#include "tests/support/page_blob_model.h"
#include "tests/support/temp_dir.h"

namespace asr {
namespace {

using testing::ByteVector;
using testing::IsOk;
using testing::PageBlobModel;
using testing::RandomBytes;

std::string ScriptOfTheManual() {
  const auto manual = ReadWholeFile(PosixFileSystem(), ASR_SOURCE_DIR "/man/asr-vault.5");
  if (!manual) return "";
  const auto start = manual->find("#!/usr/bin/python3");
  return manual->substr(start, manual->find(".Ed", start) - start);
}

TEST(VaultManualTest, AnOlderPointIsReadByTheManualsScript) {
  const testing::TempDir directory;
  auto store = OpenDirectoryStore(PosixFileSystem(), directory.path(), false);
  ASSERT_TRUE(IsOk(store));
  constexpr std::uint64_t kChunk = 64 * kKiB;
  std::uint64_t size = 40 * kChunk + 512;
  auto blob = (*store)->CreatePageBlob("d.vhd", size);
  ASSERT_TRUE(IsOk(blob));
  PageBlobModel model(size);
  std::mt19937_64 random(7);
  for (int point = 0; point < 4; ++point) {
    for (int i = 0; i < 12; ++i) {
      const std::uint64_t offset = random() % (size / kChunk) * kChunk;
      const ByteVector bytes = i % 3 == 0 ? ByteVector(kChunk) : RandomBytes(random, kChunk);
      ASSERT_TRUE(IsOk((*blob)->Write(offset, bytes)));
      model.Write(offset, bytes);
    }
    const SnapshotId id{std::to_string(point)};
    ASSERT_TRUE(IsOk((*blob)->CreateSnapshot(id)));
    model.CreateSnapshot(id);
    size = (point % 2 == 0 ? 33 : 47) * kChunk + 512;
    ASSERT_TRUE(IsOk((*blob)->Resize(size)));
    model.Resize(size);
  }
  // Both header slots are in use: the second point's predecessor changes.
  ASSERT_TRUE(IsOk((*blob)->DeleteSnapshot({"0"})));
  model.DeleteSnapshot({"0"});
  ASSERT_TRUE(IsOk((*blob)->Flush()));
  ASSERT_TRUE(
      IsOk(WriteFileAtomic(PosixFileSystem(), directory / "lay.py", AsBytes(ScriptOfTheManual()))));
  std::string undo_files;
  for (auto entry = model.snapshots().rbegin(); entry != model.snapshots().rend(); ++entry) {
    undo_files += " d.vhd.undo/" + entry->first.value;
    const std::string command = "cd " + directory.path() +
                                " && cp --sparse=always d.vhd copy && python3 lay.py copy" +
                                undo_files;
    ASSERT_EQ(std::system(command.c_str()), 0);
    const auto copy = ReadWholeFile(PosixFileSystem(), directory / "copy");
    ASSERT_TRUE(IsOk(copy));
    EXPECT_TRUE(*copy == AsText(entry->second)) << "point " << entry->first.value;
  }
}

}  // namespace
}  // namespace asr
