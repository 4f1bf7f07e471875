#include "tests/support/page_blob_model.h"

#include <algorithm>

namespace asr::testing {

Result<ByteVector> ReadAll(PageBlobReader& reader, std::uint64_t piece_bytes) {
  const std::uint64_t size_bytes = reader.size_bytes();
  ByteVector bytes(size_bytes);
  AlignedBuffer buffer(piece_bytes);
  for (std::uint64_t offset = 0; offset < size_bytes; offset += piece_bytes) {
    const std::size_t count = std::min(piece_bytes, size_bytes - offset);
    const MutableByteSpan piece = buffer.span().first(count);
    ASR_CHECK(reader.Read(offset, piece));
    std::copy(piece.begin(), piece.end(), bytes.begin() + static_cast<std::ptrdiff_t>(offset));
  }
  return bytes;
}

::testing::AssertionResult ReadsAs(BlobStore& store, const std::string& name,
                                   const std::optional<SnapshotId>& snapshot,
                                   const ByteVector& expected) {
  const std::string what = snapshot ? "snapshot " + snapshot->value : "the live blob";
  auto reader = store.OpenPageBlobReader(name, snapshot);
  if (!reader) return ::testing::AssertionFailure() << what << ": " << reader.error().Line();
  const auto bytes = ReadAll(**reader);
  if (!bytes) return ::testing::AssertionFailure() << what << ": " << bytes.error().Line();
  if (bytes->size() != expected.size()) {
    return ::testing::AssertionFailure()
           << what << " is " << bytes->size() << " bytes long, not " << expected.size();
  }
  const auto difference = std::mismatch(bytes->begin(), bytes->end(), expected.begin());
  if (difference.first == bytes->end()) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure()
         << what << " differs at offset " << difference.first - bytes->begin();
}

::testing::AssertionResult AgreesWith(BlobStore& store, const std::string& name,
                                      const PageBlobModel& model) {
  auto result = ReadsAs(store, name, std::nullopt, model.live());
  for (const auto& [id, bytes] : model.snapshots()) {
    if (result) result = ReadsAs(store, name, id, bytes);
  }
  if (!result) return result;
  auto blob = store.OpenPageBlob(name);
  if (!blob) return ::testing::AssertionFailure() << blob.error().Line();
  const auto ids = (*blob)->ListSnapshots();
  if (!ids) return ::testing::AssertionFailure() << ids.error().Line();
  const bool same =
      std::equal(ids->begin(), ids->end(), model.snapshots().begin(), model.snapshots().end(),
                 [](const auto& id, const auto& entry) { return id == entry.first; });
  if (same) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << ids->size() << " snapshots are listed, not the "
                                       << model.snapshots().size() << " there should be";
}

ByteVector RandomBytes(std::mt19937_64& random, std::size_t count) {
  ByteVector bytes(count);
  for (std::size_t i = 0; i < count; i += 8) {
    const std::uint64_t value = random();
    std::memcpy(bytes.data() + i, &value, std::min<std::size_t>(8, count - i));
  }
  return bytes;
}

}  // namespace asr::testing
