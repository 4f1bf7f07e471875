// The lab of CliRunner with a VM that was replicated several times, and its vault opened beside the
// command line: for tests of what reads a vault, and of what damages it.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "core/jobs/replication.h"
#include "core/points/verify_point.h"
#include "core/vault/vault_check.h"
#include "storage/blob/directory_store.h"
#include "tests/support/cli_runner.h"

namespace asr::testing {

class ProtectedLab {
 public:
  ProtectedLab() {
    cli.SetUpLab();
    cli.Json("enable web --policy gold");
    auto store = OpenDirectoryStore(PosixFileSystem(), cli.Path("vault"), false);
    EXPECT_TRUE(store.has_value());
    auto opened = Vault::Open(*std::move(store), "main");
    EXPECT_TRUE(opened.has_value());
    vault = *std::move(opened);
  }

  // Changes a few chunks of both disks, and seals a point.
  void Replicate(int round) {
    const std::string bytes(100'000, static_cast<char>('a' + round));
    cli.WriteDisk("root.raw", static_cast<std::uint64_t>(round) * 300'000, bytes);
    cli.WriteDisk("root.raw", 3 * kMiB, std::to_string(round));
    cli.WriteDisk("data.raw", static_cast<std::uint64_t>(round) * 70'000, bytes.substr(0, 4096));
    EXPECT_EQ(cli.Json("replicate web")["point"]["new"], true);
  }

  [[nodiscard]] Item item() const { return vault->FindItem("web").value(); }
  // Newest first.
  [[nodiscard]] std::vector<PointId> points() const {
    return vault->ListPointIds(item().id).value();
  }
  // "{vault}/items/ITEM/" + name
  [[nodiscard]] std::string ItemPath(const std::string& name) const {
    return cli.Path("vault/items/" + item().id.value + "/" + name);
  }

  // As retention does it.
  void Remove(const PointId& point) {
    const auto lease = vault->LeaseItem(item());
    ASSERT_TRUE(lease.has_value()) << lease.error().Line();
    const auto replicas = OpenReplicas(*vault, **lease, /*create=*/false);
    ASSERT_TRUE(replicas.has_value()) << replicas.error().Line();
    const Status removed = RemovePoint(*vault, **lease, *replicas, point);
    ASSERT_TRUE(removed.has_value()) << removed.error().Line();
  }

  // What is damaged in any point, as text.
  [[nodiscard]] std::vector<std::string> DamageOfPoints(VerifyOptions options = {}) const {
    std::vector<std::string> texts;
    const Item verified = item();
    PointVerifier verifier(*vault, verified, std::move(options));
    for (const PointId& id : points()) {
      const auto point = vault->ReadPoint(verified.id, id);
      if (!point) {
        texts.push_back(point.error().Line());
        continue;
      }
      const auto damages = verifier.Verify(*point);
      if (!damages) texts.push_back(damages.error().Line());
      if (!damages) continue;
      for (const DiskDamage& damage : *damages) {
        texts.push_back(id.value + ": " + damage.Text());
      }
    }
    return texts;
  }

  CliRunner cli;
  std::unique_ptr<Vault> vault;
};

}  // namespace asr::testing
