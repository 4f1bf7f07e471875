// A network of scripted replies.
#pragma once

#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "storage/http/http_transport.h"

namespace asr::testing {

// Gives the scripted replies in their order, the last one for ever; remembers what was asked.
// Thread-safe.
class FakeTransport : public HttpTransport {
 public:
  using Step = std::function<Result<HttpResponse>(const HttpRequest&)>;

  void Then(Step step) { steps_.push_back(std::move(step)); }
  void Then(HttpResponse response) {
    Then([response](const HttpRequest&) { return Result<HttpResponse>(response); });
  }
  void Then(Error error) {
    Then([error](const HttpRequest&) { return Result<HttpResponse>(Fail(error)); });
  }

  Result<HttpResponse> Send(const HttpRequest& request, const std::stop_token& /*stop*/) override {
    Step step;
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
      bodies_.emplace_back(AsText(request.body));
      step = steps_.front();
      if (steps_.size() > 1) steps_.pop_front();
    }
    return step(request);
  }

  [[nodiscard]] std::vector<HttpRequest> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  [[nodiscard]] std::vector<std::string> bodies() const {
    const std::lock_guard lock(mutex_);
    return bodies_;
  }

 private:
  mutable std::mutex mutex_;
  std::deque<Step> steps_;
  std::vector<HttpRequest> requests_;
  std::vector<std::string> bodies_;
};

inline HttpResponse Reply(int status, std::vector<std::pair<std::string, std::string>> headers = {},
                          std::string body = {}) {
  HttpResponse response;
  response.status = status;
  for (const auto& [name, value] : headers) response.headers.Add(name, value);
  response.body = std::move(body);
  response.body_bytes = response.body.size();
  return response;
}

}  // namespace asr::testing
