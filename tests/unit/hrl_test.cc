// Change logs: what we write, what Hyper-V writes, and what is damaged.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <functional>
#include <thread>

#include "storage/hrl/hrl_reader.h"
#include "storage/hrl/hrl_writer.h"
#include "tests/support/hrl_builder.h"
#include "tests/support/image_file.h"
#include "tests/support/image_in_memory.h"
#include "tests/support/temp_dir.h"

namespace asr {
namespace {

using ::testing::HasSubstr;
using testing::HrlBuilder;
using testing::ImageInMemory;
using testing::MustSucceed;
using testing::TempDir;
using Bytes = std::vector<std::byte>;

constexpr Timestamp kWriteTime{std::chrono::milliseconds(1'795'000'000'000)};

Bytes Filled(std::size_t count, int value) { return Bytes(count, static_cast<std::byte>(value)); }

Guid IdOf(int value) {
  Guid id{};
  id.fill(static_cast<std::byte>(value));
  return id;
}

struct Write {
  Extent disk;
  Bytes data;
  bool operator==(const Write&) const = default;
};

// Everything that a log says, all of it checked; or the error.
Result<std::vector<Write>> ReadAll(FileSystem& fs, const std::string& path) {
  ASR_TRY(const HrlReader reader, HrlReader::Open(fs, path));
  std::vector<Write> writes;
  for (std::size_t i = 0; i < reader.block_count(); ++i) {
    ASR_TRY(const auto entries, reader.ReadBlock(i));
    for (const HrlEntry& entry : entries) {
      ASR_CHECK(reader.VerifyData(entry));
      Write write{entry.disk, Bytes(entry.disk.length_bytes)};
      ASR_CHECK(reader.ReadData(entry, 0, write.data));
      writes.push_back(std::move(write));
    }
  }
  return writes;
}

class HrlTest : public ::testing::Test {
 protected:
  std::unique_ptr<HrlWriter> Create() {
    return HrlWriter::Create(fs_, path_,
                             {.id = IdOf(1), .previous_id = IdOf(2), .created = kWriteTime})
        .value();
  }
  void WriteFile(const Bytes& bytes) { testing::ImageFileMaker(path_).Put(0, bytes); }
  ErrorCode CodeOf() {
    const auto writes = ReadAll(fs_, path_);
    return writes ? ErrorCode::kInternal : writes.error().code;
  }

  FileSystem& fs_ = PosixFileSystem();
  TempDir directory_;
  std::string path_ = directory_ / "disk.vhdx.hrl";
};

// Values that the specification prints (section 3).
TEST_F(HrlTest, ChecksumsAreThoseOfTheSpecification) {
  Bytes block(kHrlBlockHeaderBytes);
  EncodeHrlBlockHeader({.distance_to_previous = 0, .entry_count = 0}, block);
  EXPECT_EQ(LoadLittle<std::uint32_t>(block, 12), 4294967295);
  EncodeHrlBlockHeader({.distance_to_previous = 324096, .entry_count = 58}, block);
  EXPECT_EQ(LoadLittle<std::uint32_t>(block, 12), 4294966991);

  const Timestamp written =
      std::chrono::sys_days(std::chrono::year(2000) / 1 / 1) + std::chrono::seconds(539842382);
  Bytes entry(kHrlEntryBytes);
  EncodeHrlEntry({.disk = {3626340352, 4096}, .written = written}, entry);
  EXPECT_EQ(LoadLittle<std::uint32_t>(entry, 8), 4294966639);
  EncodeHrlEntry({.disk = {3673764352, 31232}, .written = written}, entry);
  EXPECT_EQ(LoadLittle<std::uint32_t>(entry, 8), 4294966413);
  EncodeHrlEntry({.disk = {10188185600, 4096}, .written = written}, entry);
  EXPECT_EQ(LoadLittle<std::uint32_t>(entry, 8), 4294966776);
}

TEST_F(HrlTest, TheChecksumOfAnyLengthIsTheSumOfItsBytes) {
  for (const std::size_t length : {0U, 1U, 7U, 8U, 9U, 1023U, 1024U, 1025U, 65536U, 65543U}) {
    Bytes bytes(length);
    for (std::size_t i = 0; i < length; ++i) bytes[i] = static_cast<std::byte>(i * 7 + 200);
    EXPECT_EQ(HrlChecksum(bytes), testing::HrlSum(bytes, length)) << length;
  }
  EXPECT_EQ(HrlChecksum(Filled(1 << 20, 0xFF)), ~static_cast<std::uint32_t>(255 << 20));
}

TEST_F(HrlTest, ReadsWhatItWrote) {
  for (const std::size_t count : {0U, 1U, 126U, 127U, 128U, 254U, 255U, 300U}) {
    std::filesystem::remove(path_);
    std::vector<Write> expected;
    const auto writer = Create();
    for (std::size_t i = 0; i < count; ++i) {
      Write write{{i * kMiB, 512 * (1 + i % 5)}, Filled(512 * (1 + i % 5), static_cast<int>(i))};
      if (i % 3 == 0) {
        write.data = Filled(write.data.size(), 0);
        ASSERT_TRUE(writer->AppendZeros(write.disk, kWriteTime).has_value());
      } else {
        ASSERT_TRUE(writer->Append(write.disk.offset_bytes, write.data, kWriteTime).has_value());
      }
      expected.push_back(std::move(write));
    }
    EXPECT_EQ(writer->entry_count(), count);
    MustSucceed(writer->Close(IdOf(9), kWriteTime + std::chrono::seconds(3)));
    const auto writes = ReadAll(fs_, path_);
    ASSERT_TRUE(writes.has_value()) << writes.error().Line();
    EXPECT_EQ(*writes, expected) << count;
    const HrlHeader header = HrlReader::Open(fs_, path_).value().header();
    EXPECT_EQ(header.version, kHrlVersion2);
    EXPECT_EQ(header.id, IdOf(1));
    EXPECT_EQ(header.previous_id, IdOf(2));
    EXPECT_EQ(header.data_write_guid, IdOf(9));
    EXPECT_EQ(header.created, kWriteTime);
    EXPECT_EQ(header.last_modified, kWriteTime + std::chrono::seconds(3));
    EXPECT_EQ(header.current_bytes, testing::FileSize(path_));
  }
}

// By the specification alone: the first block is empty and lies behind the header.
TEST_F(HrlTest, ALogOfOursLiesAsHyperVLaysIt) {
  const auto writer = Create();
  ASSERT_TRUE(writer->Append(8192, Filled(1024, 5), kWriteTime).has_value());
  MustSucceed(writer->Close({}, kWriteTime));
  const Bytes file = ImageInMemory(path_).bytes();
  ASSERT_EQ(file.size(), 4096 + 4096 + 1024 + 4096);
  EXPECT_EQ(AsText(ByteSpan(file).first(8)), "msctlog ");
  EXPECT_EQ(LoadLittle<std::uint64_t>(file, 44), file.size());
  EXPECT_EQ(LoadLittle<std::uint32_t>(file, 4096 + 8), 0);
  EXPECT_EQ(file[8192], std::byte{5});
  EXPECT_EQ(LoadLittle<std::uint64_t>(file, 9216), 4096 + 1024);
  EXPECT_EQ(LoadLittle<std::uint32_t>(file, 9216 + 8), 1);
  EXPECT_EQ(LoadLittle<std::uint64_t>(file, 9216 + 32), 8192);
  EXPECT_EQ(file[9216 + 32 + 20], std::byte{1});
  EXPECT_EQ(LoadLittle<std::uint32_t>(file, 9216 + 32 + 21), ~std::uint32_t{5 * 1024});
  EXPECT_EQ(LoadLittle<std::uint32_t>(file, 40), testing::HrlSum(ByteSpan(file).first(4096), 40));
}

TEST_F(HrlTest, ZerosTakeNoSpace) {
  const auto writer = Create();
  ASSERT_TRUE(writer->AppendZeros({0, kGiB}, kWriteTime).has_value());
  ASSERT_TRUE(writer->Append(2 * kGiB, Filled(4096, 1), kWriteTime).has_value());
  EXPECT_LE(writer->allocated_bytes(), 64 * kKiB);
  MustSucceed(writer->Close({}, kWriteTime));
  EXPECT_LE(fs_.Stat(path_).value().allocated_bytes, 64 * kKiB);
  const HrlReader reader = HrlReader::Open(fs_, path_).value();
  const auto entries = reader.ReadBlock(1).value();
  ASSERT_EQ(entries.size(), 2);
  const auto file = fs_.Open(path_, {}).value();
  const auto data_of = [&](const HrlEntry& entry) {
    return file->DataExtents({entry.file_offset, entry.disk.length_bytes}).value();
  };
  EXPECT_TRUE(data_of(entries[0]).empty());
  EXPECT_FALSE(data_of(entries[1]).empty());
}

TEST_F(HrlTest, SeveralThreadsMayAppend) {
  const auto writer = Create();
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (std::uint64_t i = 0; i < 200; ++i) {
        const std::uint64_t number = static_cast<std::uint64_t>(thread) * 200 + i;
        ASSERT_TRUE(
            writer->Append(number * 4096, Filled(4096, static_cast<int>(number)), kWriteTime)
                .has_value());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  MustSucceed(writer->Close({}, kWriteTime));
  auto writes = ReadAll(fs_, path_);
  ASSERT_TRUE(writes.has_value()) << writes.error().Line();
  ASSERT_EQ(writes->size(), 800);
  std::ranges::sort(*writes, {}, &Write::disk);
  for (std::size_t i = 0; i < 800; ++i) {
    EXPECT_EQ((*writes)[i].data, Filled(4096, static_cast<int>(i)));
  }
}

TEST_F(HrlTest, AWriterThatIsDroppedLeavesALogThatIsNotWhole) {
  {
    const auto writer = Create();
    for (std::uint64_t i = 0; i < 200; ++i) {
      ASSERT_TRUE(writer->Append(i * 4096, Filled(4096, 1), kWriteTime).has_value());
    }
  }
  EXPECT_EQ(CodeOf(), ErrorCode::kLogNotClosed);
  const HrlSummary summary = ReadHrlSummary(fs_, path_).value();
  EXPECT_FALSE(summary.header.is_closed());
}

// Opening a pipe would wait for ever.
TEST_F(HrlTest, OnlyFilesAreLogs) {
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  for (const std::string& path : {path_, directory_.path()}) {
    EXPECT_EQ(ReadHrlSummary(fs_, path).error().code, ErrorCode::kLogUnsupported);
    EXPECT_EQ(HrlReader::Open(fs_, path).error().code, ErrorCode::kLogUnsupported);
  }
}

TEST_F(HrlTest, NoLogIsOverwritten) {
  MustSucceed(Create()->Close({}, kWriteTime));
  const auto again = HrlWriter::Create(fs_, path_, {});
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().code, ErrorCode::kAlreadyExists);
}

TEST_F(HrlTest, ReadsWhatHyperVWrites) {
  for (const std::uint32_t version : {0x00010000U, 0x00020000U}) {
    for (const bool has_empty_block : {true, false}) {
      HrlBuilder builder;
      builder.version = version;
      builder.begins_with_an_empty_block = has_empty_block;
      builder.metadata_bytes = version == 0x00010000 ? 512 : 4096;
      builder.blocks = {
          {{.disk_offset = 4096, .data = Filled(31232, 3)},
           {.disk_offset = 8192, .data = Filled(512, 4)}},
          {{.disk_offset = 4096, .data = Filled(1024, 5), .has_data_checksum = true}}};
      std::filesystem::remove(path_);
      WriteFile(builder.Bytes());
      const auto writes = ReadAll(fs_, path_);
      ASSERT_TRUE(writes.has_value()) << writes.error().Line();
      const std::vector<Write> expected = {{{4096, 31232}, Filled(31232, 3)},
                                           {{8192, 512}, Filled(512, 4)},
                                           {{4096, 1024}, Filled(1024, 5)}};
      EXPECT_EQ(*writes, expected);
      const HrlReader reader = HrlReader::Open(fs_, path_).value();
      EXPECT_EQ(reader.header().data_write_guid, version == 0x00010000 ? Guid{} : IdOf(0xB9));
      EXPECT_EQ(reader.header().previous_id, IdOf(0xA8));
      EXPECT_TRUE(reader.summary().warnings.empty());
    }
  }
}

TEST_F(HrlTest, AForeignHeaderChecksumThatIsWrongIsAWarning) {
  HrlBuilder builder;
  builder.header_checksum_is_right = false;
  builder.blocks = {{{.disk_offset = 0, .data = Filled(512, 1)}}};
  WriteFile(builder.Bytes());
  const HrlReader reader = HrlReader::Open(fs_, path_).value();
  ASSERT_EQ(reader.summary().warnings.size(), 1);
  EXPECT_THAT(reader.summary().warnings[0], HasSubstr("checksum"));
  std::filesystem::remove(path_);
  builder.creator = "asr ";
  WriteFile(builder.Bytes());
  EXPECT_EQ(CodeOf(), ErrorCode::kLogCorrupt);
}

TEST_F(HrlTest, RefusesWhatItDoesNotKnow) {
  const auto expect = [&](const std::function<void(HrlBuilder&)>& change, ErrorCode code) {
    HrlBuilder builder;
    builder.blocks = {{{.disk_offset = 0, .data = Filled(512, 1)}}};
    change(builder);
    std::filesystem::remove(path_);
    WriteFile(builder.Bytes());
    EXPECT_EQ(CodeOf(), code);
  };
  expect([](HrlBuilder& log) { log.version = 0x00030000; }, ErrorCode::kLogUnsupported);
  expect([](HrlBuilder& log) { log.file_type = 1; }, ErrorCode::kLogUnsupported);
  expect([](HrlBuilder& log) { log.is_closed = false; }, ErrorCode::kLogNotClosed);
  expect([](HrlBuilder& log) { log.metadata_bytes = 1000; }, ErrorCode::kLogCorrupt);
  expect([](HrlBuilder& log) { log.blocks[0][0].operation = 2; }, ErrorCode::kLogCorrupt);
  expect([](HrlBuilder& log) { log.blocks[0][0].data = Filled(513, 1); }, ErrorCode::kLogCorrupt);
  expect([](HrlBuilder& log) { log.blocks[0][0].data = {}; }, ErrorCode::kLogCorrupt);
  expect([](HrlBuilder& log) { log.blocks[0][0].disk_offset = 100; }, ErrorCode::kLogCorrupt);
  expect([](HrlBuilder& log) { log.blocks[0][0].disk_offset = 64 * kTiB; }, ErrorCode::kLogCorrupt);
}

class HrlDamageTest : public HrlTest {
 protected:
  // Two blocks of entries, written by us.
  void WriteLog() {
    const auto writer = Create();
    for (std::uint64_t i = 0; i < 130; ++i) {
      writes_.push_back({{i * kMiB, 512}, Filled(512, static_cast<int>(i + 1))});
      ASSERT_TRUE(writer->Append(i * kMiB, writes_.back().data, kWriteTime).has_value());
    }
    MustSucceed(writer->Close(IdOf(9), kWriteTime));
  }

  std::vector<Write> writes_;
};

TEST_F(HrlDamageTest, CutAtAnyLengthItIsRefused) {
  WriteLog();
  ImageInMemory log(path_);
  while (!log.bytes().empty()) {
    log.bytes().pop_back();
    const auto writes = ReadAll(log, path_);
    ASSERT_FALSE(writes.has_value()) << log.bytes().size();
    ASSERT_EQ(writes.error().code, ErrorCode::kLogCorrupt) << writes.error().Line();
  }
}

TEST_F(HrlDamageTest, AnyFlippedByteIsFoundOrMeansNothing) {
  WriteLog();
  ImageInMemory log(path_);
  std::size_t harmless = 0;
  for (std::size_t at = 0; at < log.bytes().size(); ++at) {
    for (const std::byte mask : {static_cast<std::byte>(1 << at % 8), std::byte{0xFF}}) {
      log.bytes()[at] ^= mask;
      const auto writes = ReadAll(log, path_);
      if (writes) {
        ++harmless;
        ASSERT_EQ(*writes, writes_) << at;
      } else {
        ASSERT_EQ(writes.error().kind == ErrorKind::kCorrupt ||
                      writes.error().kind == ErrorKind::kUnsupported,
                  true)
            << at << ": " << writes.error().Line();
      }
      log.bytes()[at] ^= mask;
    }
  }
  // Room for entries that is not used, of the empty block and of the last one. And the creator's
  // name: a log of another creator may have a wrong checksum in its header, which is a warning.
  EXPECT_EQ(harmless, 2 * (127 * 32 + 124 * 32 + 4));
}

}  // namespace
}  // namespace asr
