// Azurite, Microsoft's emulator of Azure Storage, on a free port of the loopback interface: the
// version that cmake/install-deps.sh has put into build/azure-tools, and no other.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "storage/base/child_process.h"
#include "tests/support/certificate_files.h"
#include "tests/support/temp_dir.h"

namespace asr::testing {

inline constexpr char kAzuriteVersion[] = "3.37.0";
inline constexpr char kAzuriteAccount[] = "devstoreaccount1";
inline constexpr char kAzuriteKey[] =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/"
    "K1SZFPTOtr/KBHBeksoGMGw==";

struct AzuriteOptions {
  bool is_https = false;      // by a certificate of its own authority
  bool takes_tokens = false;  // bearer tokens, their signatures not checked; https only
  std::vector<std::string> more_words = {};  // of its command line
};

// Where programs of build/azure-tools lie: "node", "azcopy", and modules for Node.js.
[[nodiscard]] std::string AzureToolsDirectory();
[[nodiscard]] std::string NodeProgram();
[[nodiscard]] std::string AzcopyProgram();

class Azurite {
 public:
  // Answers when this returns. Throws if it does not, or if it is another version.
  explicit Azurite(const AzuriteOptions& options = {});

  // "http://127.0.0.1:PORT/devstoreaccount1"
  [[nodiscard]] std::string url() const;
  [[nodiscard]] std::string ConnectionString() const;
  // PEM; of https only.
  [[nodiscard]] const std::string& authority_file() const { return certificate_.authority_file; }
  [[nodiscard]] int pid() const { return process_->pid(); }
  // What it holds is saved before it ends, as after SIGTERM.
  void Stop();

 private:
  void Start(const AzuriteOptions& options);
  [[nodiscard]] bool Answers() const;

  TempDir directory_;
  bool is_https_;
  std::uint16_t port_ = 0;
  CertificateFiles certificate_;
  std::unique_ptr<ChildProcess> process_;
};

}  // namespace asr::testing
