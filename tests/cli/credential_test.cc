// asr credential: what is kept where, what is refused, and that no secret gets anywhere else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <thread>

#include "core/state/state_database.h"
#include "tests/support/cli_runner.h"
#include "tests/support/on_terminal.h"

namespace asr::testing {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Words = std::vector<std::string>;

constexpr const char* kKey = "c2VjcmV0LWtleS1vZi1jb250b3Nv";
constexpr const char* kSignature = "c2lnbmF0dXJlLW9mLWNvbnRvc28";

std::string Sas(const std::string& end) {
  return "?sv=2023-11-03&se=" + end + "&sr=c&sp=rl&sig=" + kSignature;
}

class CredentialTest : public ::testing::Test {
 protected:
  // A file of mode 0600.
  void WriteSecret(const std::string& name, const std::string& text) {
    cli.WriteFile(name, text);
    ASSERT_EQ(::chmod(cli.Path(name).c_str(), 0600), 0);
  }
  CommandResult Run(const std::string& line) {
    const CommandResult result = cli.Run(line);
    said += result.out + result.err;
    return result;
  }
  unsigned ModeOf(const std::string& name) {
    struct stat status {};
    EXPECT_EQ(::stat(cli.Path(name).c_str(), &status), 0) << name;
    return status.st_mode & 07777;
  }
  void ExpectUsage(const std::string& line, const std::string& message) {
    const CommandResult result = Run(line);
    EXPECT_EQ(result.exit_code, 2) << line;
    EXPECT_THAT(result.err, HasSubstr(message)) << line;
  }

  CliRunner cli;
  std::string said;  // all that was printed
};

TEST_F(CredentialTest, IsKeptInAFileOfItsOwnersAlone) {
  WriteSecret("key", std::string(kKey) + "\n");
  const auto added = cli.Json("credential add backup --account contoso --key-file {dir}/key");
  EXPECT_EQ(
      added.dump(),
      R"({"name":"backup","kind":"account-key","account":"contoso","user":null,"expiresAt":null})");
  EXPECT_EQ(ModeOf("state/credentials"), 0700U);
  EXPECT_EQ(ModeOf("state/credentials/backup.json"), 0600U);
  EXPECT_THAT(cli.ReadFile(cli.Path("state/credentials/backup.json")), HasSubstr(kKey));
  EXPECT_EQ(cli.Json("credential list"), nlohmann::ordered_json::array({added}));
  EXPECT_EQ(cli.Run("credentials list -o tsv").out, "backup\taccount-key\tcontoso\t\t\n");
}

TEST_F(CredentialTest, AgainIsFineAndAnotherNeedsReplace) {
  WriteSecret("key", kKey);
  WriteSecret("other", "b3RoZXI=");
  const std::string add = "credential add backup --account contoso --key-file {dir}/";
  EXPECT_EQ(Run(add + "key").exit_code, 0);
  const auto before = cli.Tree("state/credentials");
  EXPECT_EQ(Run(add + "key").exit_code, 0);
  EXPECT_EQ(Run(add + "key --replace").exit_code, 0);
  const CommandResult refused = Run(add + "other");
  EXPECT_EQ(refused.exit_code, 4);
  EXPECT_THAT(refused.err, HasSubstr("--replace"));
  EXPECT_EQ(Run("credential add backup --azure-cli").exit_code, 4);
  EXPECT_EQ(Run(add + "other --replace --dry-run").exit_code, 0);
  EXPECT_EQ(cli.Tree("state/credentials"), before);
  EXPECT_EQ(Run(add + "other --replace").exit_code, 0);
  EXPECT_NE(cli.Tree("state/credentials"), before);
}

TEST_F(CredentialTest, EveryKindCanBeKept) {
  WriteSecret("string", std::string("AccountName=contoso;AccountKey=") + kKey);
  WriteSecret("sas", Sas("2199-12-25"));
  WriteSecret("secret", "hush~hush");
  WriteSecret("pem", "-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n");
  const auto kind_of = [&](const std::string& options) -> std::string {
    return cli.Json("credential add x --replace " + options)["kind"];
  };
  EXPECT_EQ(kind_of("--connection-string-file {dir}/string"), "connection-string");
  EXPECT_EQ(kind_of("--sas-file {dir}/sas"), "sas");
  const auto sas = cli.Json("credential add x --sas-file {dir}/sas --account contoso --replace");
  EXPECT_EQ(sas["account"], "contoso");
  EXPECT_EQ(sas["expiresAt"], "2199-12-25T00:00:00.000Z");
  EXPECT_EQ(kind_of("--tenant t --client-id c --client-secret-file {dir}/secret"), "client-secret");
  EXPECT_EQ(kind_of("--tenant t --client-id c --certificate-file {dir}/pem"), "client-certificate");
  EXPECT_THAT(cli.ReadFile(cli.Path("state/credentials/x.json")), HasSubstr(cli.Path("pem")));
  EXPECT_EQ(kind_of("--managed-identity"), "managed-identity");
  EXPECT_EQ(kind_of("--managed-identity --client-id c"), "managed-identity");
  EXPECT_EQ(kind_of("--azure-cli"), "azure-cli");
  EXPECT_EQ(kind_of("--azure-cli --tenant t"), "azure-cli");
}

TEST_F(CredentialTest, ItIsOfExactlyOneKind) {
  WriteSecret("key", kKey);
  ExpectUsage("credential add x", "what kind");
  ExpectUsage("credential add x --account contoso", "what kind");
  ExpectUsage("credential add x --azure-cli --managed-identity", "two credentials");
  ExpectUsage("credential add x --account contoso --key-file {dir}/key --sas-file {dir}/key",
              "two credentials");
  ExpectUsage("credential add x --key-file {dir}/key", "--key-file needs --account");
  ExpectUsage("credential add x --client-secret-file {dir}/key --client-id c", "needs --tenant");
  ExpectUsage("credential add x --certificate-file {dir}/key --tenant t", "needs --client-id");
  ExpectUsage("credential add x --certificate-file - --tenant t --client-id c", "PEM");
  ExpectUsage("credential add x --azure-cli --client-id c", "no meaning");
  ExpectUsage("credential add x --managed-identity --tenant t", "no meaning");
  ExpectUsage("credential add x --connection-string-file {dir}/key --account c", "no meaning");
  ExpectUsage("credential add x --account Contoso --key-file {dir}/key", "storage account");
  ExpectUsage("credential add x --azure-cli --tenant a/b", "tenant");
  EXPECT_THAT(cli.Tree("state"), IsEmpty());  // nothing was opened
}

TEST_F(CredentialTest, NamesThatCouldBePathsAreRefused) {
  for (const char* name : {"../x", "a/b", "/x", ".x", "..", "a\\b"}) {
    ExpectUsage(std::string("credential add --azure-cli ") + name, "cannot be a name");
    ExpectUsage(std::string("credential remove -y ") + name, "cannot be a name");
  }
  EXPECT_THAT(cli.Tree("state"), IsEmpty());
}

TEST_F(CredentialTest, AFileThatOthersMayReadIsRefused) {
  cli.WriteFile("key", kKey);
  ASSERT_EQ(::chmod(cli.Path("key").c_str(), 0640), 0);
  const CommandResult open_file = Run("credential add x --account contoso --key-file {dir}/key");
  EXPECT_EQ(open_file.exit_code, 4);
  EXPECT_THAT(open_file.err, HasSubstr("chmod 600"));
  WriteSecret("key", kKey);
  EXPECT_EQ(Run("credential add x --account contoso --key-file {dir}/key").exit_code, 0);
  ASSERT_EQ(::chmod(cli.Path("state/credentials/x.json").c_str(), 0644), 0);
  const CommandResult list = Run("credential list");
  EXPECT_EQ(list.exit_code, 0);
  EXPECT_THAT(list.err, HasSubstr("can be read by others"));
  EXPECT_THAT(said, Not(HasSubstr(kKey)));
}

TEST_F(CredentialTest, StdinGivesTheSecret) {
  cli.typed = std::string(kKey) + "\r\n";
  EXPECT_EQ(Run("credential add a --account contoso --key-file -").exit_code, 0);
  WriteSecret("key", kKey);
  EXPECT_EQ(Run("credential add a --account contoso --key-file {dir}/key").exit_code, 0);
  cli.typed = "";
  ExpectUsage("credential add b --account contoso --key-file -", "its secret is empty");
  cli.typed = std::string(70'000, 'A');
  ExpectUsage("credential add b --account contoso --key-file -", "too large");
}

// As `--key-file <(command)` of a shell: the command takes its time.
TEST_F(CredentialTest, APipeIsReadToItsEnd) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  std::jthread command([&] {
    const std::string key = kKey;
    for (const std::string& part : {key.substr(0, 5), key.substr(5) + "\n"}) {
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
      EXPECT_EQ(::write(ends[1], part.data(), part.size()), static_cast<ssize_t>(part.size()));
    }
    ::close(ends[1]);
  });
  const CommandResult added =
      Run("credential add piped --account contoso --key-file /dev/fd/" + std::to_string(ends[0]));
  command.join();
  ::close(ends[0]);
  EXPECT_EQ(added.exit_code, 0) << added.err;
  EXPECT_THAT(cli.ReadFile(cli.Path("state/credentials/piped.json")), HasSubstr(kKey));
  // A named one, whose writer comes later.
  ASSERT_EQ(::mkfifo(cli.Path("fifo").c_str(), 0600), 0);
  std::jthread writer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    cli.WriteFile("fifo", kKey);
  });
  EXPECT_EQ(Run("credential add named --account contoso --key-file {dir}/fifo").exit_code, 0);
  ExpectUsage("credential add c --tenant t --client-id c --certificate-file /dev/fd/9", "pipes");
}

TEST_F(CredentialTest, RemovalAsks) {
  cli.Json("credential add x --azure-cli");
  ExpectUsage("credential remove x", "--yes");
  cli.terminal.in_is_terminal = true;
  cli.typed = "n\n";
  EXPECT_EQ(Run("credential remove x").exit_code, 130);
  EXPECT_EQ(Run("credential remove x --dry-run").exit_code, 0);
  EXPECT_EQ(cli.Json("credential list").size(), 1U);
  cli.typed = "y\n";
  EXPECT_EQ(Run("credential remove x").exit_code, 0);
  EXPECT_EQ(cli.Run("credential list -o json").out, "[]\n");
  EXPECT_EQ(Run("credential remove x -y").exit_code, 3);
}

TEST_F(CredentialTest, RemovalNamesTheVaultsThatNeedIt) {
  cli.Json("credential add x --azure-cli");
  cli.Json("credential add y --azure-cli");
  cli.Json("vault create main --target {dir}/vault");
  {
    auto database = StateDatabase::Open(PosixFileSystem(), SystemClock(), cli.Path("state"));
    ASSERT_TRUE(database);
    ASSERT_TRUE((*database)->AddVault({.name = "far",
                                       .target = "https://contoso.blob.core.windows.net/vault",
                                       .id = "0123",
                                       .is_default = false,
                                       .credential = "x"}));
  }
  EXPECT_THAT(Run("credential remove x --dry-run").out, HasSubstr("is opened with it: far"));
  EXPECT_THAT(Run("credential remove y --dry-run").out, Not(HasSubstr("opened")));
  cli.terminal.in_is_terminal = true;
  cli.typed = "n\n";
  EXPECT_THAT(Run("credential remove x").err, HasSubstr("a vault is opened with it: far"));
}

TEST_F(CredentialTest, DryRunKeepsNothingButLooks) {
  WriteSecret("key", "no key!");
  const std::string add = "credential add x --account contoso --key-file {dir}/key --dry-run";
  ExpectUsage(add, "Base64");
  WriteSecret("key", kKey);
  EXPECT_THAT(cli.Run(add + " -o json").out, HasSubstr("Keep credential x, of kind account-key"));
  EXPECT_THAT(cli.Tree("state"), IsEmpty());
}

TEST_F(CredentialTest, ASecretInPlaceOfAFileIsNotPrinted) {
  for (const std::string& line :
       {"credential add x --account contoso --key-file " + std::string(kKey) + "==",
        "credential add x --sas-file " + Sas("2199-12-25"),
        std::string("credential add x --connection-string-file AccountKey=") + kKey,
        "credential add x --tenant t --client-id c --client-secret-file " + std::string(40, 'h')}) {
    for (const char* format : {"", " -o json"}) {
      const CommandResult result = Run(line + format);
      EXPECT_EQ(result.exit_code, 3) << line;
      EXPECT_THAT(result.err, HasSubstr("not shown"));
    }
  }
  EXPECT_THAT(said, Not(AnyOf(HasSubstr(kKey), HasSubstr(kSignature), HasSubstr("hhhh"))));
  // A file's name that was mistyped is.
  EXPECT_THAT(Run("credential add x --sas-file sas.txt").err, HasSubstr("sas.txt"));
}

// In every way they are used, and with jobs beside.
TEST_F(CredentialTest, SecretsAreNowhereElse) {
  cli.SetUpLab();
  WriteSecret("key", kKey);
  WriteSecret("sas", Sas("2199-12-25"));
  WriteSecret("broken", std::string("AccountName=contoso;AccountKey=") + kKey + "!");
  WriteSecret("late", Sas("2020-12-25"));
  const Words formats = {"table", "json", "yaml", "tsv"};
  for (const std::string& format : formats) {
    const std::string ending = " --debug -o " + format;
    EXPECT_EQ(Run("credential add key --account contoso --key-file {dir}/key" + ending).exit_code,
              0);
    EXPECT_EQ(Run("credential add sas --sas-file {dir}/sas" + ending).exit_code, 0);
    EXPECT_EQ(Run("credential add key --sas-file {dir}/sas" + ending).exit_code, 4);
    EXPECT_EQ(Run("credential add x --connection-string-file {dir}/broken" + ending).exit_code, 2);
    EXPECT_EQ(Run("credential add x --account contoso --key-file {dir}/sas" + ending).exit_code, 2);
    EXPECT_EQ(Run("credential add x --sas-file {dir}/key" + ending).exit_code, 2);
    EXPECT_EQ(Run("credential add x --sas-file {dir}/late" + ending).exit_code, 4);
    EXPECT_EQ(Run("credential list" + ending).exit_code, 0);
  }
  EXPECT_EQ(Run("enable web --policy gold --credential key --debug").exit_code, 0);
  EXPECT_EQ(Run("jobs list -o json").exit_code, 0);
  std::size_t kept = 0;
  for (const char* top : {"state", "vault"}) {
    for (const auto& [path, content] : cli.Tree(top)) {
      const bool has_one =
          content.find(kKey) != std::string::npos || content.find(kSignature) != std::string::npos;
      if (!has_one) continue;
      ++kept;
      EXPECT_THAT(path,
                  AnyOf(HasSubstr("/credentials/key.json"), HasSubstr("/credentials/sas.json")));
    }
  }
  EXPECT_EQ(kept, 2U);
  EXPECT_THAT(said, Not(AnyOf(HasSubstr(kKey), HasSubstr(kSignature))));
}

TEST_F(CredentialTest, NamesAreCompleted) {
  const auto complete = [&](Words words) {
    words.insert(words.begin(), {"__complete", "--"});
    return cli.RunWords(words).out;
  };
  EXPECT_EQ(complete({"credential", "remove", ""}), "");
  EXPECT_THAT(cli.Tree("state"), IsEmpty());
  WriteSecret("key", kKey);
  cli.Json("credential add backup --account contoso --key-file {dir}/key");
  cli.Json("credential add me --azure-cli");
  EXPECT_EQ(complete({"credential", "remove", ""}), "backup\taccount-key\nme\tazure-cli\n");
  EXPECT_EQ(complete({"vault", "list", "--credential", "b"}), "backup\taccount-key\n");
  EXPECT_EQ(complete({"--credential=m"}), "--credential=me\tazure-cli\n");
  EXPECT_EQ(complete({"credential", "add", ""}), "");
  EXPECT_EQ(complete({"credential", "add", "x", "--key-file", ""}), ":files\n");
}

TEST_F(CredentialTest, ATerminalDoesNotShowWhatIsTyped) {
  OnTerminal asr({"--state-dir", cli.Path("state"), "credential", "add", "x", "--account",
                  "contoso", "--key-file", "-"});
  ASSERT_TRUE(asr.WaitFor("Key of the account: "));
  ASSERT_TRUE(asr.WaitForSilence());
  asr.Type(std::string(kKey) + "\n");
  EXPECT_EQ(asr.Wait(), 0) << asr.shown();
  EXPECT_THAT(asr.shown(), Not(HasSubstr(std::string(kKey).substr(0, 6))));
  EXPECT_THAT(cli.ReadFile(cli.Path("state/credentials/x.json")), HasSubstr(kKey));
}

TEST_F(CredentialTest, AnInterruptBringsTheEchoBack) {
  OnTerminal asr({"--state-dir", cli.Path("state"), "credential", "add", "x", "--sas-file", "-"});
  ASSERT_TRUE(asr.WaitFor("Shared access signature: "));
  ASSERT_TRUE(asr.WaitForSilence());
  asr.Type("\x03");
  ASSERT_TRUE(asr.WaitFor("interrupted")) << asr.shown();
  EXPECT_TRUE(asr.echoes());
  EXPECT_EQ(asr.Wait(), 130);
  EXPECT_THAT(cli.Tree("state"), IsEmpty());
}

}  // namespace
}  // namespace asr::testing
