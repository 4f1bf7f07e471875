#include "tests/support/certificate_files.h"

#include <fmt/format.h>

#include <cstdlib>
#include <stdexcept>

#include "storage/base/text.h"

namespace asr::testing {
namespace {

constexpr std::string_view kCommands = R"(
set -e
cd "$0"
new="openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
$new -x509 -days 2 -keyout ca.key -out ca.pem -subj "/CN=authority of a test" \
  -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
$new -keyout server.key -out server.csr -subj /CN=localhost
printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' >server.ext
openssl x509 -req -in server.csr -days 2 -CA ca.pem -CAkey ca.key -CAcreateserial \
  -extfile server.ext -out server.pem
)";

}  // namespace

CertificateFiles MakeCertificateFiles(const std::string& directory) {
  const std::string command =
      fmt::format("bash -c {} {} >/dev/null 2>&1", ShellQuote(kCommands), ShellQuote(directory));
  if (std::system(command.c_str()) != 0) throw std::runtime_error("openssl makes no certificate");
  return {directory + "/ca.pem", directory + "/server.pem", directory + "/server.key"};
}

}  // namespace asr::testing
