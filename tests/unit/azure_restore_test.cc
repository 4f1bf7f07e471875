// Restores from, and rollbacks in, a container: which requests they cost.
#include <gtest/gtest.h>


#include "core/jobs/replication.h"
#include "storage/base/crc64.h"
#include "storage/http/retry_policy.h"
#include "tests/support/azure_world.h"
#include "tests/support/certificate_files.h"

namespace asr {
namespace {

using testing::AzureWorld;
using testing::FaultAction;
using testing::kAzureDiskBytes;
using testing::RequestRecord;

class AzureRestoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    world_.Fill({0, kMiB}, /*with_zeros=*/false);
    ASSERT_TRUE(world_.CreateTheVault("one"));
    ASSERT_TRUE(world_.Enable("one"));
    world_.server.ClearLog();
  }

  // Of the disk's chunks: those that hold data.
  [[nodiscard]] std::uint64_t BytesWithData() const {
    std::uint64_t bytes = 0;
    const ByteSpan content = world_.content();
    for (std::size_t at = 0; at < content.size(); at += kChunkBytes) {
      const ByteSpan chunk =
          content.subspan(at, std::min<std::size_t>(kChunkBytes, content.size() - at));
      const bool has_data =
          std::ranges::any_of(chunk, [](std::byte byte) { return byte != std::byte{0}; });
      if (has_data) bytes += chunk.size();
    }
    return bytes;
  }

  // Of the requests of one kind for disks' pages.
  [[nodiscard]] std::vector<RequestRecord> OfDisks(const std::string& operation) const {
    std::vector<RequestRecord> found;
    for (const RequestRecord& record : world_.server.Log()) {
      if (record.operation == operation && record.blob.ends_with(".vhd")) found.push_back(record);
    }
    return found;
  }
  static std::uint64_t SumOf(const std::vector<RequestRecord>& records) {
    std::uint64_t bytes = 0;
    for (const RequestRecord& record : records) bytes += record.range.length_bytes;
    return bytes;
  }

  // A pass that was cut, and the rollback of what it wrote.
  void RollBack() {
    ASSERT_TRUE(world_.SendHalf("one"));
    world_.server.ClearLog();
    const Status status = world_.RollBack("one");
    ASSERT_TRUE(status) << status.error().Line();
    rolled_back_ = world_.server.Log();
    const Status compared = world_.Run("one", [&](Environment&, Vault& vault) -> Status {
      ASR_TRY(const Item item, vault.FindItem("web"));
      ASR_TRY(const auto lease, vault.LeaseItem(item));
      ASR_TRY(const auto replicas, OpenReplicas(vault, *lease, /*create=*/false));
      ASR_TRY(const auto newest, vault.NewestPoint(item.id));
      ASR_TRY(const bool holds, replicas[0]->HoldsPoint(newest->id));
      EXPECT_TRUE(holds);
      std::vector<std::byte> live(kAzureDiskBytes);
      ASR_CHECK(replicas[0]->Read(0, live));
      EXPECT_TRUE(live == world_.content());
      return {};
    });
    EXPECT_TRUE(compared) << compared.error().Line();
    world_.CheckPoints();
  }
  // Of the rollback.
  [[nodiscard]] std::uint64_t Count(const std::string& operation) const {
    return static_cast<std::uint64_t>(
        std::ranges::count_if(rolled_back_, [&](const RequestRecord& record) {
          return record.operation == operation && record.blob.ends_with(".vhd");
        }));
  }

  AzureWorld world_{11};
  std::vector<RequestRecord> rolled_back_;
};

TEST_F(AzureRestoreTest, ReadsWhatHoldsDataAndNothingElse) {
  ASSERT_LT(BytesWithData(), kAzureDiskBytes / 2);
  ASSERT_TRUE(world_.Restore("one"));
  world_.ExpectRestored();
  const auto reads = OfDisks("GetBlob");
  EXPECT_EQ(SumOf(reads), BytesWithData());
  EXPECT_LE(reads.size(), BytesWithData() / kChunkBytes);
}

TEST_F(AzureRestoreTest, GoesOnAfterALostNetwork) {
  world_.Fill({0, kAzureDiskBytes}, /*with_zeros=*/false);
  world_.Advance(std::chrono::minutes(6));
  ASSERT_TRUE(world_.Delta("one"));
  world_.server.AddFault({.action = FaultAction::kRefuse,
                          .operation = "GetBlob",
                          .blob = "*.vhd",
                          .skip = 20,
                          .times = -1,
                          .code = "AuthorizationFailure"});
  EXPECT_FALSE(world_.Restore("one"));
  world_.server.ClearFaults();
  world_.server.ClearLog();
  ASSERT_TRUE(world_.Restore("one"));
  world_.ExpectRestored();
  // The last sectors come with what stands beside them.
  EXPECT_LE(SumOf(OfDisks("GetBlob")), kAzureDiskBytes + kChunkBytes);
}

TEST_F(AzureRestoreTest, ARollbackLetsTheServerCopy) {
  RollBack();
  EXPECT_GE(Count("PutPageFromURL"), 1U);
  EXPECT_EQ(Count("PutPage"), 0U);
  for (const RequestRecord& record : rolled_back_) {
    if (record.operation != "PutPageFromURL") continue;
    EXPECT_EQ(record.status, 201);
  }
}

TEST_F(AzureRestoreTest, ARollbackWritesWhereTheServerCannotCopy) {
  struct Refusal {
    std::string code;
    int status;
  };
  for (const auto& [code, status] :
       {Refusal{"APINotImplemented", 501}, Refusal{"CannotVerifyCopySource", 403},
        Refusal{"CannotVerifyCopySource", 404}, Refusal{"UnsupportedHeader", 400}}) {
    SCOPED_TRACE(code);
    world_.server.AddFault({.action = FaultAction::kRefuse,
                            .operation = "PutPageFromURL",
                            .times = -1,
                            .code = code,
                            .status = status});
    RollBack();
    EXPECT_EQ(Count("PutPageFromURL"), 1U);  // and not asked again
    EXPECT_GE(Count("PutPage"), 1U);
    world_.server.ClearFaults();
  }
}

// The number of a blob is a condition of copies, too.
TEST_F(AzureRestoreTest, WhoLostTheBlobCopiesNothing) {
  world_.NotePoints();
  const std::string name = "items/x/disks/d.vhd";
  const auto late = world_.OpenStore("one");
  const auto other = world_.OpenStore("two");
  ASSERT_TRUE(late && other);
  ASSERT_TRUE((*late)->CreatePageBlob(name, 64 * kKiB));
  auto blob = (*late)->OpenPageBlob(name).value();
  const std::vector<std::byte> bytes(4096, std::byte{7});
  ASSERT_TRUE(blob->Write(0, bytes));
  ASSERT_TRUE(blob->CreateSnapshot({"s"}));
  auto lease = (*other)->AcquireLease("items/x/lease");
  ASSERT_TRUE(lease);
  auto taken = (*other)->OpenPageBlob(name).value();  // raises the number
  ASSERT_TRUE(taken->Write(0, std::vector<std::byte>(4096, std::byte{8})));
  const auto copied = blob->CopyFrom({"s"}, {0, 4096}, Crc64(bytes));
  ASSERT_FALSE(copied);
  EXPECT_EQ(copied.error().code, ErrorCode::kLeaseLost);
  std::vector<std::byte> live(4096);
  ASSERT_TRUE(taken->Read(0, live));
  EXPECT_EQ(live[0], std::byte{8});
}

// A SAS or a token in place of the key.
class BearerForTests : public Authorizer {
 public:
  explicit BearerForTests(std::string token) : token_(std::move(token)) {}
  Status Sign(HttpRequest& request, const std::stop_token&) override {
    request.headers.Set("x-ms-date", FormatHttpDate(SystemClock().Now()));
    request.headers.Set("authorization", "Bearer " + token_);
    return {};
  }

 private:
  std::string token_;
};

TEST(AzureCopyTest, TheSourceIsReadWithASasOrAToken) {
  testing::TempDir directory;
  const auto certificate = testing::MakeCertificateFiles(directory.path());
  // Tokens are for https only.
  testing::PageBlobServer server(
      {.certificate_file = certificate.certificate_file, .key_file = certificate.key_file});
  server.CreateContainer("vault");
  server.AddToken("token", std::chrono::hours(1));
  for (const bool is_bearer : {false, true}) {
    std::unique_ptr<Authorizer> authorizer = std::make_unique<BearerForTests>("token");
    if (!is_bearer) {
      const Secret sas(server.AccountSas("racwdl", std::chrono::hours(1)));
      authorizer = std::make_unique<SasAuthorizer>(ParseSas(sas).value(), SystemClock());
    }
    const auto store = OpenAzureStore(
        {.container_url = server.url() + "/vault",
         .transport = CurlTransport::Create({.ca_file = certificate.authority_file}).value(),
         .authorizer = std::move(authorizer),
         .leases = {PosixFileSystem(), directory.path(), "one"},
         .stop = {}},
        /*create=*/false);
    ASSERT_TRUE(store) << store.error().Line();
    const auto blob = (*store)->CreatePageBlob(is_bearer ? "a.vhd" : "b.vhd", 64 * kKiB).value();
    const std::vector<std::byte> bytes(4096, std::byte{7});
    ASSERT_TRUE(blob->Write(0, bytes));
    ASSERT_TRUE(blob->CreateSnapshot({"s"}));
    ASSERT_TRUE(blob->Write(0, std::vector<std::byte>(4096, std::byte{8})));
    const auto copied = blob->CopyFrom({"s"}, {0, 4096}, Crc64(bytes));
    ASSERT_TRUE(copied) << copied.error().Line();
    EXPECT_TRUE(*copied) << (is_bearer ? "token" : "SAS");
    std::vector<std::byte> live(4096);
    ASSERT_TRUE(blob->Read(0, live));
    EXPECT_EQ(live, bytes);
  }
}

}  // namespace
}  // namespace asr
