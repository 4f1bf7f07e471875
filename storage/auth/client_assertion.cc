#include "storage/auth/client_assertion.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <array>
#include <chrono>
#include <ctime>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "storage/auth/crypto.h"
#include "storage/base/guid.h"

namespace asr {
namespace {

using Memory = std::unique_ptr<BIO, decltype(&BIO_free)>;

Memory ReadFrom(const Secret& pem) {
  return {BIO_new_mem_buf(pem.Reveal().data(), static_cast<int>(pem.Reveal().size())), BIO_free};
}

Error InvalidCertificate(std::string_view why) {
  return MakeError(ErrorKind::kState, ErrorCode::kCredentialInvalid,
                   fmt::format("the client certificate cannot be used: {}", why))
      .WithAction("give a PEM file that holds the certificate and its RSA key");
}

// Without this OpenSSL would ask on the terminal.
int GivePassword(char* buffer, int size, int /*is_writing*/, void* password) {
  const std::string_view text = static_cast<const Secret*>(password)->Reveal();
  if (text.empty() || text.size() > static_cast<std::size_t>(size)) return -1;
  text.copy(buffer, text.size());
  return static_cast<int>(text.size());
}

std::string Signature(EVP_PKEY* key, std::string_view text) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        EVP_MD_CTX_free);
  const auto* const bytes = reinterpret_cast<const unsigned char*>(text.data());
  std::size_t size = 0;
  if (EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key) != 1 ||
      EVP_DigestSign(context.get(), nullptr, &size, bytes, text.size()) != 1) {
    return {};
  }
  std::vector<std::byte> signature(size);
  if (EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size,
                     bytes, text.size()) != 1) {
    return {};
  }
  return Base64UrlEncode(ByteSpan(signature).first(size));
}

}  // namespace

Result<ClientCertificate> ClientCertificate::Parse(const Secret& pem, const Secret& password) {
  const Memory key_text = ReadFrom(pem);
  const std::shared_ptr<EVP_PKEY> key(PEM_read_bio_PrivateKey(key_text.get(), nullptr, GivePassword,
                                                              const_cast<Secret*>(&password)),
                                      EVP_PKEY_free);
  if (key == nullptr)
    return Fail(InvalidCertificate("it has no private key, or the password is wrong"));
  if (EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_RSA)
    return Fail(InvalidCertificate("its key is not RSA"));
  const Memory certificate_text = ReadFrom(pem);
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(
      PEM_read_bio_X509(certificate_text.get(), nullptr, nullptr, nullptr), X509_free);
  if (certificate == nullptr) return Fail(InvalidCertificate("there is no certificate in it"));
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    return Fail(InvalidCertificate("certificate and key do not belong together"));
  }
  std::array<std::byte, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  std::tm end{};
  if (X509_digest(certificate.get(), EVP_sha1(), reinterpret_cast<unsigned char*>(digest.data()),
                  &size) != 1 ||
      ASN1_TIME_to_tm(X509_get0_notAfter(certificate.get()), &end) != 1) {
    return Fail(InvalidCertificate("the certificate is damaged"));
  }
  ClientCertificate parsed;
  parsed.key_ = key;
  parsed.thumbprint_ = Base64UrlEncode(ByteSpan(digest).first(size));
  parsed.certificate_ends_ = Timestamp{std::chrono::seconds{::timegm(&end)}};
  return parsed;
}

Result<Secret> ClientCertificate::Assertion(std::string_view client_id, std::string_view audience,
                                            Timestamp now) const {
  if (certificate_ends_ <= now) {
    return Fail(MakeError(ErrorKind::kState, ErrorCode::kCredentialExpired,
                          fmt::format("the client certificate expired at {}",
                                      FormatTime(certificate_ends_)))
                    .WithAction("make a new one and register it with the application"));
  }
  const auto seconds = std::chrono::floor<std::chrono::seconds>(now).time_since_epoch().count();
  const nlohmann::json header = {{"alg", "RS256"}, {"typ", "JWT"}, {"x5t", thumbprint_}};
  const nlohmann::json claims = {
      {"aud", audience}, {"iss", client_id}, {"sub", client_id},    {"jti", GuidText(RandomBits())},
      {"nbf", seconds},  {"iat", seconds},   {"exp", seconds + 600}};
  std::string text =
      Base64UrlEncode(AsBytes(header.dump())) + "." + Base64UrlEncode(AsBytes(claims.dump()));
  const std::string signature = Signature(static_cast<EVP_PKEY*>(key_.get()), text);
  if (signature.empty()) return Fail(InvalidCertificate("its key does not sign"));
  return Secret(text + "." + signature);
}

}  // namespace asr
