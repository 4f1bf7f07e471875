// What a process tells of itself, over HTTP on this machine alone.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "storage/base/result.h"

namespace asr {

struct LoopbackAddress {
  std::string host;        // "127.0.0.1", "::1"
  std::uint16_t port = 0;  // 0: the system picks one
  bool is_version6 = false;
};

// "127.0.0.1:9464", any other address of 127.0.0.0/8, "[::1]:9464". kUsage for everything else:
// what the server tells is for this machine, and it asks nobody who they are.
[[nodiscard]] Result<LoopbackAddress> ParseLoopbackAddress(const std::string& text);

// Answers GET and HEAD of its pages; everything else is 404, or 405. One thread serves all clients
// and waits for none: few are served at once, silent ones are dropped after some seconds, the rest
// waits in the system's queue.
class StatusServer {
 public:
  struct Page {
    std::string content_type;
    // Called by the server's thread; quick. nullopt: 503, there is nothing to tell just now.
    std::function<std::optional<std::string>()> text;
  };
  using Pages = std::map<std::string, Page>;  // by path

  // kState if the port is taken, kUnsupported if the library is not installed.
  [[nodiscard]] static Result<std::unique_ptr<StatusServer>> Start(const LoopbackAddress& address,
                                                                   Pages pages);
  // Drops every client and waits for the thread, which is quick.
  ~StatusServer();
  StatusServer(const StatusServer&) = delete;
  StatusServer& operator=(const StatusServer&) = delete;

  // "http://127.0.0.1:9464", with the port that it listens on.
  [[nodiscard]] const std::string& url() const { return url_; }

 private:
  class Implementation;
  StatusServer(std::unique_ptr<Implementation> implementation, std::string url);

  std::unique_ptr<Implementation> implementation_;
  std::string url_;
};

}  // namespace asr
