// The transport against real sockets.
#include "storage/http/curl_transport.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <chrono>
#include <cstdlib>
#include <thread>

#include "storage/fs/file_system.h"
#include "tests/support/raw_http_server.h"
#include "tests/support/temp_dir.h"

namespace asr {
namespace {

using ::testing::HasSubstr;
using testing::PlainReply;
using testing::RawHttpServer;
using testing::ReceivedRequest;
using testing::ServerConnection;
using testing::TempDir;
using testing::TestCertificate;

class ScopedVariable {
 public:
  ScopedVariable(const char* name, const std::string& value) : name_(name) {
    ::setenv(name, value.c_str(), 1);
  }
  ~ScopedVariable() { ::unsetenv(name_); }
  ScopedVariable(const ScopedVariable&) = delete;
  ScopedVariable& operator=(const ScopedVariable&) = delete;

 private:
  const char* name_;
};

RawHttpServer::Handler Always(std::string reply) {
  return [reply](const ReceivedRequest&, ServerConnection& to) { return to.Write(reply); };
}

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

class CurlTransportTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY",
                             "no_proxy", "NO_PROXY", "SSL_CERT_FILE"}) {
      ::unsetenv(name);
    }
    transport_ = Make({});
  }
  static std::unique_ptr<CurlTransport> Make(CurlOptions options) {
    auto transport = CurlTransport::Create(std::move(options));
    EXPECT_TRUE(transport);
    return *std::move(transport);
  }
  Result<HttpResponse> Get(const std::string& url) {
    request_.url = url;
    return transport_->Send(request_, stop_.get_token());
  }
  Result<HttpResponse> Put(const std::string& url, std::string_view body) {
    request_.method = HttpMethod::kPut;
    request_.body = AsBytes(body);
    return Get(url);
  }

  std::unique_ptr<CurlTransport> transport_;
  HttpRequest request_;
  std::stop_source stop_;
};

TEST_F(CurlTransportTest, SendsAndReceives) {
  const RawHttpServer server(Always(PlainReply(201, "made", "X-Ms-Thing:  a b \r\n")));
  request_.headers.Set("X-Ms-Version", "2023-11-03");
  request_.headers.Set("x-ms-empty", "");
  const auto reply = Put(server.origin() + "/c/b%20b?comp=page", "hello");
  ASSERT_TRUE(reply) << reply.error().Line();
  EXPECT_EQ(reply->status, 201);
  EXPECT_EQ(reply->body, "made");
  EXPECT_EQ(reply->body_bytes, 4U);
  EXPECT_EQ(reply->headers.Get("x-ms-thing"), "a b");
  const auto request = server.requests().at(0);
  EXPECT_EQ(request.method, "PUT");
  EXPECT_EQ(request.target, "/c/b%20b?comp=page");
  EXPECT_EQ(request.body, "hello");
  EXPECT_EQ(request.headers.Get("content-length"), "5");
  EXPECT_EQ(request.headers.Get("x-ms-version"), "2023-11-03");
  EXPECT_TRUE(request.headers.Has("x-ms-empty"));
  EXPECT_FALSE(request.headers.Has("expect"));
  EXPECT_FALSE(request.headers.Has("transfer-encoding"));
}

TEST_F(CurlTransportTest, EveryMethodAsItIsCalled) {
  const RawHttpServer server(Always(PlainReply(200, "")));
  for (const HttpMethod method : {HttpMethod::kGet, HttpMethod::kPut, HttpMethod::kPost,
                                  HttpMethod::kPatch, HttpMethod::kDelete}) {
    request_.method = method;
    ASSERT_TRUE(Get(server.origin() + "/"));
    EXPECT_EQ(server.requests().back().method, MethodName(method));
  }
  EXPECT_EQ(server.requests().at(1).headers.Get("content-length"), "0");
}

TEST_F(CurlTransportTest, LargeBodiesBothWays) {
  const std::string large(4 * kMiB + 7, 'x');
  const RawHttpServer server([&](const ReceivedRequest& request, ServerConnection& to) {
    return to.Write(PlainReply(200, request.body));
  });
  std::string room(large.size(), ' ');
  request_.into = std::as_writable_bytes(std::span(room));
  const auto reply = Put(server.origin() + "/", large);
  ASSERT_TRUE(reply) << reply.error().Line();
  EXPECT_EQ(reply->body_bytes, large.size());
  EXPECT_TRUE(reply->body.empty());
  EXPECT_TRUE(room == large);
}

TEST_F(CurlTransportTest, RefusalsGoNotIntoTheBuffer) {
  const RawHttpServer server(Always(PlainReply(404, "<Error/>")));
  std::string room = "untouched";
  request_.into = std::as_writable_bytes(std::span(room));
  const auto reply = Get(server.origin());
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->body, "<Error/>");
  EXPECT_EQ(room, "untouched");
}

TEST_F(CurlTransportTest, MoreThanTheBufferTakesIsAnError) {
  const RawHttpServer server(Always(PlainReply(200, "too long")));
  std::string room(3, ' ');
  request_.into = std::as_writable_bytes(std::span(room));
  EXPECT_EQ(Get(server.origin()).error().code, ErrorCode::kBadReply);
  request_.into = {};
  request_.reply_limit_bytes = 7;
  EXPECT_EQ(Get(server.origin()).error().code, ErrorCode::kBadReply);
}

TEST_F(CurlTransportTest, OneConnectionForManyRequests) {
  const RawHttpServer server(Always(PlainReply(200, "x")));
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(Get(server.origin()));
  EXPECT_EQ(server.connections(), 1);
}

TEST_F(CurlTransportTest, ProgramsThatWeStartInheritNoConnection) {
  const RawHttpServer server(Always(PlainReply(200, "x")));
  ASSERT_TRUE(Get(server.origin()));
  int connections = 0;
  for (int descriptor = 0; descriptor < 256; ++descriptor) {
    sockaddr_in peer{};
    socklen_t size = sizeof(peer);
    if (::getpeername(descriptor, reinterpret_cast<sockaddr*>(&peer), &size) != 0) continue;
    if (peer.sin_family != AF_INET || ntohs(peer.sin_port) != server.port()) continue;
    ++connections;
    EXPECT_NE(::fcntl(descriptor, F_GETFD) & FD_CLOEXEC, 0);
  }
  EXPECT_EQ(connections, 1);
}

TEST_F(CurlTransportTest, ServicesOfThisMachineAreAskedPastProxies) {
  const RawHttpServer server(Always(PlainReply(200, "direct")));
  const ScopedVariable variable("http_proxy", "http://127.0.0.1:1");
  EXPECT_FALSE(Get(server.origin()));
  request_.goes_past_proxies = true;
  EXPECT_EQ(Get(server.origin())->body, "direct");
}

TEST_F(CurlTransportTest, AsManyConnectionsAsThreads) {
  const RawHttpServer server([](const ReceivedRequest&, ServerConnection& to) {
    to.Pause(0.02);
    return to.Write(PlainReply(200, "x"));
  });
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      HttpRequest request;
      request.url = server.origin();
      for (int j = 0; j < 10; ++j) EXPECT_TRUE(transport_->Send(request, {}));
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_LE(server.connections(), 4);
  EXPECT_EQ(server.requests().size(), 40U);
}

TEST_F(CurlTransportTest, AConnectionClosedWhileIdleCostsNothing) {
  const RawHttpServer server([](const ReceivedRequest&, ServerConnection& to) {
    to.Write(PlainReply(200, "x"));
    return false;  // closed, though nothing announced it
  });
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(Get(server.origin()));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_EQ(server.connections(), 5);
}

TEST_F(CurlTransportTest, AKeptConnectionThatClosesUnderARequestCostsNothing) {
  // The second request on a connection is read, and then the connection is cut.
  std::atomic<int> on_connection = 0;
  const RawHttpServer server([&](const ReceivedRequest& request, ServerConnection& to) {
    if (on_connection.exchange(request.connection + 1) == request.connection + 1) {
      to.Reset();
      return false;
    }
    return to.Write(PlainReply(200, request.body));
  });
  const std::string body(300 * kKiB, 'y');
  for (int i = 0; i < 4; ++i) {
    const auto reply = Put(server.origin() + "/", body);
    ASSERT_TRUE(reply) << reply.error().Line();
    EXPECT_TRUE(reply->body == body);
  }
  EXPECT_EQ(server.connections(), 4);
}

TEST_F(CurlTransportTest, AKeptConnectionThatIsCutUnderABodyCostsNothing) {
  RawHttpServer server([](const ReceivedRequest& request, ServerConnection& to) {
    return to.Write(PlainReply(200, std::to_string(request.body.size())));
  });
  server.CutSecondRequests();
  const std::string body(4 * kMiB, 'y');
  // Often, for it depends on the moment whether sending or receiving notices first.
  for (int i = 0; i < 60; ++i) {
    const auto reply = Put(server.origin() + "/", body);
    ASSERT_TRUE(reply) << reply.error().Line();
    EXPECT_EQ(reply->body, std::to_string(body.size()));
  }
  EXPECT_EQ(server.connections(), 60);
}

TEST_F(CurlTransportTest, ANewConnectionThatClosesIsAnError) {
  const RawHttpServer server([](const ReceivedRequest&, ServerConnection&) { return false; });
  const auto reply = Get(server.origin());
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, ErrorCode::kUnreachable);
  EXPECT_TRUE(reply.error().retryable);
  EXPECT_EQ(server.connections(), 1);
}

TEST_F(CurlTransportTest, ACutReplyIsAnError) {
  const RawHttpServer server([](const ReceivedRequest&, ServerConnection& to) {
    to.Write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
    return false;
  });
  for (int i = 0; i < 2; ++i) {
    const auto reply = Get(server.origin());
    ASSERT_FALSE(reply);
    EXPECT_EQ(reply.error().code, ErrorCode::kUnreachable);
    EXPECT_TRUE(reply.error().retryable);
  }
}

TEST_F(CurlTransportTest, AStalledReplyEnds) {
  const RawHttpServer server([](const ReceivedRequest&, ServerConnection& to) {
    to.Write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
    to.Pause(30);
    return false;
  });
  request_.stall_timeout_seconds = 1;
  const auto start = std::chrono::steady_clock::now();
  const auto reply = Get(server.origin());
  EXPECT_LT(SecondsSince(start), 5);
  ASSERT_FALSE(reply);
  EXPECT_THAT(reply.error().message, HasSubstr("nothing moved for 1 seconds"));
  EXPECT_TRUE(reply.error().retryable);
}

TEST_F(CurlTransportTest, ASlowReplyIsWaitedForAsLongAsItMoves) {
  const RawHttpServer server([](const ReceivedRequest&, ServerConnection& to) {
    to.Write("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n");
    for (int i = 0; i < 8; ++i) {
      to.Pause(0.3);
      to.Write("x");
    }
    return true;
  });
  request_.stall_timeout_seconds = 1.5;
  const auto start = std::chrono::steady_clock::now();
  const auto reply = Get(server.origin());
  ASSERT_TRUE(reply) << reply.error().Line();
  EXPECT_GT(SecondsSince(start), 1.5);
  EXPECT_EQ(reply->body, "xxxxxxxx");
}

TEST_F(CurlTransportTest, StopsInTheMiddleOfATransferAtOnce) {
  const RawHttpServer server([&](const ReceivedRequest&, ServerConnection& to) {
    to.Write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
    to.Pause(30);
    return false;
  });
  std::thread stopper([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    stop_.request_stop();
  });
  const auto start = std::chrono::steady_clock::now();
  const auto reply = Get(server.origin());
  EXPECT_LT(SecondsSince(start), 0.8);
  stopper.join();
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, ErrorCode::kCancelled);
}

TEST_F(CurlTransportTest, ChunkedRepliesAndEmptyOnes) {
  const RawHttpServer server([](const ReceivedRequest& request, ServerConnection& to) {
    if (request.method == "HEAD") {
      return to.Write("HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n");
    }
    if (request.method == "DELETE") return to.Write("HTTP/1.1 204 No Content\r\n\r\n");
    return to.Write(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n");
  });
  EXPECT_EQ(Get(server.origin())->body, "abcdefg");
  request_.method = HttpMethod::kHead;
  const auto head = Get(server.origin());
  ASSERT_TRUE(head) << head.error().Line();
  EXPECT_EQ(head->headers.Get("content-length"), "12345");
  EXPECT_EQ(head->body_bytes, 0U);
  request_.method = HttpMethod::kDelete;
  EXPECT_EQ(Get(server.origin())->status, 204);
  EXPECT_EQ(server.connections(), 1);
}

TEST_F(CurlTransportTest, RedirectionsAreNotFollowed) {
  const RawHttpServer server(Always(PlainReply(302, "", "Location: http://127.0.0.1:1/\r\n")));
  EXPECT_EQ(Get(server.origin())->status, 302);
}

TEST_F(CurlTransportTest, HugeHeadersAreRefused) {
  std::string headers;
  for (int i = 0; i < 40; ++i) headers += "X-Filler: " + std::string(9000, 'x') + "\r\n";
  const RawHttpServer server(Always(PlainReply(200, "", headers)));
  const auto reply = Get(server.origin());
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, ErrorCode::kBadReply);
  EXPECT_FALSE(reply.error().retryable);
}

TEST_F(CurlTransportTest, WhatIsNoHttpIsABadReply) {
  const RawHttpServer server([](const ReceivedRequest&, ServerConnection& to) {
    to.Write("SSH-2.0-OpenSSH_9.2\r\n\r\n");
    return false;
  });
  EXPECT_EQ(Get(server.origin()).error().code, ErrorCode::kBadReply);
}

TEST_F(CurlTransportTest, RefusedAndUnknownHostsAreToldApart) {
  std::string origin;
  { origin = RawHttpServer(Always("")).origin(); }
  const auto refused = Get(origin);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnreachable);
  EXPECT_THAT(refused.error().message, HasSubstr("refused"));
  const auto unknown = Get("http://no-such-host.invalid/");
  EXPECT_EQ(unknown.error().code, ErrorCode::kUnreachable);
  EXPECT_THAT(unknown.error().message, HasSubstr("looked up"));
  EXPECT_TRUE(unknown.error().retryable);
  EXPECT_EQ(Get("ftp://127.0.0.1/").error().code, ErrorCode::kBadReply);
}

class CurlTlsTest : public CurlTransportTest {
 protected:
  void Write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(WriteFileAtomic(PosixFileSystem(), directory_ / name, AsBytes(text)));
  }
  TempDir directory_;
  TestCertificate certificate_;
  RawHttpServer server_{Always(PlainReply(200, "safe")), &certificate_};
};

TEST_F(CurlTlsTest, AnOwnAuthorityIsTrustedWhenItIsNamed) {
  Write("ca.pem", certificate_.authority_pem());
  transport_ = Make({.ca_file = directory_ / "ca.pem"});
  for (int i = 0; i < 3; ++i) {
    const auto reply = Get(server_.origin());
    ASSERT_TRUE(reply) << reply.error().Line();
    EXPECT_EQ(reply->body, "safe");
  }
  EXPECT_EQ(server_.connections(), 1);
}

TEST_F(CurlTlsTest, AnOwnAuthorityIsTrustedByTheVariable) {
  Write("ca.pem", certificate_.authority_pem());
  const ScopedVariable variable("SSL_CERT_FILE", directory_ / "ca.pem");
  transport_ = Make({});
  EXPECT_TRUE(Get(server_.origin()));
}

TEST_F(CurlTlsTest, StrangersAreRefused) {
  const auto reply = Get(server_.origin());
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, ErrorCode::kTlsUntrusted);
  EXPECT_FALSE(reply.error().retryable);
  Write("other.pem", TestCertificate().authority_pem());
  transport_ = Make({.ca_file = directory_ / "other.pem"});
  EXPECT_EQ(Get(server_.origin()).error().code, ErrorCode::kTlsUntrusted);
  EXPECT_TRUE(server_.requests().empty());
}

TEST_F(CurlTlsTest, AMissingAuthorityFileIsNamed) {
  Write("key.pem", certificate_.key_pem());
  for (const char* const name : {"none.pem", "key.pem"}) {
    const auto transport = CurlTransport::Create({.ca_file = directory_ / name});
    ASSERT_FALSE(transport);
    EXPECT_EQ(transport.error().code, ErrorCode::kTlsUntrusted);
    EXPECT_THAT(transport.error().message, HasSubstr(name));
  }
  const ScopedVariable variable("SSL_CERT_FILE", directory_ / "none.pem");
  transport_ = Make({});
  const auto reply = Get(server_.origin());
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, ErrorCode::kTlsUntrusted);
  EXPECT_EQ(reply.error().kind, ErrorKind::kUsage);
  EXPECT_THAT(reply.error().message, HasSubstr("none.pem"));
}

TEST_F(CurlTlsTest, PlainTextWhereTlsIsMeant) {
  const RawHttpServer plain(Always(PlainReply(200, "")));
  const auto reply = Get("https://127.0.0.1:" + std::to_string(plain.port()));
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, ErrorCode::kTlsUntrusted);
}

TEST_F(CurlTransportTest, ProxiesComeFromTheVariables) {
  const RawHttpServer proxy(Always(PlainReply(200, "by proxy")));
  const ScopedVariable variable("http_proxy", proxy.origin());
  EXPECT_EQ(Get("http://somewhere.invalid/x")->body, "by proxy");
  EXPECT_EQ(proxy.requests().at(0).target, "http://somewhere.invalid/x");
  const ScopedVariable except("no_proxy", "somewhere.invalid");
  EXPECT_THAT(Get("http://somewhere.invalid/x").error().message, HasSubstr("looked up"));
}

TEST_F(CurlTransportTest, AProxyThatRefusesIsNamed) {
  const RawHttpServer proxy(Always(PlainReply(407, "")));
  const ScopedVariable variable("https_proxy",
                                "http://me:secret@127.0.0.1:" + std::to_string(proxy.port()));
  const auto reply = Get("https://somewhere.invalid/x");
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, ErrorCode::kUnreachable);
  EXPECT_FALSE(reply.error().retryable);
  EXPECT_THAT(reply.error().message, HasSubstr("wants a user and a password"));
  EXPECT_THAT(reply.error().causes.front(), HasSubstr("https_proxy (http://127.0.0.1"));
  for (const auto& cause : reply.error().causes) EXPECT_THAT(cause, Not(HasSubstr("secret")));
  EXPECT_EQ(proxy.requests().at(0).method, "CONNECT");
}

TEST_F(CurlTransportTest, AProxyThatIsGoneIsNamed) {
  const ScopedVariable variable("https_proxy", "http://127.0.0.1:1");
  const auto reply = Get("https://somewhere.invalid/x");
  ASSERT_FALSE(reply);
  EXPECT_THAT(reply.error().causes.back(), HasSubstr("https_proxy (http://127.0.0.1:1)"));
}

}  // namespace
}  // namespace asr
