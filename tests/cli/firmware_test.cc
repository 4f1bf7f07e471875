// Firmware variables of a point: shown, restored, verified, checked.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "core/vault/layout.h"
#include "storage/base/checksum.h"
#include "tests/support/protected_lab.h"

namespace asr::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class FirmwareCliTest : public ::testing::Test {
 protected:
  // As the point of a VM with UEFI has them.
  FirmwareCliTest() {
    auto sealed = lab_.vault->ReadPoint(lab_.item().id, lab_.points().front());
    sealed->firmware = {.format = "raw",
                        .size_bytes = content_.size(),
                        .sha256 = ToHex(ComputeSha256(AsBytes(content_))),
                        .content = content_};
    EXPECT_TRUE(lab_.vault->PutPoint(*sealed, PutCondition::kAlways).has_value());
    blob_ = lab_.ItemPath("points/" + sealed->id.value + ".nvram");
  }
  std::string Content(const std::string& file) { return lab_.cli.ReadFile(lab_.cli.Path(file)); }

  ProtectedLab lab_;
  std::string content_ = std::string("boot order\0", 11) + std::string(5000, '\xff');
  std::string blob_;
};

TEST_F(FirmwareCliTest, AreShownAndRestoredBesideTheDisks) {
  const auto point = lab_.cli.Json("points show web");
  EXPECT_EQ(point["nvram"]["bytes"], content_.size());
  EXPECT_EQ(point["nvram"]["format"], "raw");
  EXPECT_EQ(lab_.cli.Run("points show web --nvram " + lab_.cli.Path("vars.fd")).exit_code, 0);
  EXPECT_EQ(Content("vars.fd"), content_);
  EXPECT_EQ(lab_.cli.Run("points show web --nvram " + lab_.cli.Path("vars.fd")).exit_code, 4);

  lab_.cli.Json("restore web --to " + lab_.cli.Path("out"));
  EXPECT_EQ(Content("out/firmware-variables.fd"), content_);
  // Of one disk alone they are no part.
  lab_.cli.Json("restore web --disk data --to " + lab_.cli.Path("one"));
  EXPECT_FALSE(std::filesystem::exists(lab_.cli.Path("one/firmware-variables.fd")));
  // A file of that name is not replaced unasked.
  std::filesystem::create_directory(lab_.cli.Path("mine"));
  lab_.cli.WriteFile("mine/firmware-variables.fd", "mine");
  EXPECT_EQ(lab_.cli.Run("restore web --to " + lab_.cli.Path("mine")).exit_code, 4);
  EXPECT_EQ(Content("mine/firmware-variables.fd"), "mine");
  lab_.cli.Json("restore web --force --to " + lab_.cli.Path("mine"));
  EXPECT_EQ(Content("mine/firmware-variables.fd"), content_);
}

TEST_F(FirmwareCliTest, DamageIsFoundByCheckAndVerify) {
  EXPECT_THAT(lab_.DamageOfPoints(), IsEmpty());
  EXPECT_EQ(lab_.cli.Run("vault check").exit_code, 0);
  lab_.cli.WriteFile(std::filesystem::relative(blob_, lab_.cli.Path(".")).string(), "other");
  EXPECT_NE(lab_.cli.Run("vault check").exit_code, 0);
  ASSERT_EQ(lab_.DamageOfPoints().size(), 1u);
  EXPECT_THAT(lab_.DamageOfPoints().front(), HasSubstr(".nvram does not hold"));
  std::filesystem::remove(blob_);
  const auto checked = lab_.cli.Run("vault check");
  EXPECT_NE(checked.exit_code, 0);
  EXPECT_THAT(checked.out, HasSubstr("firmware variables are missing"));
  EXPECT_THAT(lab_.DamageOfPoints().front(), HasSubstr(".nvram is missing"));
}

TEST_F(FirmwareCliTest, GoWithTheirPoint) {
  lab_.Replicate(1);
  lab_.Remove(lab_.points().back());
  EXPECT_FALSE(std::filesystem::exists(blob_));
  EXPECT_EQ(lab_.cli.Run("vault check").exit_code, 0);
}

}  // namespace
}  // namespace asr::testing
