#include "storage/http/curl_error.h"

#include <cstdlib>

#include <fmt/format.h>

#include "storage/http/http_message.h"

namespace asr {
namespace {

Error Unreachable(const std::string& origin, std::string_view why, std::string_view said) {
  return MakeError(ErrorKind::kBusy, ErrorCode::kUnreachable,
                   fmt::format("{}: {} ({})", origin, why, said));
}

Error WithProxyHint(Error error, const std::string& origin) {
  const std::string proxy = ProxyVariable(origin);
  if (!proxy.empty()) error.causes.push_back("the proxy does not work: " + proxy);
  return error;
}

Error NameError(const std::string& origin, std::string_view said) {
  return Unreachable(origin, "its name cannot be looked up", said)
      .WithCause("the name is wrong: a storage account's is ACCOUNT.blob.core.windows.net")
      .WithCause("this machine has no network, or no DNS server that answers")
      .WithAction(
          fmt::format("check the name: getent hosts {}", origin.substr(origin.find("://") + 3)))
      .Retryable();
}

Error ConnectError(const std::string& origin, std::string_view said) {
  return WithProxyHint(
      Unreachable(origin, "the connection was refused or found no way", said)
          .WithCause("no server listens there: host or port is wrong, or it is down")
          .WithCause("a firewall between here and there")
          .WithAction("check that the server can be reached: curl -sv " + origin)
          .Retryable(),
      origin);
}

Error ConnectTimeoutError(const std::string& origin, std::string_view said) {
  return WithProxyHint(Unreachable(origin, "it does not answer", said)
                           .WithCause("a firewall drops what we send")
                           .WithCause("the network is down or very slow")
                           .WithAction("check that the server can be reached: curl -sv " + origin)
                           .Retryable(),
                       origin);
}

Error TlsError(const std::string& origin, std::string_view said) {
  return MakeError(ErrorKind::kIo, ErrorCode::kTlsUntrusted,
                   fmt::format("{}: its certificate is not trusted ({})", origin, said))
      .WithCause("it is signed by an authority of your own, or by a proxy that looks into TLS")
      .WithCause(
          "the certificate has expired, or is for another host; or this machine's clock is "
          "wrong")
      .WithCause("somebody stands between this machine and the server")
      .WithAction("name the authority's PEM file: --ca-file FILE, or SSL_CERT_FILE=FILE");
}

Error CaFileError(const std::string& origin, std::string_view said) {
  return MakeError(ErrorKind::kUsage, ErrorCode::kTlsUntrusted,
                   fmt::format("{}: the trusted certificates cannot be read ({})", origin, said))
      .WithCause("the file of --ca-file or SSL_CERT_FILE does not exist or is no PEM file")
      .WithCause("the system's certificates are not installed")
      .WithAction("correct the file's name, or: apt install ca-certificates");
}

// A handshake that was cut is worth another try; one that both sides understood differently is not.
Error HandshakeError(const std::string& origin, std::string_view said) {
  for (const char* const cut : {"SYSCALL", "reset", "unexpected eof", "Connection"}) {
    if (said.find(cut) == std::string_view::npos) continue;
    return Unreachable(origin, "the connection broke while TLS was set up", said)
        .WithCause("the server, a firewall or a proxy closed it")
        .WithAction("try again; if it stays so: openssl s_client -connect HOST:PORT")
        .Retryable();
  }
  return MakeError(ErrorKind::kIo, ErrorCode::kTlsUntrusted,
                   fmt::format("{}: TLS could not be set up ({})", origin, said))
      .WithCause("the server speaks no TLS there, or none newer than 1.1")
      .WithCause("the server wants a certificate of the client")
      .WithAction("check scheme and port of the URL: http:// or https://");
}

Error ProxyError(const std::string& origin, std::string_view why, std::string_view said) {
  const std::string variable = ProxyVariable(origin);
  return MakeError(ErrorKind::kIo, ErrorCode::kUnreachable,
                   fmt::format("{}: {} ({})", origin, why, said))
      .WithCause(variable.empty() ? "the proxy is wrong" : "the proxy is named by " + variable)
      .WithAction("correct the proxy's variable, or except the server: no_proxy=" +
                  origin.substr(origin.find("://") + 3));
}

Error ProxyRefusal(long status, const std::string& origin, std::string_view said) {
  if (status == 407) return ProxyError(origin, "the proxy wants a user and a password", said);
  Error error =
      ProxyError(origin, fmt::format("the proxy does not connect us, status {}", status), said);
  error.retryable = status >= 500;
  return error;
}

Error BrokenError(const std::string& origin, std::string_view said) {
  return Unreachable(origin, "the connection broke", said)
      .WithCause("the network failed, or the server was restarted")
      .WithCause("a firewall or proxy closed it")
      .WithAction("try again: what was sent already is not sent twice")
      .Retryable();
}

}  // namespace

Error CurlError(CURLcode code, long proxy_status, const std::string& origin,
                std::string_view said) {
  if (proxy_status >= 300) return ProxyRefusal(proxy_status, origin, said);
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
      return NameError(origin, said);
    case CURLE_COULDNT_RESOLVE_PROXY: {
      Error error = ProxyError(origin, "the proxy's name cannot be looked up", said);
      error.retryable = true;
      return error;
    }
    case CURLE_COULDNT_CONNECT:
      return ConnectError(origin, said);
    case CURLE_OPERATION_TIMEDOUT:
      return ConnectTimeoutError(origin, said);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
      return TlsError(origin, said);
    case CURLE_SSL_CACERT_BADFILE:
      return CaFileError(origin, said);
    case CURLE_SSL_CONNECT_ERROR:
      return HandshakeError(origin, said);
    case CURLE_PROXY:
      return ProxyError(origin, "the proxy does not connect us", said);
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
      return BadReplyError(origin, said);
    case CURLE_URL_MALFORMAT:
      return MakeError(ErrorKind::kUsage, ErrorCode::kUsage,
                       fmt::format("not a URL that can be reached: {}", origin))
          .WithAction("give it as https://HOST/PATH");
    case CURLE_OUT_OF_MEMORY:
      return MakeError(ErrorKind::kBusy, ErrorCode::kIo, "there is no memory for a connection")
          .Retryable();
    default:
      return BrokenError(origin, said);
  }
}

Error StalledError(const std::string& origin, double seconds) {
  return MakeError(ErrorKind::kBusy, ErrorCode::kUnreachable,
                   fmt::format("{}: nothing moved for {:.0f} seconds", origin, seconds))
      .WithCause("the network was lost, or is so slow that it takes nothing")
      .WithCause("the server hangs")
      .WithAction("try again: what was sent already is not sent twice")
      .Retryable();
}

Error BadReplyError(const std::string& origin, std::string_view why) {
  return MakeError(ErrorKind::kIo, ErrorCode::kBadReply,
                   fmt::format("{}: a reply that makes no sense: {}", origin, why))
      .WithCause("it is not the server that was meant: host, port or scheme is wrong")
      .WithCause("a proxy answered in its place")
      .WithAction("look at what answers there: curl -sv " + origin);
}

std::string ProxyVariable(std::string_view origin) {
  const bool is_https = origin.starts_with("https:");
  for (const char* const name :
       {is_https ? "https_proxy" : "http_proxy", is_https ? "HTTPS_PROXY" : "http_proxy",
        "all_proxy", "ALL_PROXY"}) {
    const char* const value = std::getenv(name);
    if (value == nullptr || *value == '\0') continue;
    const std::string proxy = OriginOf(std::string_view(value).find("://") == std::string_view::npos
                                           ? std::string("http://").append(value)
                                           : std::string(value));
    return fmt::format("{} ({})", name, proxy);
  }
  return {};
}

}  // namespace asr
