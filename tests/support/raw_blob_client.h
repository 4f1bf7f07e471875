// curl(1) against the page-blob server: raw requests, each one as a test writes it.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <string>

#include "storage/base/text.h"
#include "tests/support/page_blob_server/page_blob_server.h"
#include "tests/support/shell_command.h"
#include "tests/support/temp_dir.h"

namespace asr::testing {

// curl(1) against one server, signed by a SAS of its account.
class RawClient {
 public:
  explicit RawClient(PageBlobServer& server, const std::string& permissions = "racwdl")
      : server_(server), sas_(server.AccountSas(permissions, std::chrono::hours(48))) {
    EXPECT_EQ(Status("PUT", "c?restype=container"), 400);  // names have three characters
    EXPECT_EQ(Status("PUT", "box?restype=container"), 201);
  }

  // Head and body of the answer; what curl says where there is none.
  std::string Send(const std::string& method, const std::string& target,
                   const std::string& words = "", const std::string& body = "") {
    const std::string mark = target.find('?') == std::string::npos ? "?" : "&";
    const std::string how = method == "HEAD" ? "-I" : "-i -X " + method;
    const std::string data = method == "PUT" ? "--data-binary @" + BodyFile(body) : "";
    return RunShell(fmt::format(
                        "curl -sS -m 20 --noproxy '*' {} -H Content-Type: -H Expect: {} {} {}", how,
                        data, words, ShellQuote(server_.url() + "/" + target + mark + sas_)))
        .text;
  }
  // 0: there was no answer.
  int Status(const std::string& method, const std::string& target, const std::string& words = "",
             const std::string& body = "") {
    const std::string reply = Send(method, target, words, body);
    return reply.starts_with("HTTP/1.1 ") ? std::stoi(reply.substr(9, 3)) : 0;
  }
  int Create(const std::string& blob, std::uint64_t size_bytes) {
    return Status(
        "PUT", "box/" + blob,
        fmt::format("-H 'x-ms-blob-type: PageBlob' -H 'x-ms-blob-content-length: {}'", size_bytes));
  }
  static std::string WriteHeaders(std::uint64_t offset_bytes, std::size_t length_bytes) {
    return fmt::format("-H 'x-ms-page-write: update' -H 'x-ms-range: bytes={}-{}'", offset_bytes,
                       offset_bytes + length_bytes - 1);
  }
  std::string WriteReply(const std::string& blob, std::uint64_t offset_bytes,
                         const std::string& bytes, const std::string& words = "") {
    return Send("PUT", "box/" + blob + "?comp=page",
                WriteHeaders(offset_bytes, bytes.size()) + " " + words, bytes);
  }
  int Write(const std::string& blob, std::uint64_t offset_bytes, const std::string& bytes,
            const std::string& words = "") {
    return StatusOf(WriteReply(blob, offset_bytes, bytes, words));
  }
  std::string Read(const std::string& blob, std::uint64_t offset_bytes, std::size_t length_bytes) {
    const std::string reply = Send(
        "GET", "box/" + blob,
        fmt::format("-H 'x-ms-range: bytes={}-{}'", offset_bytes, offset_bytes + length_bytes - 1));
    const std::size_t end = reply.find("\r\n\r\n");
    return end == std::string::npos ? reply : reply.substr(end + 4);
  }
  static int StatusOf(const std::string& reply) {
    return reply.starts_with("HTTP/1.1 ") ? std::stoi(reply.substr(9, 3)) : 0;
  }
  [[nodiscard]] const std::string& sas() const { return sas_; }

 private:
  std::string BodyFile(const std::string& body) {
    std::ofstream(directory_ / "body", std::ios::binary) << body;
    return directory_ / "body";
  }

  PageBlobServer& server_;
  std::string sas_;
  TempDir directory_;
};

inline bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace asr::testing
