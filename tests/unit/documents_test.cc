#include "core/vault/documents.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/vault/document_text.h"
#include "core/vault/layout.h"

namespace asr {
namespace {

// Without the checksum, to be changed and written again.
nlohmann::ordered_json Opened(const std::string& text) {
  auto json = nlohmann::ordered_json::parse(text);
  json.erase("checksum");
  return json;
}

Item SampleItem() {
  Item item;
  item.id = {"web-1a2b3c4d"};
  item.name = "web";
  item.host = "hosts \"one\"";
  item.policy = "gold";
  item.state = ProtectionState::kProtected;
  item.epoch = 7;
  item.generation = {"0badcafe"};
  item.resync = ResyncState::kRequired;
  item.resync_cause = "the change log is torn";
  item.resync_deep = true;
  item.created = *ParseTime("2026-11-23T06:30:00.123Z");
  item.excluded_disks = {{"swap"}};
  item.settings = {.generation = 2,
                   .cpu_count = 4,
                   .memory_bytes = 8 * kGiB,
                   .sign_of_life = {.serial_text = "login:", .wait = std::chrono::seconds(90)}};
  item.disks = {{.name = {"root"},
                 .path = "/vms/web/root.vhdx",
                 .format = "vhdx",
                 .size_bytes = 40 * kGiB,
                 .logical_sector_bytes = 4096,
                 .unique_id = RandomBits()}};
  return item;
}

RecoveryPoint SamplePoint() {
  RecoveryPoint point;
  point.id = {"20261123T063000.123Z"};
  point.time = *ParseTime("2026-11-23T06:30:00.123Z");
  point.consistency = Consistency::kApp;
  point.item = {"web-1a2b3c4d"};
  point.epoch = 3;
  point.generation = {"0badcafe"};
  point.parent = PointId{"20261123T062500.000Z"};
  point.changed_bytes = 65536;
  point.disks = {{.name = {"root"}, .format = "raw", .size_bytes = kGiB}};
  point.settings = SampleItem().settings;
  return point;
}

TEST(DocumentsTest, ReadBackAsWritten) {
  const Item item = SampleItem();
  EXPECT_EQ(DecodeItem("item", EncodeItem(item)).value(), item);

  Item set = item;
  set.target = {.cpu_count = 2, .sign_of_life = SignOfLife{.serial_text = "", .tcp_port = 65535}};
  EXPECT_EQ(DecodeItem("item", EncodeItem(set)).value(), set);
  set.target = {.memory_bytes = kGiB,
                .network = GuestNetwork::kNone,
                .sign_of_life = SignOfLife{},
                .sign_of_life_wait = std::chrono::seconds(5)};
  set.settings.network = GuestNetwork::kIsolated;
  set.settings.sign_of_life = {
      .serial_text = "", .wait = std::chrono::seconds(9), .guest_agent = true};
  EXPECT_EQ(DecodeItem("item", EncodeItem(set)).value(), set);

  const RecoveryPoint point = SamplePoint();
  EXPECT_EQ(DecodePoint("point", EncodePoint(point)).value(), point);
  RecoveryPoint first = point;
  first.parent.reset();
  first.firmware = {.format = "qcow2",
                    .size_bytes = 3,
                    .sha256 = std::string(64, 'a'),
                    .content = std::string("\0\xff\n", 3)};
  EXPECT_EQ(DecodePoint("point", EncodePoint(first)).value(), first);

  Policy policy{.name = "gold", .retention = StandardRetention(std::chrono::hours(24))};
  EXPECT_EQ(DecodePolicy("policy", EncodePolicy(policy)).value(), policy);
  // Older programs neither write nor know it.
  EXPECT_EQ(EncodePolicy(policy).find("retryDelays"), std::string::npos);
  policy.retry_delays = {std::chrono::seconds(5), std::chrono::hours(24)};
  EXPECT_EQ(DecodePolicy("policy", EncodePolicy(policy)).value(), policy);

  const Proof proof{.verified_at = {},
                    .booted = true,
                    .boot_seconds = 12.5,
                    .sign_of_life = "login:",
                    .tested_at = point.time,
                    .notes = "quarterly drill",
                    .screenshot = Screenshot{
                        .path = "p.proof/T.png", .size_bytes = 7, .sha256 = std::string(64, 'a')}};
  EXPECT_EQ(DecodeProof("p.proof/T.json", EncodeProof(proof)).value(), proof);

  const Pin pin{.id = {"a1"}, .point = point.id, .reader = "restore", .until = point.time};
  const Pin read = DecodePin("pin", EncodePin(pin)).value();
  EXPECT_EQ(read.until, pin.until);
  EXPECT_FALSE(read.is_hold());
}

TEST(DocumentsTest, EveryMissingFieldIsNamed) {
  const auto whole = Opened(EncodeItem(SampleItem()));
  for (const auto& [key, value] : whole.items()) {
    auto broken = whole;
    broken.erase(key);
    const auto item = DecodeItem("items/x/item.json", WriteDocument(broken));
    ASSERT_FALSE(item) << key;
    EXPECT_NE(item.error().message.find(key), std::string::npos) << item.error().message;
    EXPECT_NE(item.error().message.find("items/x/item.json"), std::string::npos);
  }
}

TEST(DocumentsTest, WrongTypesAreRefusedEverywhere) {
  const auto whole = Opened(EncodePoint(SamplePoint()));
  for (const auto& [key, value] : whole.items()) {
    auto broken = whole;
    broken[key] = {{"not", "this"}};
    if (key == "machine") broken[key] = 5;
    EXPECT_FALSE(DecodePoint("point", WriteDocument(broken))) << key;
  }
}

TEST(DocumentsTest, NewerVersionAsksForTheNewerProgram) {
  auto json = Opened(EncodePoint(SamplePoint()));
  json["version"] = 2;
  const auto point = DecodePoint("point", WriteDocument(json));
  ASSERT_FALSE(point);
  EXPECT_EQ(point.error().kind, ErrorKind::kUnsupported);
  EXPECT_FALSE(point.error().action.empty());
}

TEST(DocumentsTest, EveryTruncationIsRefused) {
  const std::string text = EncodePoint(SamplePoint());
  for (std::size_t length = 0; length < text.size(); ++length) {
    EXPECT_FALSE(DecodePoint("point", text.substr(0, length))) << length;
  }
}

TEST(DocumentsTest, EveryFlippedBitIsRefused) {
  const std::string text = EncodePoint(SamplePoint());
  for (std::size_t i = 0; i < text.size() * 8; ++i) {
    std::string flipped = text;
    flipped[i / 8] = static_cast<char>(flipped[i / 8] ^ (1 << i % 8));
    EXPECT_FALSE(DecodePoint("point", flipped)) << i / 8;
  }
}

TEST(LayoutTest, NamesSurviveEscaping) {
  for (const std::string name :
       {"web", "Disk 1", "..", ".hidden", "a/b", "_x_", "größe", "a.b-c"}) {
    const std::string segment = layout::EscapeSegment(name);
    EXPECT_EQ(segment.find_first_not_of(
                  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"),
              std::string::npos)
        << segment;
    EXPECT_FALSE(segment.starts_with('.')) << segment;
    EXPECT_EQ(layout::UnescapeSegment(segment), name);
  }
}

}  // namespace
}  // namespace asr
