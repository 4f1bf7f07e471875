// A vault over TLS, opened by tokens of Entra ID: Azurite with --oauth basic, and a sign-in of a
// person against an Entra ID on loopback.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/azurite.h"
#include "tests/support/cli_runner.h"
#include "tests/support/fake_entra.h"

namespace asr::testing {
namespace {

using ::testing::HasSubstr;

TEST(AzuriteHttpsTest, AVmLivesThereByATokenAndItIsHandedOut) {
  const TestCertificate certificate;
  FakeEntra entra(certificate);
  const Azurite azurite({.is_https = true, .takes_tokens = true});
  const std::string url = azurite.url() + "/vault";
  CliRunner cli;
  cli.SetUpLab();
  cli.variables["AZURE_AUTHORITY_HOST"] = entra.origin();
  cli.WriteFile("entra.pem", certificate.authority_pem());
  cli.WriteFile("both.pem", certificate.authority_pem() + cli.ReadFile(azurite.authority_file()));
  cli.Json("login --ca-file {dir}/entra.pem");
  // Trusts Entra ID, but not the server of the vault.
  const CommandResult stranger =
      cli.Run("vault create azure --target " + url + " --ca-file {dir}/entra.pem");
  EXPECT_NE(stranger.exit_code, 0);
  EXPECT_THAT(stranger.err, HasSubstr("ASR1502"));
  EXPECT_THAT(stranger.err, HasSubstr("--ca-file"));

  cli.Json("vault create azure --target " + url + " --ca-file {dir}/both.pem");
  // From here on nothing names the authorities: the vault's registration does.
  cli.Json("vault use azure");
  cli.Json("policy set gold");
  cli.Json("enable web --policy gold");
  cli.WriteDisk("root.raw", 1'000'000, std::string(100'000, 'b'));
  EXPECT_EQ(cli.Json("replicate web")["point"]["new"], true);
  cli.Json("restore web --to {dir}/new");
  EXPECT_TRUE(cli.ReadFile(cli.Path("new/root.raw")) == cli.ReadFile(cli.Path("vms/web/root.raw")));
  EXPECT_EQ(cli.Json("vault check")["healthy"], true);

  // In the name of who signed in, for a week at most.
  EXPECT_EQ(cli.Run("credential share --for 8d --show").exit_code, 2);
  const auto shared = cli.Json("credential share --for 1d --output-file {dir}/sas");
  EXPECT_EQ(shared["kind"], "user-delegation");
  CliRunner other;
  other.typed = cli.ReadFile(cli.Path("sas"));
  other.Json("credential add ada --sas-file -");
  other.Json("vault connect azure --credential ada --target " + url + " --ca-file " +
             azurite.authority_file());
  other.Json("restore web --to {dir}/back");
  EXPECT_TRUE(other.ReadFile(other.Path("back/root.raw")) ==
              cli.ReadFile(cli.Path("vms/web/root.raw")));
  EXPECT_EQ(other.Run("policy set other").exit_code, 4);

  // Withdrawn at Entra ID: the next command says what to do.
  entra.RevokeAll();
  const CommandResult ended = cli.Run("items list");
  EXPECT_EQ(ended.exit_code, 4);
  EXPECT_THAT(ended.err, HasSubstr("asr login"));
  cli.Json("login --ca-file {dir}/entra.pem");
  EXPECT_EQ(cli.Json("items list").size(), 1);
}

}  // namespace
}  // namespace asr::testing
