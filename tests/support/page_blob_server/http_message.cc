#include "tests/support/page_blob_server/http_message.h"

#include <fmt/format.h>

#include <algorithm>

#include "storage/base/text.h"
#include "tests/support/page_blob_server/encoding.h"

namespace asr::testing::page_blob {
namespace {

std::string_view TakeUntil(std::string_view& text, std::string_view mark) {
  const std::size_t at = text.find(mark);
  const std::string_view taken = text.substr(0, at);
  text.remove_prefix(at == std::string_view::npos ? text.size() : at + mark.size());
  return taken;
}

std::map<std::string, std::string> ParseQuery(std::string_view text) {
  std::map<std::string, std::vector<std::string>> all;
  while (!text.empty()) {
    std::string_view pair = TakeUntil(text, "&");
    if (pair.empty()) continue;
    const std::string name = AsciiLowerCase(DecodePercent(TakeUntil(pair, "=")));
    all[name].push_back(DecodePercent(pair));
  }
  std::map<std::string, std::string> query;
  for (auto& [name, values] : all) {
    std::ranges::sort(values);
    std::string& joined = query[name];
    for (const std::string& value : values) joined += (joined.empty() ? "" : ",") + value;
  }
  return query;
}

std::string_view Reason(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 206:
      return "Partial Content";
    case 304:
      return "Not Modified";
    default:
      return status < 400 ? "Done" : "Refused";
  }
}

}  // namespace

const std::string* ServerRequest::Header(const std::string& lower_name) const {
  const auto found = values.find(lower_name);
  return found == values.end() ? nullptr : &found->second;
}

std::string ServerRequest::HeaderOr(const std::string& lower_name, std::string otherwise) const {
  const std::string* const value = Header(lower_name);
  return value == nullptr ? otherwise : *value;
}

const std::string* ServerRequest::Query(const std::string& name) const {
  const auto found = query.find(name);
  return found == query.end() ? nullptr : &found->second;
}

std::string ServerRequest::QueryOr(const std::string& name, std::string otherwise) const {
  const std::string* const value = Query(name);
  return value == nullptr ? otherwise : *value;
}

std::optional<ServerRequest> ParseRequestHead(std::string_view head) {
  ServerRequest request;
  std::string_view line = TakeUntil(head, "\r\n");
  request.method = TakeUntil(line, " ");
  std::string_view target = TakeUntil(line, " ");
  if (line != "HTTP/1.1" || target.empty() || target[0] != '/') return std::nullopt;
  request.path = TakeUntil(target, "?");
  request.query = ParseQuery(target);
  while (!head.empty()) {
    line = TakeUntil(head, "\r\n");
    const std::size_t colon = line.find(':');
    if (colon == 0 || colon == std::string_view::npos) return std::nullopt;
    ServerHeader header{std::string(line.substr(0, colon)), AsciiLowerCase(line.substr(0, colon)),
                        std::string(Trim(line.substr(colon + 1)))};
    const auto [entry, is_first] = request.values.try_emplace(header.lower_name, header.value);
    if (!is_first) entry->second += "," + header.value;
    request.headers.push_back(std::move(header));
  }
  if (const std::string* const length = request.Header("content-length")) {
    const auto value = ParseNumber(*length);
    if (!value) return std::nullopt;
    request.content_length = *value;
  }
  return request;
}

void ServerReply::Add(std::string name, std::string value) {
  headers.emplace_back(std::move(name), std::move(value));
}

std::string FormatReplyHead(const ServerReply& reply) {
  std::string head = fmt::format("HTTP/1.1 {} {}\r\n", reply.status, Reason(reply.status));
  bool has_length = reply.status == 304;
  for (const auto& [name, value] : reply.headers) {
    head += fmt::format("{}: {}\r\n", name, value);
    has_length = has_length || name == "Content-Length";
  }
  if (!has_length) head += fmt::format("Content-Length: {}\r\n", reply.body_bytes());
  return head + "\r\n";
}

}  // namespace asr::testing::page_blob
