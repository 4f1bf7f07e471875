#include "storage/http/authority_file.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <cerrno>
#include <cstdio>
#include <memory>

#include <fmt/format.h>

namespace asr {
namespace {

Error Unreadable(const std::string& path, int errno_value) {
  Error error =
      ErrnoError(errno_value, fmt::format("cannot read the certificates to trust, in {}", path));
  error.code = ErrorCode::kTlsUntrusted;
  error.action = "name the authority's PEM file: --ca-file FILE";
  return error;
}

}  // namespace

Status CheckAuthorityFile(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "re"),
                                                             std::fclose);
  if (file == nullptr) return Fail(Unreadable(path, errno));
  errno = 0;
  const std::unique_ptr<X509, decltype(&X509_free)> first(
      PEM_read_X509(file.get(), nullptr, nullptr, nullptr), X509_free);
  const int problem = std::ferror(file.get()) != 0 ? errno : 0;
  ::ERR_clear_error();
  if (first != nullptr) return {};
  if (problem != 0) return Fail(Unreadable(path, problem));
  return Fail(MakeError(ErrorKind::kUsage, ErrorCode::kTlsUntrusted,
                        fmt::format("there is no certificate in {}", path))
                  .WithCause("it is a key, or a certificate in DER: --ca-file takes PEM")
                  .WithAction("name the authority's PEM file; from DER: openssl x509 -inform der "
                              "-in FILE -out ca.pem"));
}

}  // namespace asr
