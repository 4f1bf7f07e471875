// Requests and replies as they stand on the wire.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/base/bytes.h"
#include "tests/support/page_blob_server/page_content.h"

namespace asr::testing::page_blob {

struct ServerHeader {
  std::string name;  // as sent: names of metadata keep their case
  std::string lower_name;
  std::string value;
};

struct ServerRequest {
  std::string method;
  std::string path;                           // as sent: percent-encoded
  std::map<std::string, std::string> query;   // lower-case name, decoded value
  std::map<std::string, std::string> values;  // of headers, by lower-case name; joined by commas
  std::vector<ServerHeader> headers;
  ByteSpan body;
  std::uint64_t content_length = 0;
  bool is_tls = false;

  // nullptr if there is none.
  [[nodiscard]] const std::string* Header(const std::string& lower_name) const;
  [[nodiscard]] std::string HeaderOr(const std::string& lower_name, std::string otherwise) const;
  [[nodiscard]] const std::string* Query(const std::string& name) const;
  [[nodiscard]] std::string QueryOr(const std::string& name, std::string otherwise) const;
};

// nullopt if `head` (all lines, without the empty one) is no request of HTTP/1.1.
[[nodiscard]] std::optional<ServerRequest> ParseRequestHead(std::string_view head);

struct ServerReply {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::string body = {};
  std::optional<PageView> pages = {};  // is the body, if there is one
  std::string error_code = {};

  void Add(std::string name, std::string value);
  [[nodiscard]] std::uint64_t body_bytes() const {
    return pages ? pages->range.length_bytes : body.size();
  }
};

// Status line and headers. A reply to HEAD says the length of the body that it has not.
[[nodiscard]] std::string FormatReplyHead(const ServerReply& reply);

}  // namespace asr::testing::page_blob
